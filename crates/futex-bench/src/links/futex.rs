//! The library.

use super::end::End;
use super::words::Words;
use crate::ours::Config;
use futex_tokio::AsyncFutex;
use std::io;

pub(crate) struct Futex {
    words: Words,
    mine: AsyncFutex,
}

impl Futex {
    pub(super) fn new(words: Words, config: Config) -> io::Result<Self> {
        let mine = AsyncFutex::with_reactor(&config.reactor()?, &words.mine);
        Ok(Self { words, mine })
    }
}

impl End for Futex {
    async fn signal(&mut self) -> io::Result<()> {
        self.words.signal();
        Ok(())
    }

    async fn wait(&mut self) -> io::Result<()> {
        let seen = self.words.seen;
        self.words.seen = self.mine.wait_until(|value| value != seen).await?;
        Ok(())
    }
}
