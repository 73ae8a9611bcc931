//! Owners of the memory that words lie in.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// What keeps the memory of a word valid as long as it lives.
pub(crate) trait Owner: Send + Sync {
    /// The place of `word`, which lies in this owner's memory. `None` if only its address says which word it is.
    fn place(&self, _word: NonNull<AtomicU32>) -> Option<Place> {
        None
    }
}

/// Where a word lies in a shared object, wherever the object is mapped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Device and inode of the object.
    pub(crate) object: (u64, u64),
    /// Bytes from the start of the object.
    pub(crate) offset: usize,
}

/// A word that counts its handles itself.
impl Owner for AtomicU32 {}

/// An owner that the user supplied.
pub(crate) struct Supplied {
    _owner: Arc<dyn Send + Sync>,
}

impl Supplied {
    pub(crate) fn new(owner: Arc<dyn Send + Sync>) -> Self {
        Self { _owner: owner }
    }
}

impl Owner for Supplied {}
