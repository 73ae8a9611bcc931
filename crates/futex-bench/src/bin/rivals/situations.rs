//! The situations: each function makes one, and describes what is observed.

use crate::outcome::{Kind, Outcome, report, seconds, span};
use crate::process::{Answer, Process};
use crate::races::{killed_woken, stopped_woken};
use crate::scene::Scene;
use crate::working::{garbage, killed_working};
use anyhow::{Context as _, Result, bail};
use std::time::Instant;

/// Something that a process does, or that happens to it.
pub(crate) struct Situation {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Scene<'_>) -> Result<Outcome>,
}

pub(crate) const ALL: [Situation; 11] = [
    Situation {
        name: "killed-holding",
        about: "A process is killed while it holds the lock. Another process waits for the lock.",
        run: killed_holding,
    },
    Situation {
        name: "killed-inside",
        about: "A process is killed between the two halves of an update, while it holds the lock. The next process loads the value.",
        run: killed_inside,
    },
    Situation {
        name: "killed-waiting",
        about: "The first of two processes that wait is killed. When it has ended, the owner releases the lock.",
        run: killed_waiting,
    },
    Situation {
        name: "killed-woken",
        about: "The first of two processes that wait is killed. At the same moment the owner releases the lock.",
        run: killed_woken,
    },
    Situation {
        name: "killed-working",
        about: "Two processes take and release the lock for 0.2 s. One of them is killed at a random moment.",
        run: killed_working,
    },
    Situation {
        name: "stopped-holding",
        about: "A process is stopped (SIGSTOP) while it holds the lock. Another process waits for the lock.",
        run: stopped_holding,
    },
    Situation {
        name: "stopped-waiting",
        about: "The first of two processes that wait is stopped. When it is stopped, the owner releases the lock.",
        run: stopped_waiting,
    },
    Situation {
        name: "stopped-woken",
        about: "The first of two processes that wait is stopped. At the same moment the owner releases the lock.",
        run: stopped_woken,
    },
    Situation {
        name: "garbage",
        about: "Two processes take and release the lock for 0.2 s, while a third one overwrites all shared memory with random bytes.",
        run: garbage,
    },
    Situation {
        name: "leftovers",
        about: "All processes are killed: one holds the lock, one waits, one is idle. Then a new process comes and goes.",
        run: leftovers,
    },
    Situation {
        name: "restart",
        about: "All processes are killed: one holds the lock, one waits, one is idle. A new process asks for the lock.",
        run: restart,
    },
];

fn killed_holding(scene: &Scene<'_>) -> Result<Outcome> {
    let [mut owner, mut waiter] = scene.processes()?;
    owner.hold()?;
    waiter.begin_hold()?;
    let killed = Instant::now();
    owner.begin_kill()?;
    Ok(match waiter.answer(scene.patience)? {
        Answer::Said(line, at) => {
            Kind::Passed.of(format!("the waiter gets the lock after {}, {}", span(killed, at), report(&line)?))
        }
        Answer::Silent => Kind::Waits.of(format!("the waiter still waits after {}", seconds(scene.patience))),
        Answer::Ended(how) => bail!("the waiter {how}"),
    })
}

fn killed_inside(scene: &Scene<'_>) -> Result<Outcome> {
    let [mut owner, mut next] = scene.processes()?;
    owner.hold()?;
    owner.ask("store 1")?;
    owner.ask("release")?;
    owner.hold()?;
    owner.ask("store_half 2")?;
    owner.kill()?;
    next.begin_hold()?;
    let (lock, mut reader) = match next.answer(scene.patience)? {
        Answer::Said(line, _) => (format!("the next process gets the lock {}", report(&line)?), next),
        // Another process can still load the value, without the lock.
        Answer::Silent => ("the lock stays taken".into(), scene.start()?),
        Answer::Ended(how) => bail!("the next process {how}"),
    };
    let loaded = reader.ask("load")?;
    Ok(match loaded.as_str() {
        "loaded 1 1" => Kind::Whole.of(format!("the value is that of the last complete update; {lock}")),
        "loaded 2 1" => Kind::Torn.of(format!("the value is half new and half old; {lock}")),
        other => bail!("after an update to 1 and half of an update to 2: {other}"),
    })
}

