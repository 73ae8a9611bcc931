//! `arm`: the cost to arm a wait, alone and together with others.

use crate::ours::{Config, Kind};
use crate::population::{Bare, Population as _, all_woken, arm_each, armed, kept_futexes};
use crate::question::{BARE_RING, Contestant, Question, Turn, Unit};
use anyhow::Result;
use futex_tokio::{AsyncFutex, wait_any};
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::task::yield_now;

pub(super) const QUESTION: Question = Question {
    name: "arm",
    asks: "What does it cost to arm a wait: alone, as one of 64 futures, and as one of 64 words of a wait_any? (per wait)",
    unit: Unit::Nanoseconds,
    reference: Some(BARE_RING),
    seconds: [20, 5],
    // The other backends hand their waits to threads, and no count shows when those have armed them.
    contestants: |_| {
        vec![
            Contestant::new(BARE_RING, || bare(&[(ALONE, 1), (SEPARATE, MANY), (TOGETHER, MANY)], true)),
            Contestant::new("bare ring, one submission for all", || bare(&[(TOGETHER, MANY)], false)),
            Contestant::new(Config::Uring, ours),
        ]
    },
    verdicts: |answer| {
        [(ALONE, 1.3), (TOGETHER, 0.5)]
            .map(|(case, limit)| answer.at_most(Config::Uring, BARE_RING, case, limit))
            .into()
    },
};

const ALONE: &str = "alone";
const SEPARATE: &str = "64 futures in one tick";
const TOGETHER: &str = "64 in one wait_any";
const MANY: usize = 64;

/// Number of figures of a turn in each case.
const TURN: usize = 200;

fn bare(cases: &'static [(&str, usize)], submission_for_each: bool) -> Result<Turn> {
    let runtime = Kind::CurrentThread.runtime()?;
    let mut bare = Bare::new(MANY, MANY)?;
    Ok(Box::new(move |figures| {
        for &(case, count) in cases {
            for _ in 0..TURN {
                // In a runtime that has just polled for events, as the waits of the library are: a loop around the ring alone
                // would find all its code in the processor's caches.
                let time = runtime.block_on(async {
                    yield_now().await;
                    let start = Instant::now();
                    for id in 0..count {
                        if submission_for_each { bare.arm(id)? } else { bare.queue(id, id)? }
                    }
                    if !submission_for_each {
                        bare.submit()?;
                    }
                    anyhow::Ok(start.elapsed().as_nanos() as f64)
                })?;
                figures.add(case, [time / count as f64]);

                all_woken(bare.words[..count].iter().map(|word| word.wake(1)), count)?;
                bare.reap(count)?;
            }
        }
        Ok(())
    }))
}

fn ours() -> Result<Turn> {
    let (runtime, futexes) = kept_futexes(MANY)?;
    Ok(Box::new(move |figures| {
        for (case, count) in [(ALONE, 1), (SEPARATE, MANY)] {
            for _ in 0..TURN {
                figures.add(case, [runtime.block_on(separate(&futexes[..count]))?]);
            }
        }
        for _ in 0..TURN {
            figures.add(TOGETHER, [runtime.block_on(together(futexes))?]);
        }
        Ok(())
    }))
}

/// Arms a wait on each futex, and ends them.
async fn separate(futexes: &[AsyncFutex]) -> Result<f64> {
    let mut waits: Vec<_> = futexes.iter().map(|futex| futex.wait_async(0)).collect();
    let time = time_until_armed(futexes, |cx| arm_each(cx, &mut waits)).await?;
    for wait in waits {
        wait.await?;
    }
    Ok(time)
}

/// The same with one future for all.
async fn together(futexes: &[AsyncFutex]) -> Result<f64> {
    let mut wait = pin!(wait_any(futexes.iter().map(|futex| (futex, 0))));
    let time = time_until_armed(futexes, |cx| armed(wait.as_mut().poll(cx).map_ok(drop))).await?;
    wait.await?;
    Ok(time)
}

/// Nanoseconds per wait until all are armed, which the kernel's count of wakes proves.
async fn time_until_armed(futexes: &[AsyncFutex], mut arm: impl FnMut(&mut Context<'_>) -> Result<()>) -> Result<f64> {
    yield_now().await;
    let start = Instant::now();
    poll_fn(|cx| Poll::Ready(arm(cx))).await?;
    let time = start.elapsed().as_nanos() as f64;
    all_woken(futexes.iter().map(|futex| futex.word().wake(1)), futexes.len())?;
    Ok(time / futexes.len() as f64)
}
