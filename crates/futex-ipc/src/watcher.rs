//! The watcher: the thread of this process that notices the death of other members, for all regions.

mod waits;

pub(crate) use self::waits::{Ticket, Waits};
