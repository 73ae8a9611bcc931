//! What one does without this library: a blocking thread of Tokio's for each wait.

use super::end::End;
use super::words::Words;
use std::io;
use tokio::task::spawn_blocking;

pub(crate) struct SpawnBlocking(pub(super) Words);

impl End for SpawnBlocking {
    async fn signal(&mut self) -> io::Result<()> {
        self.0.signal();
        Ok(())
    }

    async fn wait(&mut self) -> io::Result<()> {
        while !self.0.changed() {
            let (word, seen) = (self.0.mine.clone(), self.0.seen);
            let _ = spawn_blocking(move || word.wait(seen, None)).await??;
        }
        Ok(())
    }
}