fn killed_waiting(scene: &Scene<'_>) -> Result<Outcome> {
    let [mut owner, mut first, mut second] = scene.processes()?;
    owner.hold()?;
    first.begin_hold()?;
    second.begin_hold()?;
    first.kill()?;
    let released = owner.release()?;
    let outcome = gets_it("the other waiter", &mut second, scene, released)?;
    if outcome.kind == Kind::Passed {
        // The death has not made a second permit.
        owner.begin_hold()?;
        if let Answer::Said(line, _) = owner.answer(scene.patience / 4)? {
            bail!("two processes hold the lock: {line}");
        }
    }
    Ok(outcome)
}

fn stopped_holding(scene: &Scene<'_>) -> Result<Outcome> {
    let [mut owner, mut waiter] = scene.processes()?;
    owner.hold()?;
    waiter.begin_hold()?;
    let stopped = Instant::now();
    owner.stop()?;
    Ok(match waiter.answer(scene.patience)? {
        Answer::Said(_, at) => {
            Kind::Passed.of(format!("the waiter gets the lock after {}, although its owner lives", span(stopped, at)))
        }
        Answer::Silent => {
            owner.continue_()?;
            let released = owner.release()?;
            let then = gets_it("it", &mut waiter, scene, released)?.text;
            let waits = format!("the waiter waits while the owner is stopped ({})", seconds(scene.patience));
            Kind::Waits.of(format!("{waits}; when the owner has continued and released the lock, {then}"))
        }
        Answer::Ended(how) => bail!("the waiter {how}"),
    })
}

fn stopped_waiting(scene: &Scene<'_>) -> Result<Outcome> {
    let [mut owner, mut first, mut second] = scene.processes()?;
    owner.hold()?;
    first.begin_hold()?;
    second.begin_hold()?;
    first.stop()?;
    let released = owner.release()?;
    let outcome = gets_it("the other waiter", &mut second, scene, released)?;
    let mut free = Instant::now();
    first.continue_()?;
    if outcome.kind == Kind::Passed {
        free = second.release()?;
    }
    let then = gets_it("the stopped one, when it has continued,", &mut first, scene, free)?;
    match (outcome.kind, then.kind) {
        (Kind::Passed, Kind::Passed) => Ok(outcome),
        _ => Ok(Kind::Waits.of(format!("{}; {}", outcome.text, then.text))),
    }
}

fn leftovers(scene: &Scene<'_>) -> Result<Outcome> {
    kill_all(scene)?;
    let first = scene.remains();
    let mut next = scene.start().context("a new process can't open the object")?;
    next.begin_hold()?;
    let end = match next.answer(scene.patience)? {
        Answer::Said(..) => {
            next.ask("release")?;
            next.finish()?;
            "has used the lock and has ended"
        }
        Answer::Silent => {
            next.kill()?;
            "did not get the lock and was killed"
        }
        Answer::Ended(how) => bail!("a new process {how}"),
    };
    let then = scene.remains();
    let kind = if then.is_empty() { Kind::Clean } else { Kind::Left };
    Ok(kind.of(format!("files left: {first}; after a new process {end}: {then}")))
}

fn restart(scene: &Scene<'_>) -> Result<Outcome> {
    kill_all(scene)?;
    let start = Instant::now();
    let mut next = scene.start().context("a new process can't open the object")?;
    next.begin_hold()?;
    Ok(match next.answer(scene.patience)? {
        Answer::Said(line, at) => {
            Kind::Passed.of(format!("it gets the lock {} after its start, {}", span(start, at), report(&line)?))
        }
        Answer::Silent => Kind::Waits.of(format!("it still waits after {}", seconds(scene.patience))),
        Answer::Ended(how) => bail!("a new process {how}"),
    })
}

/// Kills all processes of the scene, the owner last. So no process is left that could take care of its death.
fn kill_all(scene: &Scene<'_>) -> Result<()> {
    let [mut owner, mut waiter, mut idle] = scene.processes()?;
    owner.hold()?;
    waiter.begin_hold()?;
    [idle.kill(), waiter.kill(), owner.kill()].into_iter().collect()
}

/// Whether a process that waits gets the lock.
fn gets_it(name: &str, waiter: &mut Process, scene: &Scene<'_>, since: Instant) -> Result<Outcome> {
    Ok(match waiter.answer(scene.patience)? {
        Answer::Said(line, at) => {
            report(&line)?;
            Kind::Passed.of(format!("{name} gets the lock after {}", span(since, at)))
        }
        Answer::Silent => Kind::Waits.of(format!("{name} still waits after {}", seconds(scene.patience))),
        Answer::Ended(how) => bail!("{name} {how}"),
    })
}
