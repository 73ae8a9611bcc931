//! Turning a reactor from Tokio's I/O driver.
//!
//! The reactor's eventfd is registered with a runtime's epoll. The waker is not a task. Waking it runs a turn, on the
//! thread that polls epoll, so that a wake reaches the task without a hop (measured on a current-thread runtime: a round
//! trip of 48.5 µs, against 51.1 µs with a task that turns).
//!
//! The waker is registered at all times. So the runtime's shutdown is seen too, which wakes all that is registered.

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

/// What to do if there is no runtime to drive a reactor.
pub(crate) const ADVICE: &str = "call this within one, or give the futex a reactor that was made in one";

/// A reactor and its registration with a runtime.
pub(crate) struct Driver {
    pub(crate) reactor: Reactor,
    eventfd: Registered,
    waker: Waker,
    runtime: Id,
    /// Called after the runtime's shutdown, when the reactor is closed.
    forget: fn(Id),
}

impl Driver {
    /// Has the current runtime drive `reactor`. At its shutdown it closes the reactor, and then calls `forget`.
    pub(crate) fn start(reactor: Reactor, forget: fn(Id)) -> io::Result<Arc<Self>> {
        let runtime = current_runtime(ADVICE)?;
        // An edge-triggered epoll needs no reading of the eventfd: each signal is an edge.
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
        // In a runtime that is shutting down there is nothing to wait with.
        driver.turn()?;
        Ok(driver)
    }

    /// Returns true if this process is the one that started the driver, and not a fork of it.
    pub(crate) fn is_here(&self) -> bool {
        self.eventfd.is_here()
    }

    /// Turns the reactor for each edge that there was, and leaves the waker registered for the next. An error means that
    /// the runtime has shut down.
    fn turn(&self) -> io::Result<()> {
        loop {
            match self.poll_edge() {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) => self.reactor.turn(),
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
    }

    /// The runtime has shut down. Waits of other runtimes would wait for ever.
    fn shut_down(&self) {
        self.reactor.close();
        (self.forget)(self.runtime);
        #[cfg(feature = "tracing")]
        tracing::debug!(runtime = %self.runtime, "a runtime has shut down and has closed its futex reactor");
    }

    /// Ready once for each edge, or with an error if the runtime is gone.
    fn poll_edge(&self) -> Poll<io::Result<()>> {
        let edge = poll_fn(|cx| {
            self.eventfd.poll_read_ready(cx).map_ok(|mut guard| {
                // Before the turn, so that a completion that it just misses is a new edge.
                guard.clear_ready();
            })
        });
        // Not within the cooperative budget of the task that happens to be polled on this thread: with that used up,
        // Tokio would wake the waker at once, which would poll again, and so on without end.
        pin!(unconstrained(edge)).poll(&mut Context::from_waker(&self.waker))
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").field("runtime", &self.runtime).field("core", &self.reactor).finish()
    }
}

/// The waker of the registration, which must not keep the driver alive.
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
