//! `fan_out`: waking very many at once.

use crate::answer::Answer;
use crate::contestant::{BARE_RING, Contestant, Figures, NOTIFY};
use crate::executor::{Executor, Kind};
use crate::ours::Config;
use crate::population::{self, Bare, all_woken};
use crate::question::{Chart, Effort, Question, Unit};
use crate::verdict::Verdict;
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Instant;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local, yield_now};

pub(super) const QUESTION: Question = Question {
    name: "fan_out",
    asks: "From the first wake until every waiter has run, how long does each one take of very many?",
    unit: Unit::Nanoseconds,
    reference: Some(BARE_RING),
    seconds: (40, 8),
    contestants,
    verdicts,
    charts: &[Chart::Bars(WORDS), Chart::Bars(ONE)],
};

const WORDS: &str = "100,000 on their own words";
const ONE: &str = "10,000 on one word";
const MANY: usize = 100_000;
const FEW: usize = 10_000;

fn contestants(_: Effort) -> Vec<Contestant> {
    vec![
        Contestant::new(BARE_RING, bare),
        Contestant::new(NOTIFY, notify),
        Contestant::new(Config::URING.to_string(), ours),
    ]
}

fn verdicts(answer: &Answer) -> Vec<Verdict> {
    let ratio = |case| answer.ratio(&Config::URING.to_string(), BARE_RING, case);
    [WORDS, ONE].map(|case| Verdict::at_most(format!("ours ÷ bare ring, {case}"), ratio(case), 1.5)).into()
}

/// No tasks: the completions are taken.
fn bare() -> io::Result<impl FnMut(&mut Figures) -> io::Result<()>> {
    let mut bare = Bare::new(MANY)?;
    Ok(move |figures: &mut Figures| {
        for (case, count, word) in [(WORDS, MANY, None), (ONE, FEW, Some(0))] {
            for id in 0..count {
                bare.queue_on(id, word.unwrap_or(id))?;
            }
            bare.submit()?;
            let start = Instant::now();
            match word {
                Some(word) => all_woken(bare.words[word].wake(u32::MAX), count)?,
                None => all_woken(bare.words.iter().map(|word| word.wake(1)).sum(), count)?,
            }
            bare.reap(count)?;
            figures.add(case, start.elapsed().as_nanos() as f64 / count as f64);
        }
        Ok(())
    })
}

fn notify() -> io::Result<impl FnMut(&mut Figures) -> io::Result<()>> {
    let executor = Executor::new(Kind::CurrentThread)?;
    let all: Rc<[Notify]> = std::iter::repeat_with(Notify::new).take(MANY).collect();
    Ok(move |figures: &mut Figures| {
        let wait = |id: usize| {
            let all = all.clone();
            async move { all[id].notified().await }
        };
        let each = || {
            all.iter().for_each(Notify::notify_one);
            Ok(())
        };
        let one = || {
            all[0].notify_waiters();
            Ok(())
        };
        figures.add(WORDS, fan_out(&executor, MANY, wait, each)?);
        figures.add(ONE, fan_out(&executor, FEW, |_| wait(0), one)?);
        Ok(())
    })
}

fn ours() -> io::Result<impl FnMut(&mut Figures) -> io::Result<()>> {
    let executor = Executor::new(Kind::CurrentThread)?;
    let futexes = executor.enter(|| population::kept_futexes(&Config::URING.reactor()?, MANY))?;
    let wait = move |id: usize| {
        let futex = &futexes[id];
        async move {
            // A wait that fails never counts as done, so the turn is given up.
            if futex.wait_async(0).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    Ok(move |figures: &mut Figures| {
        let each = || all_woken(futexes.iter().map(|futex| futex.wake(1)).sum(), MANY);
        figures.add(WORDS, fan_out(&executor, MANY, wait, each)?);
        let one = || all_woken(futexes[0].wake_all(), FEW);
        figures.add(ONE, fan_out(&executor, FEW, |_| wait(0), one)?);
        Ok(())
    })
}

/// Has a task wait for each number below `count`, and wakes them. Nanoseconds for each until all have run.
fn fan_out<F: Future<Output = ()> + 'static>(
    executor: &Executor,
    count: usize,
    wait: impl Fn(usize) -> F,
    wake: impl Fn() -> io::Result<()>,
) -> io::Result<f64> {
    let (begun, done, all_done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)), Rc::new(Notify::new()));
    executor.block_on(LocalSet::new().run_until(async {
        for id in 0..count {
            let (begun, done, all_done, wait) = (begun.clone(), done.clone(), all_done.clone(), wait(id));
            spawn_local(async move {
                begun.set(begun.get() + 1); // it is armed when this poll returns
                wait.await;
                done.set(done.get() + 1);
                if done.get() == count {
                    all_done.notify_one();
                }
            });
        }
        while begun.get() < count {
            yield_now().await;
        }
        let start = Instant::now();
        wake()?;
        all_done.notified().await;
        Ok(start.elapsed().as_nanos() as f64 / count as f64)
    }))
}
