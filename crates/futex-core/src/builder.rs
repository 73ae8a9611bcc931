//! Choosing a backend and making a reactor.

use crate::backend::{Backend, ParseBackendError};
#[cfg(feature = "uring")]
use crate::backends::uring::{self, ReadyRings, Uring};
use crate::backends::{Turn, thread::Threads, waitv::Waitv};
use crate::engine::{Engine, Queues};
use crate::queue::Queue;
use crate::reactor::{Passed, Reactor};
use crate::trace;
use futex_sys::__private::explain;
use futex_sys::{EventFd, Word};
use std::io;
use std::sync::{Arc, OnceLock, Weak};

/// The environment variable that names the backend, unless the caller chooses one.
pub(crate) const VARIABLE: &str = "FUTEX_BACKEND";

impl Reactor {
    /// Makes a reactor on the best backend that works here, or on the one that `FUTEX_BACKEND` names.
    ///
    /// # Errors
    ///
    /// The errors of [`ReactorBuilder::build`].
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// Returns a builder, to choose the backend.
    pub fn builder() -> ReactorBuilder {
        ReactorBuilder::default()
    }
}

/// A builder of a [`Reactor`], made by [`Reactor::builder`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder makes nothing until `build`"]
pub struct ReactorBuilder {
    backend: Option<Backend>,
    interrupting: bool,
}

impl ReactorBuilder {
    /// Uses this backend and no other.
    ///
    /// If this method is not called, the environment variable `FUTEX_BACKEND` names the backend (`uring`, `waitv` or
    /// `thread`). If that variable is unset or empty, the first backend that works here is used.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Lets completions interrupt the thread that armed the wait, even while that thread computes. This setting affects
    /// [`Backend::Uring`] only. The default is `false`.
    ///
    /// The kernel posts a completion on the thread that armed the wait: at once if that thread is in an interruptible sleep,
    /// otherwise when the thread next enters the kernel, and at the latest at the next tick of the clock (1 to 4 ms). With
    /// `true`, a thread that computes posts the completion within 0.1 ms (Linux 6.18, 2 CPUs), at the cost of an
    /// inter-processor interrupt per completion. Under load this cost can exceed the gain: see the
    /// [figures](https://github.com/async-futex/async-futex/blob/main/docs/kernel-support.md#late-completions).
    pub fn interrupting(mut self, interrupting: bool) -> Self {
        self.interrupting = interrupting;
        self
    }

    /// Makes the reactor.
    ///
    /// # Errors
    ///
    /// - If the chosen backend is not available here: the reason, with the names of the backends after it that are.
    /// - `InvalidInput` if `FUTEX_BACKEND` does not name a backend.
    /// - The kernel's error if it cannot make an eventfd, for instance because no descriptor is left.
    pub fn build(self) -> io::Result<Reactor> {
        let eventfd = Arc::new(EventFd::new()?);
        let chosen = match (self.backend, std::env::var_os(VARIABLE)) {
            (Some(kind), _) => Some(kind),
            (None, Some(name)) if !name.is_empty() => {
                let name = name.to_string_lossy();
                let cannot = |error: ParseBackendError| explain(error, format!("cannot use {VARIABLE}={name}"));
                Some(name.parse().map_err(cannot)?)
            }
            (None, _) => None,
        };
        let (kind, engine, passed) = match chosen {
            Some(kind) => {
                let engine = engine(kind, self.interrupting, &eventfd).map_err(|error| {
                    let others = others(kind, self.interrupting, &eventfd);
                    explain(
                        error,
                        format!("the futex backend {kind} is not available here, but {others} can be chosen"),
                    )
                })?;
                (kind, engine, Vec::new())
            }
            None => step_down(self.interrupting, &eventfd)?,
        };
        trace::chose(kind.as_str());
        Ok(Reactor::assemble(kind, engine, eventfd, passed))
    }
}

/// Lists, for a message, the backends after `kind` that work here. The backends before `kind` are not tried: a sandbox may
/// kill a process that calls io_uring.
fn others(kind: Backend, interrupting: bool, eventfd: &Arc<EventFd>) -> String {
    let after = Backend::LADDER.into_iter().skip_while(|other| *other != kind).skip(1);
    let names = after.filter(|other| engine(*other, interrupting, eventfd).is_ok()).map(Backend::as_str);
    names.collect::<Vec<_>>().join(" or ")
}

/// Opens the first backend that works here, and returns the reasons against the ones before it.
fn step_down(interrupting: bool, eventfd: &Arc<EventFd>) -> io::Result<(Backend, Arc<Engine<Word>>, Vec<Passed>)> {
    let mut passed = Vec::new();
    for kind in Backend::LADDER {
        match engine(kind, interrupting, eventfd) {
            Ok(engine) => return Ok((kind, engine, passed)),
            Err(error) => {
                trace::stepped_down(kind.as_str(), &error);
                passed.push((kind, error));
            }
        }
    }
    // Not reached: `Thread` needs nothing before its first wait.
    Err(passed.pop().map_or_else(|| io::Error::from(io::ErrorKind::Unsupported), |(_, error)| error))
}

/// Makes an engine on one backend, with its first queue open.
fn engine(kind: Backend, interrupting: bool, eventfd: &Arc<EventFd>) -> io::Result<Arc<Engine<Word>>> {
    // The backend's threads turn the engine, but must not keep it alive. None of them runs before the first wait.
    let handle = Arc::new(OnceLock::<Weak<Engine<Word>>>::new());
    let turn: Turn = {
        let handle = handle.clone();
        Arc::new(move || {
            if let Some(engine) = handle.get().and_then(Weak::upgrade) {
                engine.turn();
            }
        })
    };
    let engine = Arc::new(Engine::new(queues(kind, interrupting, turn, eventfd.clone())?)?);
    // This can't fail: nothing else sets the handle.
    let _ = handle.set(Arc::downgrade(&engine));
    Ok(engine)
}

/// Describes the queues of a backend.
fn queues(kind: Backend, interrupting: bool, turn: Turn, eventfd: Arc<EventFd>) -> io::Result<Queues<Word>> {
    match kind {
        #[cfg(feature = "uring")]
        Backend::Uring => {
            let ready = Arc::new(ReadyRings::new()?);
            let open = {
                let ready = ready.clone();
                move || Ok(Box::new(Uring::open(interrupting, &eventfd, ready.clone())?) as Box<dyn Queue<Word>>)
            };
            Ok(Queues {
                open: Box::new(open),
                room: uring::ROOM,
                spread: Uring::spread(),
                ready: Some(Box::new(ready)),
            })
        }
        #[cfg(not(feature = "uring"))]
        Backend::Uring => {
            drop((interrupting, turn, eventfd));
            Err(futex_sys::__private::fail(
                io::ErrorKind::Unsupported,
                "this program was built without the feature `uring`",
            ))
        }
        Backend::Waitv => {
            Waitv::probe()?;
            let open = move || Ok(Box::new(Waitv::new(turn.clone())) as Box<dyn Queue<Word>>);
            Ok(Queues { open: Box::new(open), room: usize::MAX, spread: 1, ready: None })
        }
        Backend::Thread => {
            let open = move || Ok(Box::new(Threads::new(turn.clone())) as Box<dyn Queue<Word>>);
            Ok(Queues { open: Box::new(open), room: usize::MAX, spread: 1, ready: None })
        }
    }
}
