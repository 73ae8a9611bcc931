//! `idle`: what waits cost while nothing happens.

use crate::answer::Answer;
use crate::contestant::{Contestant, Figures};
use crate::executor::Kind;
use crate::hull::Hull;
use crate::idler::Idler;
use crate::ours::Config;
use crate::peer::{Part, Peer, Role};
use crate::question::{Chart, Effort, Question, Unit};
use crate::verdict::Verdict;
use futex_tokio::SharedMemory;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(super) const QUESTION: Question = Question {
    name: "idle",
    asks: "How much processor time do 10,000 waits take while nothing happens?",
    unit: Unit::CpuSecondsPerHour,
    reference: Some("polling every 1 ms"),
    seconds: (30, 4),
    contestants,
    verdicts,
    charts: &[Chart::Bars(CASE)],
};

const CASE: &str = "10,000 waits";
/// CPU seconds per hour.
const ZERO: f64 = 0.0;
/// How long a process may take to arm its waits.
const PATIENCE: Duration = Duration::from_secs(60);

fn contestants(effort: Effort) -> Vec<Contestant> {
    let window = effort.pick(Duration::from_millis(500), Duration::from_secs(2));
    Idler::ALL.map(|idler| Contestant::new(idler.to_string(), move || start(idler, window))).into()
}

fn verdicts(answer: &Answer) -> Vec<Verdict> {
    let verdict = |config: Config| {
        let used = answer.p50(&config.to_string(), CASE);
        Verdict::at_most(format!("CPU seconds per hour, {config}"), used, ZERO)
    };
    [Config::URING, Config::WAITV].map(verdict).into()
}

/// A process of its own, whose processor time is looked at from outside.
fn start(idler: Idler, window: Duration) -> io::Result<impl FnMut(&mut Figures) -> io::Result<()>> {
    let memory = SharedMemory::anonymous(4096)?;
    let hull = Hull { stdin: memory.as_fd().try_clone_to_owned()?, stdout: None, name: String::new() };
    let part = Part { role: Role::Idle(idler), executor: Kind::MultiThread, cpu: None, name: String::new() };
    let peer = Peer::start(&part, hull)?;
    let (ready, begin) = (memory.word(0)?, Instant::now());
    while ready.load(Ordering::Acquire) == 0 {
        ready.wait(0, Some(Duration::from_millis(100)))?;
        if begin.elapsed() > PATIENCE {
            return Err(io::Error::other("its process did not get its waits armed"));
        }
    }
    sleep(window); // what it still does is not idling
    Ok(move |figures: &mut Figures| {
        let before = peer.cpu_time()?;
        sleep(window);
        let used = peer.cpu_time()? - before;
        figures.add(CASE, used / 1e9 * 3600.0 / window.as_secs_f64());
        Ok(())
    })
}
