//! Owners of the memory of words.

use crate::object::{Object, Place};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// An owner keeps the memory of a word valid while it lives. A word has one thin pointer to its owner, because a program may
/// have many words.
pub(crate) enum Owner {
    Object(Arc<Object>),
    /// The allocation of a word made from an `Arc<AtomicU32>`.
    Word {
        _word: Arc<AtomicU32>,
    },
    /// An owner that the user supplied.
    Supplied {
        _owner: Arc<dyn Send + Sync>,
    },
}

impl Owner {
    /// The place of `word`, which is in the memory of this owner. `None` if only the address identifies the word.
    pub(crate) fn place(&self, word: NonNull<AtomicU32>) -> Option<Place> {
        match self {
            Self::Object(object) => Some(object.place(word)),
            Self::Word { .. } | Self::Supplied { .. } => None,
        }
    }
}
