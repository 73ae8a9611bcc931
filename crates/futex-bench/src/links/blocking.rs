//! The limit: threads that block in `FUTEX_WAIT`.

use super::{End, words::Words};
use std::io;

pub(crate) struct Blocking(pub(super) Words);

impl End for Blocking {
    async fn signal(&mut self) -> io::Result<()> {
        self.0.signal();
        Ok(())
    }

    async fn wait(&mut self) -> io::Result<()> {
        while !self.0.changed() {
            let _ = self.0.mine.wait(self.0.seen, None)?;
        }
        Ok(())
    }
}
