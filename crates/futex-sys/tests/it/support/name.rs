//! Names in `/dev/shm`, for tests.

use std::fs;
use std::path::{Path, PathBuf};

/// A name for one test. Dropping it removes all files whose names are derived from it.
pub(crate) struct Name(pub(crate) String);

impl Name {
    pub(crate) fn new(what: &str) -> Self {
        Self(format!("/futex-sys-test-{what}-{}", std::process::id()))
    }

    /// The files whose names are derived from this name, also hidden files.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir("/dev/shm").expect("/dev/shm");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        names.filter(|name| self.is_origin_of(name)).collect()
    }

    /// Returns true for the name itself, for names that begin with it, and for the hidden names of both. If a digit follows, the
    /// file has a longer pid and belongs to another test.
    fn is_origin_of(&self, file: &str) -> bool {
        let rest = file.strip_prefix('.').unwrap_or(file).strip_prefix(&self.0[1..]);
        rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
    }

    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/dev/shm").join(&self.0[1..])
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        for file in self.files() {
            let _ = fs::remove_file(Path::new("/dev/shm").join(file));
        }
    }
}
