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

/// The environment variable that overrides the automatic choice.
pub(crate) const VARIABLE: &str = "FUTEX_BACKEND";

impl Reactor {
    /// A reactor on the best backend that works here, or on the one that `FUTEX_BACKEND` names.
    ///
    /// # Errors
    ///
    /// Those of [`ReactorBuilder::build`].
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// A builder, to choose the backend.
    pub fn builder() -> ReactorBuilder {
        ReactorBuilder::default()
    }
}

/// Makes a [`Reactor`]. From [`Reactor::builder`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder makes nothing until `build`"]
pub struct ReactorBuilder {
    backend: Option<Backend>,
    interrupting: bool,
}

impl ReactorBuilder {
    /// Takes this backend and no other.
    ///
    /// Without it, `FUTEX_BACKEND` in the environment chooses (`uring`, `waitv` or `thread`), and without that the first
    /// one that works here is taken.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Opens rings whose completions interrupt the thread that armed the wait, also while it computes. It matters on
    /// [`Backend::Uring`] only. The default is `false`.
    ///
    /// A completion is posted by the thread that armed the wait: at once if that thread sleeps in the kernel, and otherwise
    /// when it next enters the kernel, at the latest at the next tick of the clock (1 to 4 ms). Interrupting rings post it
    /// within 0.1 ms, for the price of an inter-processor interrupt per completion. (Measured on Linux 6.18 and two
    /// processors: a pipe under load carries 146,000 messages per second with them, and 413,000 without.)
    pub fn interrupting(mut self, interrupting: bool) -> Self {
        self.interrupting = interrupting;
        self
    }

    /// Makes the reactor.
    ///
    /// # Errors
    ///
    /// The reason why the chosen backend is not available here, with the names of others that are. `InvalidInput` if
    /// `FUTEX_BACKEND` does not name a backend. The kernel's, if no descriptor is left for an eventfd.
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

/// The backends after `kind` that work here, as a list for a message. (Those before it are not tried: a sandbox may kill a
/// process that asks for io_uring.)
fn others(kind: Backend, interrupting: bool, eventfd: &Arc<EventFd>) -> String {
    let after = Backend::LADDER.into_iter().skip_while(|other| *other != kind).skip(1);
    let names = after.filter(|other| engine(*other, interrupting, eventfd).is_ok()).map(Backend::as_str);
    names.collect::<Vec<_>>().join(" or ")
}

/// The first backend that works here.
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
    // Not reached: the last rung needs nothing before its first wait.
    Err(passed.pop().map_or_else(|| io::Error::from(io::ErrorKind::Unsupported), |(_, error)| error))
}

/// An engine on one backend, with its first queue open.
fn engine(kind: Backend, interrupting: bool, eventfd: &Arc<EventFd>) -> io::Result<Arc<Engine<Word>>> {
    // Threads of the backend turn the engine, which they must not keep alive. None of them runs before the first wait.
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
    // It was not set: this is the only place, and it runs once.
    let _ = handle.set(Arc::downgrade(&engine));
    Ok(engine)
}

/// The queues of a backend.
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
