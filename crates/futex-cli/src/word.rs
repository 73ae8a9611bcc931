//! The word that a command waits on or changes.

use crate::args::Place;
use crate::failure::Failure;
use crate::object::Object;
use crate::value::Offset;
use futex_tokio::{SharedMemory, Word};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// Opens the memory of a word that is loaded or stored.
pub(crate) fn open(place: &Place) -> Result<(SharedMemory, Word), Failure> {
    let memory = place.object.open_to_change()?;
    let word = word(&place.object, &memory, place.offset)?;
    Ok((memory, word))
}

/// Returns a word of `memory`, which is that of `object`. If it is only woken, its page needs no memory.
pub(crate) fn find(object: &Object, memory: &SharedMemory, Offset(offset): Offset) -> Result<Word, Failure> {
    memory.word(offset).map_err(|error| Failure::new(format_args!("{object}: {error}")))
}

/// Returns a word of `memory` that is loaded or stored.
pub(crate) fn word(object: &Object, memory: &SharedMemory, offset: Offset) -> Result<Word, Failure> {
    let word = find(object, memory, offset)?;
    let Offset(offset) = offset;
    // Objects of others may have no page there yet. If `/dev/shm` is full, the first access to the page would raise SIGBUS.
    match fallocate(memory, FallocateFlags::KEEP_SIZE, offset as u64, 4) {
        Err(Errno::NOSPC | Errno::DQUOT) => Err(Failure::new(format_args!(
            "{object} has no memory at offset {offset} yet, and its file system or the quota is full: remove what is not used from it, or \
             make it larger (`mount -o remount,size=…`)"
        ))),
        // All others are met again, or do not matter: a file system without the call is not that of shared memory.
        _ => Ok(word),
    }
}

/// Says that an object of `len` bytes has no word at `offset`.
pub(crate) fn is_missing(offset: usize, len: usize) -> String {
    format!("there is no word at offset {offset:#x}, because it has {len} bytes")
}
