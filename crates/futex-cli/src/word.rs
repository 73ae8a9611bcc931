//! The word that a command waits on or changes.

use crate::failure::Failure;
use crate::object::Object;
use crate::value::Offset;
use futex_tokio::{SharedMemory, Word};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// The word of `object` at `offset`, and the memory that it lies in.
pub(crate) fn open(object: &Object, offset: Offset) -> Result<(SharedMemory, Word), Failure> {
    let memory = object.open_to_change()?;
    let word = word(object, &memory, offset)?;
    Ok((memory, word))
}

/// The word of `memory`, which is that of `object`.
pub(crate) fn word(object: &Object, memory: &SharedMemory, Offset(offset): Offset) -> Result<Word, Failure> {
    let word = memory.word(offset).map_err(|error| Failure::new(format_args!("{object}: {error}")))?;
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
