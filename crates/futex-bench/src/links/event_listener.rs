//! event-listener with an atomic, within one process, as its documentation has it.

use super::end::End;
use event_listener::Event;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Default)]
struct Flag {
    set: AtomicBool,
    event: Event,
}

pub(crate) struct Listener {
    mine: Arc<Flag>,
    theirs: Arc<Flag>,
}

pub(super) fn pair() -> [Listener; 2] {
    let (mine, theirs) = (Arc::<Flag>::default(), Arc::<Flag>::default());
    [Listener { mine: mine.clone(), theirs: theirs.clone() }, Listener { mine: theirs, theirs: mine }]
}

impl End for Listener {
    async fn signal(&mut self) -> io::Result<()> {
        self.theirs.set.store(true, Ordering::Release);
        self.theirs.event.notify(1);
        Ok(())
    }

    async fn wait(&mut self) -> io::Result<()> {
        while !self.mine.set.swap(false, Ordering::Acquire) {
            let listener = self.mine.event.listen();
            if self.mine.set.swap(false, Ordering::Acquire) {
                break;
            }
            listener.await;
        }
        Ok(())
    }
}
