//! What happens to the locks that people use today when a process is killed, is stopped, or writes garbage.
//!
//! The program makes each situation with real processes, and reports what it observes. `docs/comparison.md` explains it.
//!
//! | | |
//! |---|---|
//! | `contestants/` | the locks, and the list of them |
//! | `handle.rs` | what a contestant can do: implement it to add one |
//! | `peer.rs` | this program again, as a contestant's process, and the protocol that it speaks |
//! | `process.rs` | such a process as its parent sees it |
//! | `scene.rs` | one object, its processes and what they leave behind |
//! | `situations.rs`, `races.rs`, `working.rs` | the situations |
//! | `outcome.rs`, `report.rs` | what was observed |

#[cfg(not(target_os = "linux"))]
compile_error!("this program compares locks of Linux");

mod contestants;
mod handle;
mod outcome;
mod peer;
mod process;
mod races;
mod report;
#[path = "../../robust_mutex.rs"]
mod robust_mutex;
mod scene;
mod situations;
mod working;

use crate::contestants::{Contestant, Peer};
use crate::outcome::Kind;
use crate::report::Entry;
use crate::scene::Scene;
use crate::situations::Situation;
use anyhow::{Context as _, Result};
use clap::Parser;
use clap::builder::PossibleValuesParser;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Shows what happens to the locks of several libraries when a process is killed, is stopped, or writes garbage.
///
/// docs/comparison.md explains the situations and the contestants.
#[derive(Debug, Parser)]
struct Arguments {
    /// Observes this contestant; may be given several times [default: all contestants]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(contestants::names()))]
    only: Vec<String>,
    /// Makes this situation; may be given several times [default: all situations]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(situations::ALL.map(|situation| situation.name)))]
    situation: Vec<String>,
    /// Time after which a process that does not answer counts as one that waits
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = patience)]
    patience: Duration,
    /// Writes JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Plays a process of this contestant, with the object's name and the path of the referee's memory
    #[arg(long, hide = true, requires_all = ["object", "referee"])]
    peer: Option<String>,
    #[arg(hide = true, requires = "peer")]
    object: Option<String>,
    #[arg(hide = true, requires = "peer")]
    referee: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let (Some(contestant), Some(object), Some(referee)) = (arguments.peer, arguments.object, arguments.referee) {
        let open = contestants::open(&contestant).with_context(|| format!("unknown contestant {contestant}"))?;
        return peer::play(open, &object, &referee);
    }
    // Processes crash on purpose.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;

    let wanted = |chosen: &[String], name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
    let situations: Vec<_> =
        situations::ALL.iter().filter(|situation| wanted(&arguments.situation, situation.name)).collect();
    let names = contestants::names().filter(|name| wanted(&arguments.only, name));
    let entries: Vec<_> = names.map(|name| observe(name, &situations, arguments.patience)).collect();
    if arguments.json {
        println!("{}", report::json(arguments.patience.as_secs_f64(), &entries)?);
    } else {
        print!("{}", report::tables(&situations, &entries));
    }
    Ok(())
}

/// Puts a contestant into the situations.
fn observe(name: &'static str, situations: &[&Situation], patience: Duration) -> Entry {
    let Contestant { name, peer } = contestants::contestant(name);
    let mut entry = Entry { name, version: None, absent: None, outcomes: BTreeMap::new() };
    if let Peer::Absent(reason) = &peer {
        entry.absent = Some(reason.clone());
        return entry;
    }
    let scene = || Scene::new(name, &peer, patience);
    match scene().and_then(|scene| scene.start().map(|process| process.version.clone())) {
        Ok(version) => entry.version = Some(version),
        Err(error) => {
            entry.absent = Some(format!("{error:#}"));
            return entry;
        }
    }
    for situation in situations {
        eprintln!("{name}: {}", situation.name);
        let outcome = scene().and_then(|scene| (situation.run)(&scene));
        let outcome = outcome.unwrap_or_else(|error| Kind::Failed.of(format!("{error:#}")));
        entry.outcomes.insert(situation.name, outcome);
    }
    entry
}

fn patience(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let seconds = seconds.filter(|seconds| (0.1..=3600.0).contains(&seconds.as_secs_f64()));
    seconds.ok_or_else(|| "it must be a number of seconds from 0.1 to 3600".into())
}
