//! `arm`: the cost to arm a wait, alone and together with others.

use crate::answer::Answer;
use crate::contestant::{BARE_RING, Contestant, Figures, NOTIFY};
use crate::executor::{Executor, Kind};
use crate::ours::Config;
use crate::population::{self, Bare, Population as _, all_woken, armed, poll_each};
use crate::question::{Chart, Effort, Question, Unit};
use crate::verdict::Verdict;
use futex_tokio::{AsyncFutex, WaitAsync, wait_any};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;
use tokio::sync::Notify;
use tokio::task::yield_now;

pub(super) const QUESTION: Question = Question {
    name: "arm",
    asks: "What does it cost to arm a wait: alone, as one of 64 futures, and as one of 64 words of a wait_any? (per wait)",
    unit: Unit::Nanoseconds,
    reference: Some(BARE_RING),
    seconds: (20, 5),
    contestants,
    verdicts,
    charts: &[Chart::Bars(ALONE), Chart::Bars(SEPARATE), Chart::Bars(TOGETHER), Chart::Distribution(ALONE)],
};

const BATCHED: &str = "bare ring, one submission for all";
const ALONE: &str = "alone";
const SEPARATE: &str = "64 futures in one tick";
const TOGETHER: &str = "64 in one wait_any";
const MANY: usize = 64;
/// The cases, with the number of waits in each.
const CASES: [(&str, usize); 3] = [(ALONE, 1), (SEPARATE, MANY), (TOGETHER, MANY)];
/// The cases in which each wait is a future of its own.
const FUTURES: &[(&str, usize)] = CASES.split_at(2).0;

/// Figures of a turn in each case.
const TURN: usize = 200;

fn contestants(_: Effort) -> Vec<Contestant> {
    // The other backends hand their waits to threads, and no count tells when those have armed them.
    vec![
        Contestant::new(BARE_RING, || bare(&CASES, Bare::arm, |_| Ok(()))),
        Contestant::new(BATCHED, || bare(&[(TOGETHER, MANY)], Bare::queue, Bare::submit)),
        Contestant::new(NOTIFY, notify),
        Contestant::new(Config::URING.to_string(), ours),
    ]
}

fn verdicts(answer: &Answer) -> Vec<Verdict> {
    let ours = Config::URING.to_string();
    vec![
        Verdict::at_most("alone: ours ÷ bare submission", answer.ratio(&ours, BARE_RING, ALONE), 1.3),
        Verdict::at_most(
            "64 in one wait_any: ours ÷ 64 bare submissions",
            answer.ratio(&ours, BARE_RING, TOGETHER),
            0.5,
        ),
    ]
}

fn bare(
    cases: &'static [(&str, usize)],
    arm: fn(&mut Bare, usize) -> io::Result<()>,
    submit: fn(&mut Bare) -> io::Result<()>,
) -> io::Result<impl FnMut(&mut Figures) -> io::Result<()>> {
    let executor = Executor::new(Kind::CurrentThread)?;
    let mut bare = Bare::new(MANY)?;
    Ok(move |figures: &mut Figures| {
        for &(case, count) in cases {
            for _ in 0..TURN {
                // In a runtime and after a look at its events, as the library's waits are: a loop around the ring alone
                // would find all its code in the processor's caches.
                let time = executor.block_on(async {
                    yield_now().await;
                    let start = Instant::now();
                    for id in 0..count {
                        arm(&mut bare, id)?;
                    }
                    submit(&mut bare)?;
                    io::Result::Ok(start.elapsed().as_nanos() as f64)
                })?;
                figures.add(case, time / count as f64);

                all_woken(bare.words[..count].iter().map(|word| word.wake(1)).sum(), count)?;
                bare.reap(count)?;
            }
        }
        Ok(())
    })
}

fn notify() -> io::Result<impl FnMut(&mut Figures) -> io::Result<()>> {
    let executor = Executor::new(Kind::CurrentThread)?;
    let all: Vec<Notify> = std::iter::repeat_with(Notify::new).take(MANY).collect();
    Ok(move |figures: &mut Figures| {
        executor.block_on(async {
            for &(case, count) in FUTURES {
                for _ in 0..TURN {
                    let mut waits: Vec<_> = all[..count].iter().map(|one| Box::pin(one.notified())).collect();
                    let start = Instant::now();
                    poll_fn(|cx| Poll::Ready(poll_each(cx, &mut waits, |_| Ok(())))).await?;
                    figures.add(case, start.elapsed().as_nanos() as f64 / count as f64);
                }
            }
            Ok(())
        })
    })
}

fn ours() -> io::Result<impl FnMut(&mut Figures) -> io::Result<()>> {
    let executor = Executor::new(Kind::CurrentThread)?;
    let futexes = executor.enter(|| population::kept_futexes(&Config::URING.reactor()?, MANY))?;
    let all: Vec<_> = futexes.iter().map(|futex| (futex, 0)).collect();
    Ok(move |figures: &mut Figures| {
        for &(case, count) in FUTURES {
            for _ in 0..TURN {
                figures.add(case, executor.block_on(separate(&futexes[..count]))? / count as f64);
            }
        }
        for _ in 0..TURN {
            figures.add(TOGETHER, executor.block_on(together(&all))? / MANY as f64);
        }
        Ok(())
    })
}

/// Arms a wait on each futex, and ends them. Nanoseconds until all are armed, which the kernel's count of wakes proves.
async fn separate(futexes: &[AsyncFutex]) -> io::Result<f64> {
    let mut waits: Vec<WaitAsync<'_>> = futexes.iter().map(|futex| futex.wait_async(0)).collect();
    yield_now().await;
    let start = Instant::now();
    poll_fn(|cx| Poll::Ready(poll_each(cx, &mut waits, armed))).await?;
    let time = start.elapsed().as_nanos() as f64;
    all_woken(futexes.iter().map(|futex| futex.word().wake(1)).sum(), futexes.len())?;
    for wait in waits {
        wait.await?;
    }
    Ok(time)
}

/// The same with one future for all.
async fn together(all: &[(&AsyncFutex, u32)]) -> io::Result<f64> {
    let mut wait = pin!(wait_any(all));
    yield_now().await;
    let start = Instant::now();
    poll_fn(|cx| Poll::Ready(armed(wait.as_mut().poll(cx).map_ok(drop)))).await?;
    let time = start.elapsed().as_nanos() as f64;
    all_woken(all.iter().map(|(futex, _)| futex.word().wake(1)).sum(), all.len())?;
    wait.await?;
    Ok(time)
}
