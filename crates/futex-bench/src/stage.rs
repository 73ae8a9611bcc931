//! The thread that a contestant lives on.

use crate::contestant::{Contestant, Figures, Start};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A contestant that does not answer for this long is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A contestant that is ready for its turns.
pub(crate) struct Stage {
    turns: Sender<()>,
    figures: Receiver<io::Result<Figures>>,
    thread: JoinHandle<()>,
}

impl Stage {
    /// Has the contestant get ready on a thread of its own.
    pub(crate) fn start(contestant: Contestant) -> io::Result<Self> {
        let Contestant { name, cpu, start } = contestant;
        let (turns, wanted) = channel();
        let (found, figures) = channel();
        let play = move || play(cpu, start, &wanted, &found);
        let stage = Self { turns, figures, thread: thread::Builder::new().name(name).spawn(play)? };
        stage.answer()?; // it is ready
        Ok(stage)
    }

    pub(crate) fn turn(&self) -> io::Result<Figures> {
        // Where the thread is gone, so is the answer.
        let _ = self.turns.send(());
        self.answer()
    }

    /// Lets the contestant clean up, and waits for that.
    pub(crate) fn end(self) {
        drop(self.turns);
        let _ = self.thread.join(); // a panic has been told on standard error
    }

    fn answer(&self) -> io::Result<Figures> {
        self.figures.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            Err(match error {
                RecvTimeoutError::Timeout => io::Error::other(format!("no answer within {PATIENCE:?}")),
                RecvTimeoutError::Disconnected => io::Error::other("its thread panicked"),
            })
        })
    }
}

fn play(cpu: Option<usize>, start: Start, wanted: &Receiver<()>, found: &Sender<io::Result<Figures>>) {
    let ready = cpu.map_or(Ok(()), pin).and_then(|()| start());
    let mut turn = match ready {
        Ok(turn) => turn,
        Err(error) => return drop(found.send(Err(error))),
    };
    let _ = found.send(Ok(Figures::default()));
    for () in wanted {
        let mut figures = Figures::default();
        let done = turn(&mut figures);
        if found.send(done.map(|()| figures)).is_err() {
            return;
        }
    }
}

/// Keeps this thread, and the threads and processes that it starts, on one processor.
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}
