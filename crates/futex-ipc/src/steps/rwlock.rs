//! The read-write lock: the word of a [mutex](super::mutex) for the writer, and [records](super::record) for the readers. Readers
//! enter without a lock.
//!
//! | place | |
//! |---|---|
//! | word | the mutex of the writers, which has two words; readers also sleep on the first one |
//! | event | a counter on which the writer sleeps while there are readers |
//! | records | number of readers of each member |
//!
//! A writer first takes the word, and then waits for the readers. During that time no reader enters, so writers are not starved.

mod place;
mod read;
mod write;

pub use self::place::RwLock;
#[cfg(test)]
pub use self::read::UndoRead;
pub use self::read::{EndRead, Read, TryRead};
#[cfg(test)]
pub use self::write::UndoWrite;
pub use self::write::{TryWrite, Write};
