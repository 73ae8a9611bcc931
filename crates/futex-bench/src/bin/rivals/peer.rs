//! A process of a contestant, and the protocol that it speaks.
//!
//! One line on the standard input is a command, and one line on the standard output its answer:
//!
//! | command | answer |
//! |---|---|
//! | (none, at the start) | `ready VERSION` |
//! | `hold` | `waiting` at once, and `held WHAT IS REPORTED` when the process holds the lock |
//! | `release`, `store VALUE`, `store_half VALUE` | `done` |
//! | `load` | `loaded HALF HALF` |
//! | `scribble MILLISECONDS SEED` | `done` after that time |
//! | `work MILLISECONDS` | `worked SECTIONS ERRORS LAST ERROR` after that time |
//!
//! Each of them may also answer `failed WHY`.

use crate::handle::{Handle, Open};
use anyhow::{Context as _, Result};
use futex_sys::SharedMemory;
use std::hint::spin_loop;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Index of the referee's word that counts the processes in the section.
const INSIDE: usize = 0;
/// Index of the referee's word that counts the entries while another process was in the section.
pub(crate) const MEETINGS: usize = 1;

/// Opens the object, and obeys commands until the input ends.
pub(crate) fn play(open: Open, name: &str, referee: &Path) -> Result<()> {
    // A peer without its parent would wait for ever.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let (mut handle, referee) = match open(name).and_then(|handle| Ok((handle, SharedMemory::open_path(referee)?))) {
        Ok(opened) => opened,
        Err(error) => return say(&format!("failed {error:#}")),
    };
    say(&format!("ready {}", handle.version()))?;
    for line in io::stdin().lines() {
        let answer = obey(&mut *handle, &referee, &line?).unwrap_or_else(|error| format!("failed {error:#}"));
        say(&answer)?;
    }
    Ok(())
}

/// Writes one line. The text of an error may have several.
fn say(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", line.replace('\n', " "))?;
    Ok(out.flush()?)
}

fn obey(handle: &mut dyn Handle, referee: &SharedMemory, line: &str) -> Result<String> {
    let mut words = line.split(' ');
    let command = words.next().unwrap_or_default();
    let mut number = || -> Result<u32> { Ok(words.next().context("a number is missing")?.parse()?) };
    match command {
        "hold" => {
            say("waiting")?;
            return Ok(format!("held {}", handle.hold()?));
        }
        "release" => handle.release()?,
        "store" => handle.store(number()?)?,
        "store_half" => handle.store_half(number()?)?,
        "load" => {
            let [first, second] = handle.load()?;
            return Ok(format!("loaded {first} {second}"));
        }
        "scribble" => {
            let end = Instant::now() + Duration::from_millis(number()?.into());
            let mut random = fastrand::Rng::with_seed(number()?.into());
            while Instant::now() < end {
                handle.scribble(&mut random)?;
            }
        }
        "work" => return Ok(work(handle, referee, Duration::from_millis(number()?.into()))),
        _ => anyhow::bail!("unknown command {command}"),
    }
    Ok("done".into())
}

/// Takes and releases the lock for this long, and lets the referee count the meetings of two processes.
fn work(handle: &mut dyn Handle, referee: &SharedMemory, time: Duration) -> String {
    let words = referee.as_words();
    let end = Instant::now() + time;
    let (mut sections, mut errors, mut last) = (0, 0, String::new());
    while Instant::now() < end {
        let section = handle.hold().and_then(|_| {
            if words[INSIDE].fetch_add(1, Ordering::Relaxed) != 0 {
                words[MEETINGS].fetch_add(1, Ordering::Relaxed);
            }
            (0..200).for_each(|_| spin_loop());
            words[INSIDE].fetch_sub(1, Ordering::Relaxed);
            handle.store(sections)?;
            handle.release()
        });
        match section {
            Ok(()) => sections += 1,
            Err(error) => {
                errors += 1;
                last = format!("{error:#}");
            }
        }
    }
    format!("worked {sections} {errors} {last}")
}
