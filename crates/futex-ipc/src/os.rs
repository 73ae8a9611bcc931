//! What the kernel is asked for, beyond memory and futexes: locks on bytes of a file, and what happens at a `fork`.

pub(crate) mod at_fork;
pub(crate) mod byte_lock;
