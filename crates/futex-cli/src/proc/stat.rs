//! The metadata of files, without waiting for a file server.

use super::maps::FileId;
use rustix::fs::{AtFlags, Statx, StatxFlags, statx};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

impl FileId {
    pub(crate) fn of(stat: &Statx) -> Self {
        Self { device: (stat.stx_dev_major, stat.stx_dev_minor), inode: stat.stx_ino }
    }
}

/// The metadata of an open file.
pub(crate) fn stat_open(file: impl AsFd) -> io::Result<Statx> {
    Ok(statx(file, "", AtFlags::EMPTY_PATH, WANTED)?)
}

/// The metadata of a path. A file server that does not answer is not waited for.
pub(crate) fn stat_path(path: impl AsRef<Path>, flags: AtFlags) -> rustix::io::Result<Statx> {
    statx(rustix::fs::CWD, path.as_ref(), flags | AtFlags::STATX_DONT_SYNC, WANTED)
}

const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);
