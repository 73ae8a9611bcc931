//! `fast_path`: no wait, because the word differs, and a wake with nobody there.

use crate::answer::Answer;
use crate::contestant::{Contestant, Figures};
use crate::executor::{Executor, Kind};
use crate::ours::Config;
use crate::population;
use crate::question::{Chart, Effort, Question, Unit};
use crate::verdict::Verdict;
use rustix::thread::futex::{Flags, wake};
use std::hint::black_box;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Instant;

pub(super) const QUESTION: Question = Question {
    name: "fast_path",
    asks: "What does a wait cost whose word differs, and a wake that finds nobody?",
    unit: Unit::Nanoseconds,
    reference: Some(BARE),
    seconds: (15, 4),
    contestants,
    verdicts,
    charts: &[Chart::Bars(WAIT), Chart::Bars(WAKE)],
};

const OURS: &str = "ours";
const BARE: &str = "bare load, bare FUTEX_WAKE";
const WAIT: &str = "wait on a word that differs";
const WAKE: &str = "wake with nobody there";

/// Figures of a turn, and calls for each figure.
const BATCHES: usize = 50;
const BATCH: u32 = 1000;

fn contestants(_: Effort) -> Vec<Contestant> {
    vec![Contestant::new(BARE, bare), Contestant::new(OURS, ours)]
}

fn verdicts(answer: &Answer) -> Vec<Verdict> {
    let above = answer.series(OURS, WAIT).zip(answer.series(BARE, WAIT)).and_then(|(ours, bare)| ours.above(bare));
    vec![
        Verdict::at_most("nanoseconds of a wait above the bare load", above, 5.0),
        Verdict::at_most("ours ÷ bare FUTEX_WAKE", answer.ratio(OURS, BARE, WAKE), 1.1),
    ]
}

fn bare() -> io::Result<impl FnMut(&mut Figures) -> io::Result<()>> {
    let word = population::words(1)?.remove(0);
    Ok(move |figures: &mut Figures| {
        for _ in 0..BATCHES {
            figures.add(WAIT, each(|| black_box(&word).load(Ordering::Acquire) != black_box(1)));
            figures.add(WAKE, each(|| wake(black_box(&word), Flags::empty(), 1)));
        }
        Ok(())
    })
}

fn ours() -> io::Result<impl FnMut(&mut Figures) -> io::Result<()>> {
    let executor = Executor::new(Kind::CurrentThread)?;
    let futexes = executor.enter(|| population::kept_futexes(&Config::URING.reactor()?, 1))?;
    let futex = &futexes[0];
    Ok(move |figures: &mut Figures| {
        for _ in 0..BATCHES {
            let wait = executor.block_on(async {
                let start = Instant::now();
                for _ in 0..BATCH {
                    let _ = black_box(black_box(futex).wait_async(black_box(1)).await);
                }
                start.elapsed().as_nanos() as f64 / f64::from(BATCH)
            });
            figures.add(WAIT, wait);
            figures.add(WAKE, each(|| black_box(futex).wake(1)));
        }
        Ok(())
    })
}

/// Nanoseconds of one call.
fn each<T>(mut call: impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    for _ in 0..BATCH {
        black_box(call());
    }
    start.elapsed().as_nanos() as f64 / f64::from(BATCH)
}
