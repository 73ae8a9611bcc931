//! The situations in which processes take and release the lock all the time.

use crate::outcome::{Kind, Outcome, seconds};
use crate::peer::MEETINGS;
use crate::process::{Answer, Process};
use crate::scene::Scene;
use anyhow::{Context as _, Result, ensure};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

/// Number of runs with garbage, each with an object of its own.
const GARBAGE_RUNS: u32 = 10;

/// Number of runs with a kill, each with an object of its own.
const KILL_RUNS: u32 = 20;

/// Milliseconds for which the processes work.
const WORK: u32 = 200;

/// An effect on the processes that use the lock.
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

/// Kills one of two processes that work, at a random moment: in the section, in a call, or between.
pub(crate) fn killed_working(scene: &Scene<'_>) -> Result<Outcome> {
    check(scene)?;
    let mut effects = Effects::default();
    for _ in 0..KILL_RUNS {
        let scene = scene.another()?;
        let [mut first, mut second] = scene.processes()?;
        first.send(&format!("work {WORK}"));
        second.send(&format!("work {WORK}"));
        sleep(Duration::from_micros(fastrand::u64(1..u64::from(WORK) * 900)));
        first.kill()?;
        effects.add(effect(&mut second, &scene)?);
    }
    Ok(effects.outcome(Kind::Passed, "the other process goes on", KILL_RUNS))
}

/// Lets a process write garbage while two others work.
pub(crate) fn garbage(scene: &Scene<'_>) -> Result<Outcome> {
    check(scene)?;
    let mut effects = Effects::default();
    for seed in 0..GARBAGE_RUNS {
        let scene = scene.another()?;
        let [mut writer] = scene.processes()?;
        effects.add(work(&scene, || writer.ask(&format!("scribble {WORK} {seed}")).map(drop))?);
    }
    Ok(effects.outcome(Kind::Unharmed, "the lock works as before", GARBAGE_RUNS))
}

/// Lets two processes work without a disturbance, which must have no effect.
fn check(scene: &Scene<'_>) -> Result<()> {
    let effects = work(scene, || Ok(()))?;
    ensure!(effects.is_empty(), "without a disturbance, {effects:?}");
    Ok(())
}

/// Lets two processes work. Returns the effects on them.
fn work(scene: &Scene<'_>, disturb: impl FnOnce() -> Result<()>) -> Result<BTreeSet<Effect>> {
    let [mut first, mut second] = scene.processes()?;
    first.send(&format!("work {WORK}"));
    second.send(&format!("work {WORK}"));
    disturb()?;
    let workers = [effect(&mut first, scene)?, effect(&mut second, scene)?];
    let mut effects: BTreeSet<_> = workers.into_iter().flatten().collect();
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
            (errors > 0).then(|| Effect::Error(without_names(words.next().unwrap_or_default())))
        }
        Answer::Silent => Some(Effect::Waits(seconds(scene.patience))),
        Answer::Ended(how) => Some(Effect::Ended(how)),
    })
}

/// Replaces the names of objects, which differ in each run.
fn without_names(text: &str) -> String {
    let mut parts = text.split("rivals-");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "rivals-…" + part.get(16..).unwrap_or_default())
}

/// The number of runs with each effect.
#[derive(Default)]
struct Effects(BTreeMap<Effect, u32>);

impl Effects {
    fn add(&mut self, of_a_run: impl IntoIterator<Item = Effect>) {
        of_a_run.into_iter().for_each(|effect| *self.0.entry(effect).or_default() += 1);
    }

    /// The outcome, which is `without` if there was no effect.
    fn outcome(self, without: Kind, text: &str, runs: u32) -> Outcome {
        if self.0.is_empty() {
            return without.of(format!("{text} ({runs} runs)"));
        }
        let mut effects: Vec<_> = self.0.into_iter().collect();
        effects.sort_by_key(|(_, count)| Reverse(*count));
        let texts: Vec<_> =
            effects.into_iter().map(|(effect, count)| format!("{effect} in {count} of {runs} runs")).collect();
        Kind::Harmed.of(texts.join("; "))
    }
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
