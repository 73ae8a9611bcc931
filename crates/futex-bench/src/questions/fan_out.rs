//! `fan_out`: waking very many at once.

use crate::ours::Config;
use crate::population::{Bare, all_woken, kept_futexes};
use crate::question::{BARE_RING, Contestant, Question, Turn, Unit};
use anyhow::Result;
use futex_tokio::AsyncFutex;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local, yield_now};

pub(super) const QUESTION: Question = Question {
    name: "fan_out",
    asks: "From the first wake until every waiter has run, how long does each one take of very many?",
    unit: Unit::Nanoseconds,
    reference: Some(BARE_RING),
    seconds: [40, 8],
    contestants: |_| vec![Contestant::new(BARE_RING, bare), Contestant::new(Config::Uring, ours)],
    verdicts: |answer| CASES.map(|(case, ..)| answer.at_most(Config::Uring, BARE_RING, case, 1.5)).into(),
};

const MANY: usize = 100_000;
/// The cases, with the number of waits in each, and of words.
const CASES: [(&str, usize, usize); 2] =
    [("100,000 on their own words", MANY, MANY), ("10,000 on one word", 10_000, 1)];

/// No tasks: the completions are taken.
fn bare() -> Result<Turn> {
    let mut bare = Bare::new(MANY, MANY)?;
    Ok(Box::new(move |figures| {
        for (case, count, words) in CASES {
            (0..count).try_for_each(|id| bare.queue(id, id % words))?;
            bare.submit()?;
            let start = Instant::now();
            all_woken(bare.words[..words].iter().map(|word| word.wake((count / words) as u32)), count)?;
            bare.reap(count)?;
            figures.add(case, [start.elapsed().as_nanos() as f64 / count as f64]);
        }
        Ok(())
    }))
}

fn ours() -> Result<Turn> {
    let (runtime, futexes) = kept_futexes(MANY)?;
    Ok(Box::new(move |figures| {
        for (case, count, words) in CASES {
            let time = runtime.block_on(LocalSet::new().run_until(fan_out(&futexes[..words], count)))?;
            figures.add(case, [time / count as f64]);
        }
        Ok(())
    }))
}

/// Number of tasks that have run.
#[derive(Default)]
struct Tasks {
    begun: Cell<usize>,
    done: Cell<usize>,
    all_done: Notify,
}

/// Has `count` tasks wait, and wakes them. Returns the nanoseconds until all have run.
async fn fan_out(futexes: &'static [AsyncFutex], count: usize) -> Result<f64> {
    let tasks = Rc::<Tasks>::default();
    for futex in futexes.iter().cycle().take(count) {
        let tasks = tasks.clone();
        spawn_local(async move {
            tasks.begun.set(tasks.begun.get() + 1); // it is armed when this poll returns
            // A wait that fails never counts as done, so the contestant leaves the question.
            if futex.wait_async(0).await.is_ok() {
                tasks.done.set(tasks.done.get() + 1);
            }
            if tasks.done.get() == count {
                tasks.all_done.notify_one();
            }
        });
    }
    while tasks.begun.get() < count {
        yield_now().await;
    }
    let start = Instant::now();
    all_woken(futexes.iter().map(|futex| futex.wake((count / futexes.len()) as u32)), count)?;
    tasks.all_done.notified().await;
    Ok(start.elapsed().as_nanos() as f64)
}
