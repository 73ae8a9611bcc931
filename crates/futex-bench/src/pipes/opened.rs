//! The consumer's end of a pipe.

use super::control::Control;
use crate::executor::Executor;
use crate::hull::Hull;
use std::io;

/// Takes as many messages.
pub(crate) type Consume = Box<dyn FnMut(&Executor, usize) -> io::Result<()>>;

/// The consumer's end.
pub(crate) struct Opened {
    pub(crate) control: Control,
    /// What each producer is started with.
    pub(crate) hulls: Vec<Hull>,
    /// To be called when the producers were started.
    pub(crate) consume: Box<dyn FnOnce() -> io::Result<Consume>>,
}
