//! The situations in which something happens to a waiter while it is woken.

use crate::outcome::{Kind, Outcome, report, seconds};
use crate::process::{Answer, Process};
use crate::scene::Scene;
use anyhow::{Result, bail};

/// Number of runs. In each of them, the kernel may act on the wake first, or on the signal.
const RUNS: u32 = 20;

pub(crate) fn killed_woken(scene: &Scene<'_>) -> Result<Outcome> {
    woken(scene, Process::begin_kill)
}

pub(crate) fn stopped_woken(scene: &Scene<'_>) -> Result<Outcome> {
    woken(scene, Process::begin_stop)
}

/// Something happens to the first of two waiters while the owner releases the lock, perhaps after the wake for this waiter.
fn woken(scene: &Scene<'_>, happens: fn(&mut Process) -> Result<()>) -> Result<Outcome> {
    let (mut forgotten, mut taken, mut lost) = (0, 0, 0);
    for _ in 0..RUNS {
        let scene = scene.another()?;
        let [mut owner, mut first, mut second] = scene.processes()?;
        owner.hold()?;
        first.begin_hold()?;
        second.begin_hold()?;
        happens(&mut first)?;
        owner.release()?;
        match second.answer(scene.patience)? {
            Answer::Said(line, _) => drop(report(&line)?),
            Answer::Ended(how) => bail!("the other waiter {how}"),
            // Does it sleep although the lock is free, or has another process the lock?
            Answer::Silent => {
                owner.begin_hold()?;
                let is_free = matches!(owner.answer(scene.patience)?, Answer::Said(..));
                first.continue_()?;
                match (is_free, first.answer(scene.patience / 4)?) {
                    (true, _) => forgotten += 1,
                    (false, Answer::Said(..)) => taken += 1,
                    (false, _) => lost += 1,
                }
            }
        }
    }
    let effects: Vec<_> = [
        (forgotten, "the other waiter still waits, although the lock is free"),
        (taken, "the other waiter still waits, since the first one got the lock before it stopped"),
        (lost, "the other waiter still waits, and no process has the lock or gets it"),
    ]
    .into_iter()
    .filter(|(runs, _)| *runs > 0)
    .map(|(runs, effect)| format!("in {runs} of {RUNS} runs {effect}"))
    .collect();
    if effects.is_empty() {
        return Ok(Kind::Passed.of(format!("the other waiter gets the lock ({RUNS} runs)")));
    }
    Ok(Kind::Waits.of(format!("{} (after {})", effects.join("; "), seconds(scene.patience))))
}
