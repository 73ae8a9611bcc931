//! System calls beyond memory and futexes: locks on bytes of a file, the treatment of forks, and blocked signals.

pub(crate) mod at_fork;
pub(crate) mod byte_lock;
pub(crate) mod signals;
