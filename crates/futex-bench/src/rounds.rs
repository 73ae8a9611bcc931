//! Rounds: every contestant has a turn in each, so that a disturbance of the machine affects all alike.

use crate::question::{Answer, Contestant, Figures, Question};
use anyhow::{Result, anyhow};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Fewer rounds than this have no median.
const LEAST: usize = 3;
/// A contestant that does not answer for this long leaves the question.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks one question.
pub(crate) fn ask(question: &Question, quick: bool) -> Answer {
    let mut answer = Answer::default();
    let mut stages = Vec::new();
    for contestant in (question.contestants)(quick) {
        let name = contestant.name.clone();
        let entry = answer.entry(&name);
        match Stage::start(contestant) {
            Ok(stage) => stages.push(Some((name, stage))),
            Err(error) => drop(entry.absent.insert(format!("{error:#}"))),
        }
    }

    let time = Duration::from_secs(question.seconds[usize::from(quick)]);
    let start = Instant::now();
    let mut round = 0;
    while stages.iter().any(Option::is_some) && (round < LEAST || start.elapsed() < time) {
        // Each round begins with another contestant, so that none always follows the same one.
        for offset in 0..stages.len() {
            let index = (round + offset) % stages.len();
            let Some((name, stage)) = &stages[index] else { continue };
            let entry = answer.entry(name);
            match stage.turn() {
                Ok(Figures(cases)) => {
                    for (case, figures) in cases {
                        entry.cases.entry(case).or_default().add(round, figures);
                    }
                }
                Err(error) => {
                    entry.absent.insert(format!("{error:#}"));
                    stages[index] = None; // it may hang, so nobody waits for its thread
                }
            }
        }
        round += 1;
    }
    for (_, stage) in stages.into_iter().flatten() {
        stage.end();
    }
    answer
}

/// The thread of a contestant that is ready for its turns.
struct Stage {
    turns: Sender<()>,
    figures: Receiver<Result<Figures>>,
    thread: JoinHandle<()>,
}

impl Stage {
    /// Has the contestant prepare itself on a thread of its own.
    fn start(Contestant { name, cpu, start }: Contestant) -> Result<Self> {
        let (turns, wanted) = channel();
        let (found, figures) = channel();
        let play = move || {
            let mut turn = match cpu.map_or(Ok(()), pin).and_then(|()| start()) {
                Ok(turn) => turn,
                Err(error) => return drop(found.send(Err(error))),
            };
            let _ = found.send(Ok(Figures::default()));
            for () in wanted {
                let mut figures = Figures::default();
                // If nobody waits for the figures any more, no turn is wanted either.
                let _ = found.send(turn(&mut figures).map(|()| figures));
            }
        };
        let stage = Self { turns, figures, thread: thread::Builder::new().name(name).spawn(play)? };
        stage.answer()?; // it is ready
        Ok(stage)
    }

    fn turn(&self) -> Result<Figures> {
        // If the thread has ended, there is no answer either.
        let _ = self.turns.send(());
        self.answer()
    }

    fn answer(&self) -> Result<Figures> {
        self.figures.recv_timeout(PATIENCE).map_err(|error| match error {
            RecvTimeoutError::Timeout => anyhow!("no answer within {PATIENCE:?}"),
            RecvTimeoutError::Disconnected => anyhow!("its thread panicked"),
        })?
    }

    /// Lets the contestant clean up, and waits for that.
    fn end(self) {
        drop(self.turns);
        let _ = self.thread.join(); // a panic has been reported on standard error
    }
}

/// Keeps this thread, and the threads and processes that it starts, on one processor.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}
