//! What a contestant can do: the seam between the situations and the libraries.

use anyhow::Result;
use std::sync::atomic::{AtomicU32, Ordering};

/// The handle that one process has of a contestant's object: a lock, and a value of two halves that the lock protects.
///
/// A process calls the methods one at a time. It calls `store` and `store_half` only while it holds the lock.
pub(crate) trait Handle {
    /// Version of the library, or of the part of the system that does the work.
    fn version(&self) -> String;

    /// Blocks until this process holds the lock. Returns what the library reports about an earlier owner, in the library's own
    /// words, or an empty text.
    fn hold(&mut self) -> Result<String>;

    /// Releases the lock.
    fn release(&mut self) -> Result<()>;

    /// Stores both halves, in the way that the library's users do it.
    fn store(&mut self, value: u32) -> Result<()>;

    /// Does the first half of `store`, and leaves the rest undone.
    fn store_half(&mut self, value: u32) -> Result<()>;

    /// Loads both halves.
    fn load(&mut self) -> Result<[u32; 2]>;

    /// Overwrites everything that the processes share, once, with random bytes.
    fn scribble(&mut self, random: &mut fastrand::Rng) -> Result<()>;
}

/// Opens the object with this name, or makes it if it does not exist.
pub(crate) type Open = fn(name: &str) -> Result<Box<dyn Handle>>;

/// Overwrites words.
pub(crate) fn scribble(words: &[AtomicU32], random: &mut fastrand::Rng) {
    words.iter().for_each(|word| word.store(random.u32(..), Ordering::Relaxed));
}

/// A value of two halves in plain shared memory.
pub(crate) struct Halves<'a>(pub(crate) &'a [AtomicU32]);

impl Halves<'_> {
    pub(crate) fn store(&self, value: u32) {
        self.store_half(value);
        self.0[1].store(value, Ordering::Relaxed);
    }

    pub(crate) fn store_half(&self, value: u32) {
        self.0[0].store(value, Ordering::Relaxed);
    }

    pub(crate) fn load(&self) -> [u32; 2] {
        [0, 1].map(|half| self.0[half].load(Ordering::Relaxed))
    }
}
