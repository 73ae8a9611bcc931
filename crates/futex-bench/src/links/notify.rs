//! Tokio's own, within one process.

use super::end::End;
use std::io;
use std::sync::Arc;
use tokio::sync::Notify;

pub(crate) struct Waker {
    mine: Arc<Notify>,
    theirs: Arc<Notify>,
}

pub(super) fn pair() -> [Waker; 2] {
    let (mine, theirs) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    [Waker { mine: mine.clone(), theirs: theirs.clone() }, Waker { mine: theirs, theirs: mine }]
}

impl End for Waker {
    async fn signal(&mut self) -> io::Result<()> {
        self.theirs.notify_one();
        Ok(())
    }

    async fn wait(&mut self) -> io::Result<()> {
        self.mine.notified().await;
        Ok(())
    }
}
