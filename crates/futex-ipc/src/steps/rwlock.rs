//! The read-write lock: the word of a [mutex](super::mutex) for the writer, and [records](super::record) for the readers. Readers
//! enter without a lock.
//!
//! | place | |
//! |---|---|
//! | word | the mutex of the writers, of two words; readers sleep on the first one as well |
//! | event | a counter that the writer sleeps on while there are readers |
//! | records | number of readers of each member |
//!
//! A writer first takes the word, and then waits for the readers. No reader enters meanwhile. So writers are not starved.

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
