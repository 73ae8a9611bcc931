//! New regions under a name. A region gets its name last, when it is complete and has its first member.

use super::{Found, Name};
use crate::attachment::Attachment;
use crate::file_system;
use crate::format::Layout;
use crate::hook::{Point, reach};
use crate::os::at_fork::OwnFile;
use crate::presence::{Joined, Presence};
use futex_sys::__private::{explain, fail};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// The way to hide a new region from other processes until it is complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// A file without a name (`O_TMPFILE`). If the process is killed before the end, nothing remains.
    Nameless,
    /// A file with a hidden name, for systems that don't support `O_TMPFILE` or the linking of descriptors. If the process is killed
    /// before the end, the hidden name remains, and the next process that makes the region removes it.
    Hidden,
}

/// Result of an attempt to make a region.
pub(super) enum Made {
    Member(Presence),
    /// The name exists by now, or another process is making the region.
    Taken,
    Unsupported,
}

impl Name {
    /// Step 6. Returns `None` if the caller must open the name again.
    pub(super) fn make(&self, layout: Layout, label: &str) -> io::Result<Option<Presence>> {
        for &way in ways() {
            match self.make_by(way, layout, label)? {
                Made::Member(presence) => return Ok(Some(presence)),
                Made::Taken => return Ok(None),
                Made::Unsupported => {}
            }
        }
        Err(fail(
            io::ErrorKind::Unsupported,
            format!(
                "cannot create {self}: the file system of {} can't make files and link them. Use another directory \
                 (`Builder::directory`)",
                self.directory.display()
            ),
        ))
    }

    pub(super) fn make_by(&self, way: Way, layout: Layout, label: &str) -> io::Result<Made> {
        let made = self.try_to_make(way, layout, label);
        if made.is_err() && way == Way::Hidden {
            // The file is closed by now, but its hidden name may remain, as after a crash.
            let _ = self.remove_hidden();
        }
        made
    }

    fn try_to_make(&self, way: Way, layout: Layout, label: &str) -> io::Result<Made> {
        if way == Way::Hidden {
            // This check comes before the hidden name exists. Otherwise the name would have to be removed.
            if let Ok(directory) = openat(CWD, &self.directory, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
                file_system::check(directory, self)?;
            }
        }
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let drafted = OwnFile::open(|| match way {
            Way::Nameless => Ok(openat(CWD, &self.directory, flags | OFlags::TMPFILE, self.mode)?),
            Way::Hidden => {
                let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                Ok(openat(CWD, self.hidden_path(), flags, self.mode)?)
            }
        });
        let file = match drafted {
            Ok(file) => file,
            Err(error) => match Errno::from_io_error(&error) {
                Some(errno) if way == Way::Nameless && means_unsupported(errno) => return Ok(Made::Unsupported),
                Some(Errno::EXIST) if way == Way::Hidden => return self.remove_hidden().map(|()| Made::Taken),
                // The directory exists, but can't have new files. An example is /proc.
                Some(Errno::NOENT) if self.directory.is_dir() => return Ok(Made::Unsupported),
                Some(Errno::NOENT) => {
                    let sentence = format!("cannot create {self}: there is no directory {}", self.directory.display());
                    return Err(explain(Errno::NOENT, sentence));
                }
                _ => return Err(explain(error, format!("cannot create {self}"))),
            },
        };
        reach(Point::Drafted);
        file_system::check(&file, self)?;
        // The umask may have cleared bits of the mode.
        rustix::fs::fchmod(&file, self.mode).map_err(|errno| self.cannot("set the mode of", errno))?;

        let attachment = Attachment::make(self.what.clone(), file, layout)?;
        // Another process may have taken the hidden file for the remains of a crash, and have had RANGE for a moment. Then it has
        // unlinked the hidden name.
        let has_its_name = |attachment: &Attachment| match way {
            Way::Nameless => Ok(true),
            Way::Hidden => self.path_leads_to(&self.hidden_path(), attachment.identity()),
        };
        let Joined::Member(presence) = Presence::join(attachment, label, has_its_name)? else {
            return Ok(Made::Taken);
        };
        reach(Point::Made);

        let linked = match way {
            Way::Nameless => link(presence.as_fd(), &self.path()),
            Way::Hidden => {
                let linked = linkat(CWD, self.hidden_path(), CWD, self.path(), AtFlags::empty());
                self.unlink(&self.hidden_path(), presence.identity())?;
                linked
            }
        };
        match linked {
            Ok(()) => {
                reach(Point::Linked);
                presence.set_name(self.clone());
                Ok(Made::Member(presence))
            }
            Err(Errno::EXIST) => Ok(Made::Taken),
            Err(errno) if way == Way::Nameless && means_unsupported(errno) => Ok(Made::Unsupported),
            Err(errno) => Err(explain(errno, format!("cannot give {self} its name"))),
        }
    }

    /// Each name has one hidden name, so that crashes leave at most one file.
    pub(super) fn hidden_path(&self) -> PathBuf {
        let mut entry = std::ffi::OsString::from(".");
        entry.push(&self.entry);
        entry.push(".new");
        self.directory.join(entry)
    }

    /// Removes a hidden file that a crash has left. Does nothing if another process is making the region.
    fn remove_hidden(&self) -> io::Result<()> {
        let path = self.hidden_path();
        match self.open_path(&path)? {
            Some(file) if self.look(&file)? == Found::Remains => self.remove(file, &path),
            _ => Ok(()),
        }
    }
}

fn ways() -> &'static [Way] {
    #[cfg(test)]
    if crate::hook::ONLY_HIDDEN.load(std::sync::atomic::Ordering::Relaxed) {
        return &[Way::Hidden];
    }
    &[Way::Nameless, Way::Hidden]
}

/// Links a file that has no name.
fn link(file: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<()> {
    // This needs no privileges since Linux 6.10.
    match linkat(file, "", CWD, path, AtFlags::EMPTY_PATH) {
        Err(errno) if means_unsupported(errno) => {
            // `thread-self`, because a thread can have its own table of descriptors.
            let descriptor = format!("/proc/thread-self/fd/{}", file.as_raw_fd());
            linkat(CWD, descriptor, CWD, path, AtFlags::SYMLINK_FOLLOW)
        }
        result => result,
    }
}

/// True for the errors of a system without `O_TMPFILE` or `/proc`, and of a sandbox that forbids linking a descriptor.
fn means_unsupported(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL | Errno::PERM | Errno::NOSYS | Errno::XDEV
    )
}
