//! The name of a region that was joined by a descriptor.

use super::{Name, OPEN};
use crate::os::at_fork::{Identity, identity};
use rustix::fs::{CWD, Mode, fstat, openat, readlinkat};
use rustix::process::geteuid;
use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

impl Name {
    /// Returns the name of a file, from the link that `/proc` has for its descriptor. `None` if the link does not lead to the file, if
    /// the file belongs to another user, or if other users may write it.
    ///
    /// The reason for the last two cases: the last member that leaves removes the name. Another user who can write a file, but can't
    /// remove its name, could make the file a region and pass it on. Then a process of this user would remove the name.
    pub(crate) fn of_file(file: impl AsFd, what: &str) -> Option<Self> {
        let stat = fstat(&file).ok()?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        if stat.st_uid != geteuid().as_raw() || mode.intersects(Mode::WGRP | Mode::WOTH) {
            return None;
        }
        // `thread-self`, because a thread can have its own table of descriptors.
        let link = format!("/proc/thread-self/fd/{}", file.as_fd().as_raw_fd());
        let path = PathBuf::from(OsString::from_vec(readlinkat(CWD, link, Vec::new()).ok()?.into_bytes()));
        let (directory, entry) = (path.parent()?, path.file_name()?);
        let name = Self { what: what.to_owned(), directory: directory.to_owned(), entry: entry.to_owned(), mode };
        let is_same = path.is_absolute() && name.leads_to((stat.st_dev, stat.st_ino)).is_ok_and(|is_same| is_same);
        is_same.then_some(name)
    }

    /// Opens the file by this name. Returns `None` if the name does not lead to the file. The link that `/proc` has for this descriptor
    /// is the name. The link for the maker's descriptor is not, because the file had no name when the maker opened it.
    pub(crate) fn reopen(&self, file: Identity) -> Option<OwnedFd> {
        let opened = openat(CWD, self.path(), OPEN, Mode::empty()).ok()?;
        identity(&opened).is_ok_and(|there| there == file).then_some(opened)
    }
}
