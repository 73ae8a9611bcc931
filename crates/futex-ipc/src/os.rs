//! What the kernel is asked for, beyond memory and futexes: locks on bytes of a file, what happens at a `fork`, and
//! blocked signals.

pub(crate) mod at_fork;
pub(crate) mod byte_lock;
pub(crate) mod signals;
