//! The resources that this process holds: rings, threads of the backends, and mappings.

use futex_sys::SharedMemory;
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// Returns the numbers of the descriptors of this process that are rings.
///
/// A comparison of two results shows that a ring was closed only if no other ring has got its number since.
///
/// # Panics
///
/// If `/proc` is not mounted.
#[must_use]
pub fn rings() -> BTreeSet<u32> {
    fs::read_dir("/proc/self/fd")
        .expect("/proc/self/fd")
        .filter_map(|entry| {
            let entry = entry.expect("a descriptor");
            // One entry is the descriptor of the directory itself, which is not a ring and may be closed by now.
            let target = fs::read_link(entry.path()).ok()?;
            (target.as_os_str() == "anon_inode:[io_uring]")
                .then(|| entry.file_name().to_str().and_then(|number| number.parse().ok()).expect("a number"))
        })
        .collect()
}

/// Returns the number of threads that the backends of this process have, parked or not: see [`threads`].
///
/// # Panics
///
/// If `/proc` is not mounted.
#[must_use]
pub fn backend_threads() -> usize {
    threads("futex-wait")
}

/// Returns the number of threads of this process whose name begins like this. A thread gets its name when it begins to run, so a new
/// thread may be missing.
///
/// # Panics
///
/// If `/proc` is not mounted.
#[must_use]
pub fn threads(name: &str) -> usize {
    fs::read_dir("/proc/self/task")
        .expect("/proc/self/task")
        .filter(|entry| {
            let path = entry.as_ref().expect("a thread").path();
            // This can't be read if the thread has ended meanwhile.
            fs::read_to_string(path.join("comm")).is_ok_and(|there| there.starts_with(name))
        })
        .count()
}

/// Returns the lines of `/proc/self/maps`, one per mapping.
///
/// # Panics
///
/// If `/proc` is not mounted.
#[must_use]
pub fn mappings() -> Vec<String> {
    fs::read_to_string("/proc/self/maps").expect("/proc/self/maps").lines().map(String::from).collect()
}

/// The object behind a mapping, by device and inode. Unlike an address, these do not pass to another mapping.
#[derive(Debug)]
pub struct Object(String);

impl Object {
    /// Returns the object that `memory` maps.
    ///
    /// # Panics
    ///
    /// If `/proc` is not mounted.
    #[must_use]
    pub fn of(memory: &SharedMemory) -> Self {
        let start = format!("{:x}-", memory.as_ptr() as usize);
        let mapped = mappings();
        let line = mapped.iter().find(|line| line.starts_with(&start)).expect("the memory is mapped");
        Self(Self::key(line))
    }

    /// Returns true if this process maps the object.
    ///
    /// # Panics
    ///
    /// If `/proc` is not mounted.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        mappings().iter().any(|line| Self::key(line) == self.0)
    }

    /// Returns device and inode of a line such as `7f00-7f01 rw-s 00000000 00:01 4711 /memfd:words (deleted)`.
    fn key(line: &str) -> String {
        line.split_whitespace().skip(3).take(2).collect::<Vec<_>>().join(" ")
    }
}

/// Returns when `condition` is true. Yields the processor between the checks.
///
/// # Panics
///
/// If that takes longer than `limit`, which is a promise of the library.
#[track_caller]
pub fn until_within(limit: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "a condition did not come true within {limit:?}");
        std::thread::yield_now();
    }
}
