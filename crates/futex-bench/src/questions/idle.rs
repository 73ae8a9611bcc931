//! `idle`: what waits cost while nothing happens.

use crate::hull::Hull;
use crate::ours::{Config, Kind};
use crate::peer::{Peer, Role};
use crate::question::{Contestant, Question, Turn, Unit, Verdict};
use anyhow::{Result, ensure};
use futex_tokio::SharedMemory;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(super) const QUESTION: Question = Question {
    name: "idle",
    asks: "How much processor time do 10,000 waits take while nothing happens?",
    unit: Unit::CpuSecondsPerHour,
    reference: None,
    seconds: [30, 4],
    contestants: |quick| {
        let window = Duration::from_millis(if quick { 500 } else { 2000 });
        Config::BACKENDS.map(|config| Contestant::new(config, move || start(config, window))).into()
    },
    verdicts: |answer| {
        let used = |config| answer.p50(config, CASE);
        let verdict = |config| Verdict::at_most(format!("CPU seconds per hour, {config}"), used(config), 0.0);
        [Config::Uring, Config::Waitv].map(verdict).into()
    },
};

const CASE: &str = "10,000 waits";
const WAITS: usize = 10_000;
/// Longest time in which a process has to arm its waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process of its own, whose processor time is read from outside.
fn start(config: Config, window: Duration) -> Result<Turn> {
    let memory = SharedMemory::anonymous(4096)?;
    let peer = Peer::start(Role::Idle(config, WAITS), Kind::MultiThread, None, Hull::of([&memory])?)?;
    let (ready, begin) = (memory.word(0)?, Instant::now());
    while ready.load(Ordering::Acquire) == 0 {
        ready.wait(0, Some(Duration::from_millis(100)))?;
        ensure!(begin.elapsed() < PATIENCE, "its process did not arm its waits");
    }
    sleep(window); // the end of its start is not idling
    Ok(Box::new(move |figures| {
        let before = peer.cpu_time()?;
        sleep(window);
        let used = peer.cpu_time()? - before;
        figures.add(CASE, [used / 1e9 * 3600.0 / window.as_secs_f64()]);
        Ok(())
    }))
}
