//! `ipc_semaphore`: a semaphore between processes.

use crate::batch::{each, each_async};
use crate::locks::SharedSemaphore;
use crate::ours::Kind;
use crate::question::{Contestant, Question, Turn, Unit};
use anyhow::Result;
use futex_ipc::{Region, Semaphore};
use std::hint::black_box;

pub(super) const QUESTION: Question = Question {
    name: "ipc_semaphore",
    asks: "What does it cost to acquire a permit and to release it, if there are enough?",
    unit: Unit::Nanoseconds,
    reference: Some(TOKIO),
    seconds: [15, 4],
    contestants: |_| {
        vec![
            Contestant::new(TOKIO, || {
                let (runtime, semaphore) = (Kind::CurrentThread.runtime()?, tokio::sync::Semaphore::new(8));
                Ok(turn(move || each_async(&runtime, async || drop(black_box(&semaphore).acquire().await))))
            }),
            Contestant::new("POSIX semaphore", || {
                let semaphore = SharedSemaphore::new(8)?;
                Ok(turn(move || each(|| semaphore.take_and_give())))
            }),
            Contestant::new(THREADS, || {
                let semaphore = ours()?;
                Ok(turn(move || each(|| drop(black_box(&semaphore).blocking_acquire()))))
            }),
            Contestant::new(TASKS, || {
                let (runtime, semaphore) = (Kind::CurrentThread.runtime()?, ours()?);
                Ok(turn(move || each_async(&runtime, async || drop(black_box(&semaphore).acquire().await))))
            }),
        ]
    },
    verdicts: |answer| [THREADS, TASKS].map(|ours| answer.at_most(ours, TOKIO, CASE, 1.0)).into(),
};

const TOKIO: &str = "tokio";
const THREADS: &str = "ours, threads";
const TASKS: &str = "ours, tasks";
const CASE: &str = "one permit";

/// Number of figures of a turn.
const BATCHES: usize = 50;

fn ours() -> Result<Semaphore> {
    Ok(Semaphore::create(&Region::builder().anonymous()?, "permits", 8)?)
}

fn turn(mut batch: impl FnMut() -> f64 + 'static) -> Turn {
    Box::new(move |figures| {
        figures.add(CASE, (0..BATCHES).map(|_| batch()));
        Ok(())
    })
}
