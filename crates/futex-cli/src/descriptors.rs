//! Whether this process has descriptors left.

use rustix::io::Errno;
use std::fs::File;
use std::io;

/// Returns an error unless this process could open this number of files more.
pub(crate) fn check_spare(count: usize) -> io::Result<()> {
    // Other errors, such as that of a sandbox, say nothing about descriptors.
    let opened = (0..count).map(|_| File::open("/")).collect::<io::Result<Vec<_>>>();
    opened.map(drop).or_else(|error| match Errno::from_io_error(&error) {
        Some(Errno::MFILE | Errno::NFILE) => Err(error),
        _ => Ok(()),
    })
}
