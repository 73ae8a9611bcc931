//! Turning a reactor from Tokio's I/O driver.
//!
//! The reactor's eventfd is registered with the runtime's epoll. The waker of this registration is not a task. Waking it runs a
//! turn on the thread that polls epoll. A task that runs the turns would have to be scheduled first, which is slower.
//!
//! The waker is registered at all times. So the driver also learns of the runtime's shutdown, which wakes all registered
//! wakers.

use crate::register::{Registered, current_runtime};
use futex_core::__private::explain;
use futex_core::Reactor;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd as _;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use tokio::runtime::Id;
use tokio::task::coop::unconstrained;

/// Advice for an error message if there is no runtime that could drive a reactor.
pub(crate) const ADVICE: &str = "call this within one, or give the futex a reactor that was made in one";

/// A reactor and its registration with a runtime.
pub(crate) struct Driver {
    pub(crate) reactor: Reactor,
    eventfd: Registered,
    waker: Waker,
    runtime: Id,
    /// Function that is called after the runtime's shutdown has closed the reactor.
    forget: fn(Id),
}

impl Driver {
    /// Makes the current runtime drive `reactor`. When the runtime shuts down, the reactor is closed, and then `forget` is
    /// called.
    pub(crate) fn start(reactor: Reactor, forget: fn(Id)) -> io::Result<Arc<Self>> {
        let runtime = current_runtime(ADVICE)?;
        // Nothing reads the eventfd. Tokio's epoll is edge-triggered, and each signal is an edge.
        let eventfd = reactor.as_fd().try_clone_to_owned().map_err(|error| {
            explain(error, "cannot duplicate a futex reactor's eventfd (see `ulimit -n` if descriptors ran out)")
        })?;
        let eventfd = Registered::new(eventfd)?;
        let driver = Arc::new_cyclic(|driver| Self {
            reactor,
            eventfd,
            waker: Waker::from(Arc::new(Turn(driver.clone()))),
            runtime,
            forget,
        });
        // This registers the waker. It fails if the runtime is shutting down.
        driver.turn()?;
        Ok(driver)
    }

    /// Returns true if this process has started the driver, and false in a fork of that process.
    pub(crate) fn is_here(&self) -> bool {
        self.eventfd.is_here()
    }

    /// Turns the reactor once for each edge that has occurred, and leaves the waker registered for the next edge. An error means
    /// that the runtime has shut down.
    fn turn(&self) -> io::Result<()> {
        loop {
            match self.poll_edge() {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) => self.reactor.turn(),
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
    }

    /// Closes the reactor after the runtime's shutdown. Otherwise, waits that are polled on other runtimes would never end.
    fn shut_down(&self) {
        self.reactor.close();
        (self.forget)(self.runtime);
        #[cfg(feature = "tracing")]
        tracing::debug!(runtime = %self.runtime, "a runtime has shut down and has closed its futex reactor");
    }

    /// Polls for an edge. Ready once for each edge, and with an error if the runtime has shut down.
    fn poll_edge(&self) -> Poll<io::Result<()>> {
        let edge = poll_fn(|cx| {
            self.eventfd.poll_read_ready(cx).map_ok(|mut guard| {
                // Cleared before the turn, so that a completion that comes too late for this turn makes a new edge.
                guard.clear_ready();
            })
        });
        // The budget of the task that is being polled on this thread must not count here. If it were used up, Tokio would wake
        // the waker at once, the waker would poll again, and so on without end.
        pin!(unconstrained(edge)).poll(&mut Context::from_waker(&self.waker))
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").field("runtime", &self.runtime).field("core", &self.reactor).finish()
    }
}

/// The waker of the registration. It must not keep the driver alive.
struct Turn(Weak<Driver>);

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(driver) = self.0.upgrade() {
            if driver.turn().is_err() {
                driver.shut_down();
            }
        }
    }
}
