//! `ipc_death`: the time from the death of an owner to the next one.

use crate::locks::{Lock, Shared, taker};
use crate::ours::Kind;
use crate::peer::{Peer, Role};
use crate::question::{Contestant, Question, Unit, Verdict};
use anyhow::{Context as _, Result, ensure};
use futex_tokio::SharedMemory;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

pub(super) const QUESTION: Question = Question {
    name: "ipc_death",
    asks: "How long does it take from the SIGKILL of a small process that owns a mutex to the next owner?",
    unit: Unit::Nanoseconds,
    reference: Some("robust pthread mutex"),
    seconds: [40, 6],
    contestants: |_| {
        let contestant = |lock| {
            Contestant::new(lock, move || {
                let mut heir = Heir::start(lock)?;
                Ok(Box::new(move |figures| {
                    for _ in 0..DEATHS {
                        figures.add(CASE, [heir.inherit()?]);
                    }
                    Ok(())
                }))
            })
        };
        [Lock::Robust, Lock::Blocking, Lock::Tasks, Lock::Flock].map(contestant).into()
    },
    verdicts: |answer| {
        let of = |lock: Lock| {
            let series = answer.series(lock, CASE);
            let (p50, p99) = (series.and_then(|series| series.p50()), series.and_then(|series| series.quantile(0.99)));
            [
                Verdict::at_most(format!("{lock}: p50 in ms"), p50.map(ms), 0.3),
                Verdict::at_most(format!("{lock}: p99 in ms"), p99.map(ms), 5.0),
            ]
        };
        [Lock::Blocking, Lock::Tasks].into_iter().flat_map(of).collect()
    },
};

const CASE: &str = "to the next owner";

/// Number of deaths per turn.
const DEATHS: usize = 10;
/// Time in which the next owner falls asleep.
const MOMENT: Duration = Duration::from_millis(3);
/// Time after which something has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The next owner: a thread, or a task, of this process.
struct Heir {
    lock: Lock,
    shared: Shared,
    /// The first word is not 0 while a process owns the lock.
    control: SharedMemory,
    wanted: Sender<()>,
    /// When the heir had the lock, and true if it was told of the death.
    owned: Receiver<Result<(Instant, bool)>>,
}

impl Heir {
    fn start(lock: Lock) -> Result<Self> {
        let shared = lock.make()?;
        let mut take = taker(lock, &shared)?;
        let (wanted, turns) = channel();
        let (found, owned) = channel();
        thread::spawn(move || {
            for () in turns {
                // If nobody wants the answer, there are no more turns either.
                let _ = found.send(take());
            }
        });
        Ok(Self { lock, shared, control: SharedMemory::anonymous(4096)?, wanted, owned })
    }

    /// Starts a process that owns the lock, and kills it. Returns the nanoseconds from the kill until the heir owned the lock.
    fn inherit(&mut self) -> Result<f64> {
        let held = self.control.word(0)?;
        held.store(0, Relaxed);
        let hull = self.shared.hull(&self.control)?;
        let mut owner = Peer::start(Role::Hold(self.lock), Kind::CurrentThread, None, hull)?;
        held.wait(0, Some(PATIENCE))?;
        ensure!(held.load(Acquire) == 1, "the other process does not take the lock");
        self.wanted.send(())?;
        sleep(MOMENT);
        ensure!(self.owned.try_recv().is_err(), "two processes owned the lock");
        let start = Instant::now();
        owner.kill()?;
        let (end, told) = self.owned.recv_timeout(PATIENCE).context("the lock of the dead was not released")??;
        ensure!(told || self.lock == Lock::Flock, "the next owner was not told of the death");
        Ok((end - start).as_nanos() as f64)
    }
}

fn ms(nanoseconds: f64) -> f64 {
    nanoseconds / 1e6
}
