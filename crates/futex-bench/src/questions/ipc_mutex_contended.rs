//! `ipc_mutex_contended`: a mutex that two processes compete for.

use crate::locks::{Control, Lock, PROCESSES, Shared};
use crate::ours::Kind;
use crate::peer::{Peer, Role};
use crate::question::{Answer, Contestant, Question, Turn, Unit, Verdict};
use anyhow::{Result, ensure};
use futex_tokio::SharedMemory;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(super) const QUESTION: Question = Question {
    name: "ipc_mutex_contended",
    asks: "How many sections per second have two processes with two threads, or tasks, each?",
    unit: Unit::PerSecond,
    reference: Some("robust pthread mutex"),
    seconds: [30, 8],
    contestants: |_| {
        [Lock::Robust, Lock::Blocking, Lock::Tasks, Lock::Flock]
            .map(|lock| Contestant::new(lock, move || contended(lock)))
            .into()
    },
    verdicts: |answer| {
        let ours = [Lock::Blocking, Lock::Tasks];
        let throughput = |lock| {
            let ratio = answer.ratio(lock, Lock::Robust, ALL);
            Verdict::at_least(format!("{lock} ÷ {} ({ALL})", Lock::Robust), ratio, 1.0)
        };
        let fair = |lock| Verdict::at_most(format!("{lock}: {MOST} ÷ {LEAST}"), unfairness(answer, lock), 1.05);
        ours.map(throughput).into_iter().chain(ours.map(fair)).collect()
    },
};

const ALL: &str = "all";
const LEAST: &str = "least served";
const MOST: &str = "most served";

/// Time in which the workers compete, per turn.
const TURN: Duration = Duration::from_millis(1000);

fn contended(lock: Lock) -> Result<Turn> {
    let mut bench = Bench::start(lock)?;
    Ok(Box::new(move |figures| {
        let mut counts = bench.turn()?;
        let all = counts.pop().unwrap_or(0.0);
        counts.sort_unstable_by(f64::total_cmp);
        figures.add(ALL, [all]);
        figures.add(LEAST, [counts[0]]);
        figures.add(MOST, counts.last().copied());
        Ok(())
    }))
}

fn unfairness(answer: &Answer, lock: Lock) -> Option<f64> {
    answer.series(lock, MOST)?.ratio(answer.series(lock, LEAST)?)
}

/// The processes that compete for a lock.
struct Bench {
    control: Control,
    _peers: Vec<Peer>,
    _shared: Shared,
}

impl Bench {
    fn start(lock: Lock) -> Result<Self> {
        let memory = SharedMemory::anonymous(4096)?;
        let (control, shared) = (Control::of(&memory)?, lock.make()?);
        let start = |process| Peer::start(Role::Work(lock, process), Kind::MultiThread, None, shared.hull(&memory)?);
        let peers = (0..PROCESSES).map(start).collect::<Result<Vec<_>>>()?;
        control.all_done()?;
        Ok(Self { control, _peers: peers, _shared: shared })
    }

    /// Number of sections per second of each worker, and of all together, which is the last one.
    fn turn(&mut self) -> Result<Vec<f64>> {
        let Control { phase, value, sections, .. } = &self.control;
        value.store(0, Relaxed);
        let start = Instant::now();
        phase.fetch_add(1, Release);
        phase.wake(u32::MAX);
        sleep(TURN);
        phase.fetch_add(1, Release);
        let seconds = start.elapsed().as_secs_f64();
        phase.wake(u32::MAX);
        self.control.all_done()?;
        let counts: Vec<u32> = sections.iter().map(|count| count.load(Relaxed)).collect();
        let all = counts.iter().sum::<u32>();
        ensure!(all == value.load(Relaxed), "two workers were in the section at once");
        Ok(counts.into_iter().chain([all]).map(|count| f64::from(count) / seconds).collect())
    }
}
