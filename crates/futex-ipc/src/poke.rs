//! Ending the sleep of the watcher.

use crate::descriptor::Descriptor;
use futex_sys::EventFd;
use std::io;

/// The eventfd that ends the sleep of the thread.
#[derive(Debug)]
pub(crate) struct Poke(Descriptor<EventFd>);

impl Poke {
    pub(crate) fn new() -> io::Result<Self> {
        Descriptor::new(EventFd::new()?).map(Self)
    }

    /// Ends the sleep. If other code has closed the descriptor, this does nothing, because the thread only sleeps for short times then.
    pub(crate) fn poke(&self) {
        if let Ok(file) = self.0.get() {
            let _ = file.signal(1);
        }
    }

    /// The descriptor that is readable after a poke.
    ///
    /// # Errors
    ///
    /// If other code has closed it.
    pub(crate) fn file(&self) -> io::Result<&EventFd> {
        self.0.get()
    }
}
