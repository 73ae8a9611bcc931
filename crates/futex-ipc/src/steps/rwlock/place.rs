//! The places of a read-write lock.

use crate::steps::Place;
use crate::steps::record::Records;

/// The places of a read-write lock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RwLock {
    /// The first word of the mutex.
    pub word: Place,
    /// The counter on which a writer sleeps.
    pub event: Place,
    /// The records of the members.
    pub records: Records,
}
