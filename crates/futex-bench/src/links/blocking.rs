//! The limit: threads that block in `FUTEX_WAIT`.
//!
//! And the same with something to do before each wait. Where a sleeping processor takes long to wake, that is *faster*: the
//! answer comes before the thread has gone to sleep. Contestants that do more than others gain from it.

use super::end::End;
use super::words::Words;
use std::io;
use std::time::{Duration, Instant};

/// What a late one does before each wait.
pub(super) const LATE: Duration = Duration::from_micros(10);

pub(crate) struct Blocking {
    words: Words,
    late: Duration,
}

impl Blocking {
    pub(super) fn new(words: Words, late: Duration) -> Self {
        Self { words, late }
    }
}

impl End for Blocking {
    async fn signal(&mut self) -> io::Result<()> {
        self.words.signal();
        Ok(())
    }

    async fn wait(&mut self) -> io::Result<()> {
        if self.late != Duration::ZERO {
            let start = Instant::now();
            while start.elapsed() < self.late {}
        }
        while !self.words.changed() {
            self.words.mine.wait(self.words.seen, None)?;
        }
        Ok(())
    }
}
