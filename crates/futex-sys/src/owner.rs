//! Owners of the memory that words lie in.

use crate::object::{Object, Place};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// What keeps the memory of a word valid as long as it lives. Words hold it by one thin pointer, because there may be many.
pub(crate) enum Owner {
    Object(Arc<Object>),
    /// A word that counts its handles itself.
    Word {
        _word: Arc<AtomicU32>,
    },
    /// An owner that the user supplied.
    Supplied {
        _owner: Arc<dyn Send + Sync>,
    },
}

impl Owner {
    /// The place of `word`, which lies in this owner's memory. `None` if only its address says which word it is.
    pub(crate) fn place(&self, word: NonNull<AtomicU32>) -> Option<Place> {
        match self {
            Self::Object(object) => Some(object.place(word)),
            Self::Word { .. } | Self::Supplied { .. } => None,
        }
    }
}
