//! `arm_threads`: arming from several threads at once.

use crate::answer::Answer;
use crate::contestant::{Contestant, Figures, NOTIFY};
use crate::executor::{Executor, Kind};
use crate::ours::Config;
use crate::population::{self, Bare, Population as _, armed, poll_each};
use crate::question::{Chart, Effort, Question, Unit};
use crate::verdict::Verdict;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::Instant;
use tokio::sync::Notify;
use tokio::task::yield_now;

pub(super) const QUESTION: Question = Question {
    name: "arm_threads",
    asks: "What does it cost to arm a wait from 1, 2 and 4 threads at once on one reactor? (per wait, on each thread)",
    unit: Unit::Nanoseconds,
    reference: Some(BARE_RINGS),
    seconds: (15, 4),
    contestants,
    verdicts,
    charts: &[Chart::Bars(CASES[0].0), Chart::Bars(CASES[1].0), Chart::Bars(CASES[2].0)],
};

const BARE_RINGS: &str = "bare ring per thread";
/// The cases, with the number of threads in each.
const CASES: [(&str, usize); 3] = [("1 thread", 1), ("2 threads", 2), ("4 threads", 4)];
/// Number of waits that a thread arms before they are all dropped.
const BATCH: usize = 128;
/// Number of batches of a thread in a turn.
const BATCHES: usize = 30;
const MOST_THREADS: usize = CASES[2].1;

fn contestants(_: Effort) -> Vec<Contestant> {
    vec![
        Contestant::new(BARE_RINGS, bare),
        Contestant::new(NOTIFY, notify),
        Contestant::new(Config::URING.to_string(), ours),
    ]
}

fn verdicts(answer: &Answer) -> Vec<Verdict> {
    let ours = Config::URING.to_string();
    let ratio = |case| answer.ratio(&ours, BARE_RINGS, case);
    CASES.map(|(case, _)| Verdict::at_most(format!("ours ÷ bare ring per thread, {case}"), ratio(case), 1.3)).into()
}

fn bare() -> io::Result<impl FnMut(&mut Figures) -> io::Result<()>> {
    let mut each = (0..MOST_THREADS).map(|_| Bare::new(BATCH)).collect::<io::Result<Vec<_>>>()?;
    Ok(move |figures: &mut Figures| {
        on_threads(figures, &mut each, |bare, gate| {
            let time = gate.time(|| (0..BATCH).try_for_each(|id| bare.arm(id)))?;
            (0..BATCH).try_for_each(|id| bare.cancel(id))?;
            Ok(time)
        })
    })
}

fn notify() -> io::Result<impl FnMut(&mut Figures) -> io::Result<()>> {
    let mut each: Vec<Vec<Notify>> =
        (0..MOST_THREADS).map(|_| std::iter::repeat_with(Notify::new).take(BATCH).collect()).collect();
    Ok(move |figures: &mut Figures| {
        on_threads(figures, &mut each, |all, gate| {
            let mut waits: Vec<_> = all.iter().map(|one| Box::pin(one.notified())).collect();
            gate.time(|| poll_each(&mut Context::from_waker(Waker::noop()), &mut waits, |_| Ok(())))
        })
    })
}

fn ours() -> io::Result<impl FnMut(&mut Figures) -> io::Result<()>> {
    let executor = Executor::new(Kind::CurrentThread)?;
    let futexes = executor.enter(|| population::kept_futexes(&Config::URING.reactor()?, MOST_THREADS * BATCH))?;
    let mut each: Vec<_> = futexes.chunks(BATCH).collect();
    Ok(move |figures: &mut Figures| {
        on_threads(figures, &mut each, |futexes, gate| {
            let mut waits: Vec<_> = futexes.iter().map(|futex| futex.wait_async(0)).collect();
            gate.time(|| poll_each(&mut Context::from_waker(Waker::noop()), &mut waits, armed))
        })?;
        executor.block_on(yield_now()); // the reactor takes the completions of the turn
        Ok(())
    })
}

/// Has as many threads as each case says arm their batches at the same time. `batch` arms one and drops it.
fn on_threads<T: Send>(
    figures: &mut Figures,
    each: &mut [T],
    batch: impl Fn(&mut T, &mut Gate<'_>) -> io::Result<f64> + Sync,
) -> io::Result<()> {
    for (case, threads) in CASES {
        let passed = AtomicUsize::new(0);
        let run = |own: &mut T| {
            let mut gate = Gate { passed: &passed, threads, passes: 0 };
            (0..BATCHES).map(|_| batch(&mut *own, &mut gate)).collect::<io::Result<Vec<f64>>>()
        };
        let times = thread::scope(|scope| {
            let running: Vec<_> = each[..threads].iter_mut().map(|own| scope.spawn(|| run(own))).collect();
            let ended =
                running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("a panic"))));
            ended.collect::<io::Result<Vec<_>>>()
        })?;
        figures.many(case, times.into_iter().flatten());
    }
    Ok(())
}

/// Lets a thread through when all threads have come to it.
struct Gate<'a> {
    passed: &'a AtomicUsize,
    threads: usize,
    /// Number of times that this thread has come.
    passes: usize,
}

impl Gate<'_> {
    /// Nanoseconds per wait of a batch that all threads begin together. Returns when all have armed theirs, so that no thread
    /// drops waits while another one arms.
    fn time(&mut self, arm: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
        self.pass();
        let start = Instant::now();
        arm()?;
        let time = start.elapsed().as_nanos() as f64 / BATCH as f64;
        self.pass();
        Ok(time)
    }

    fn pass(&mut self) {
        self.passes += 1;
        self.passed.fetch_add(1, Ordering::AcqRel);
        // Not a sleep: the threads would be woken one after the other, and the first might be done before the last begins.
        while self.passed.load(Ordering::Acquire) < self.passes * self.threads {
            thread::yield_now();
        }
    }
}

impl Drop for Gate<'_> {
    /// Lets the other threads through for good. If this thread has failed it does not come again.
    fn drop(&mut self) {
        self.passed.fetch_add(usize::MAX / (2 * MOST_THREADS), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_come_through_the_gate_together() {
        let (begun, passed, threads) = (AtomicUsize::new(0), AtomicUsize::new(0), 3);
        let run = || {
            let mut gate = Gate { passed: &passed, threads, passes: 0 };
            for round in 1..100 {
                begun.fetch_add(1, Ordering::AcqRel);
                gate.pass();
                assert!(begun.load(Ordering::Acquire) >= round * threads, "a thread is through before all have come");
            }
        };
        thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(run))));
    }

    #[test]
    fn a_thread_that_fails_holds_up_no_other() {
        let mut each = [false, true, false, false];
        let failed = on_threads(&mut Figures::default(), &mut each, |fails, gate| {
            if *fails { Err(io::Error::other("it fails")) } else { gate.time(|| Ok(())) }
        });
        assert_eq!(failed.unwrap_err().to_string(), "it fails");
    }
}
