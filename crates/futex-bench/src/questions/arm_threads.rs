//! `arm_threads`: arming from several threads at once.

use crate::ours::Config;
use crate::population::{Bare, Population as _, arm_each, kept_futexes};
use crate::question::{Contestant, Figures, Question, Turn, Unit};
use anyhow::{Result, anyhow};
use std::task::{Context, Waker};
use std::thread;
use std::time::Instant;
use tokio::task::yield_now;

pub(super) const QUESTION: Question = Question {
    name: "arm_threads",
    asks: "What does it cost to arm a wait from 1, 2 and 4 threads at once on one reactor? (per wait, on each thread)",
    unit: Unit::Nanoseconds,
    reference: Some(BARE_RINGS),
    seconds: [15, 4],
    contestants: |_| vec![Contestant::new(BARE_RINGS, bare), Contestant::new(Config::Uring, ours)],
    verdicts: |answer| CASES.map(|(case, _)| answer.at_most(Config::Uring, BARE_RINGS, case, 1.3)).into(),
};

const BARE_RINGS: &str = "bare ring per thread";
/// The cases, with the number of threads in each.
const CASES: [(&str, usize); 3] = [("1 thread", 1), ("2 threads", 2), ("4 threads", 4)];
const MOST_THREADS: usize = CASES[2].1;
/// Number of waits that a thread arms before they are all dropped.
const BATCH: usize = 128;
/// Number of batches of a thread in a turn.
const BATCHES: usize = 30;

fn bare() -> Result<Turn> {
    let mut each = (0..MOST_THREADS).map(|_| Bare::new(BATCH, BATCH)).collect::<Result<Vec<_>, _>>()?;
    Ok(Box::new(move |figures| {
        on_threads(figures, &mut each, |bare, gate| {
            let time = time(gate, || (0..BATCH).try_for_each(|id| bare.arm(id)))?;
            (0..BATCH).try_for_each(|id| bare.cancel(id))?;
            Ok(time)
        })
    }))
}

fn ours() -> Result<Turn> {
    let (runtime, futexes) = kept_futexes(MOST_THREADS * BATCH)?;
    let mut each: Vec<_> = futexes.chunks(BATCH).collect();
    Ok(Box::new(move |figures| {
        on_threads(figures, &mut each, |futexes, gate| {
            let mut waits: Vec<_> = futexes.iter().map(|futex| futex.wait_async(0)).collect();
            time(gate, || arm_each(&mut Context::from_waker(Waker::noop()), &mut waits))
        })?;
        runtime.block_on(yield_now()); // the reactor takes the completions of the turn
        Ok(())
    }))
}

/// A barrier that spins: threads that sleep would be woken one after the other, and the first might be done before the last
/// begins.
type Gate = spin::barrier::Barrier<spin::Yield>;

/// Runs the batches of each case on its number of threads at the same time. `batch` arms one batch and drops it.
fn on_threads<T: Send>(
    figures: &mut Figures,
    each: &mut [T],
    batch: impl Fn(&mut T, &Gate) -> Result<f64> + Sync,
) -> Result<()> {
    for (case, threads) in CASES {
        let gate = Gate::new(threads);
        // A batch that fails passes the gate all the same, so that it holds up no other thread.
        let run = |own: &mut T| (0..BATCHES).map(|_| batch(own, &gate)).collect::<Vec<_>>();
        thread::scope(|scope| {
            let running: Vec<_> = each[..threads].iter_mut().map(|own| scope.spawn(|| run(own))).collect();
            for thread in running {
                let times = thread.join().map_err(|_| anyhow!("a thread that arms panicked"))?;
                figures.add(case, times.into_iter().collect::<Result<Vec<_>>>()?);
            }
            anyhow::Ok(())
        })?;
    }
    Ok(())
}

/// Nanoseconds per wait of a batch that all threads begin together. Returns when all have armed theirs, so that no thread drops
/// waits while another one arms.
fn time(gate: &Gate, arm: impl FnOnce() -> Result<()>) -> Result<f64> {
    gate.wait();
    let start = Instant::now();
    let armed = arm();
    let time = start.elapsed().as_nanos() as f64 / BATCH as f64;
    gate.wait();
    armed.map(|()| time)
}
