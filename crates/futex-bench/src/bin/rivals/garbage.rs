//! The situation in which a process overwrites everything that is shared.

use crate::outcome::{Kind, Outcome, seconds};
use crate::peer::MEETINGS;
use crate::process::{Answer, Process};
use crate::scene::Scene;
use anyhow::{Context as _, Result, ensure};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::Ordering;

/// Number of runs with garbage, each with an object of its own.
const RUNS: u32 = 10;

/// Milliseconds for which two processes work, and a third one writes garbage.
const WORK: u32 = 200;

/// An effect of garbage on the processes that use the lock.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    /// Two processes held the lock at once.
    Met,
    /// A process did not come back in this time.
    Waits(String),
    /// A process ended, in this way.
    Ended(String),
    /// A call returned this error.
    Error(String),
}

pub(crate) fn garbage(scene: &Scene<'_>) -> Result<Outcome> {
    let without = run(scene, None)?;
    ensure!(without.is_empty(), "without garbage, {without:?}");

    let mut runs_with = BTreeMap::<Effect, u32>::new();
    for seed in 0..RUNS {
        for effect in run(&scene.another()?, Some(seed))? {
            *runs_with.entry(effect).or_default() += 1;
        }
    }
    if runs_with.is_empty() {
        return Ok(Kind::Unharmed.of(format!("the lock works as before ({RUNS} runs)")));
    }
    let mut effects: Vec<_> = runs_with.into_iter().collect();
    effects.sort_by_key(|(_, runs)| Reverse(*runs));
    let effects: Vec<_> =
        effects.into_iter().map(|(effect, runs)| format!("{effect} in {runs} of {RUNS} runs")).collect();
    Ok(Kind::Harmed.of(effects.join("; ")))
}

/// Lets two processes work. With a seed, a third one writes garbage meanwhile.
fn run(scene: &Scene<'_>, seed: Option<u32>) -> Result<BTreeSet<Effect>> {
    let [mut writer, mut first, mut second] = scene.processes()?;
    first.send(&format!("work {WORK}"));
    second.send(&format!("work {WORK}"));
    if let Some(seed) = seed {
        writer.ask(&format!("scribble {WORK} {seed}"))?;
    }
    let mut effects: BTreeSet<_> =
        [effect(&mut first, scene)?, effect(&mut second, scene)?].into_iter().flatten().collect();
    // A process that ended within the section stays there for the referee, so the next owner's meeting with it proves nothing.
    let ended = effects.iter().any(|effect| matches!(effect, Effect::Ended(_)));
    if !ended && scene.referee.word(MEETINGS * 4)?.load(Ordering::Relaxed) > 0 {
        effects.insert(Effect::Met);
    }
    Ok(effects)
}

/// The effect on one process, if any.
fn effect(worker: &mut Process, scene: &Scene<'_>) -> Result<Option<Effect>> {
    Ok(match worker.answer(scene.patience)? {
        Answer::Said(line, _) => {
            let mut words = line.splitn(4, ' ').skip(2);
            let errors: u64 = words.next().with_context(|| line.clone())?.parse()?;
            (errors > 0).then(|| Effect::Error(words.next().unwrap_or_default().to_owned()))
        }
        Answer::Silent => Some(Effect::Waits(seconds(scene.patience))),
        Answer::Ended(how) => Some(Effect::Ended(how)),
    })
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Met => f.write_str("two processes held the lock at once"),
            Self::Waits(time) => write!(f, "a process still waits after {time}"),
            Self::Ended(how) => write!(f, "a process {how}"),
            Self::Error(error) => write!(f, "a call returned the error `{error}`"),
        }
    }
}
