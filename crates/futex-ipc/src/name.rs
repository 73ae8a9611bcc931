//! Regions with names.
//!
//! The name of a region is that of a file. The last member that leaves removes the name, and a name never leads two members to two
//! regions. RANGE is the write lock on the bytes of all slots: a process that has it knows that no member lives, and prevents others
//! from joining. SAME means that the name and a descriptor have the same device and inode.
//!
//! To open or create:
//!
//! 1. Open the name, and never create it. If it does not exist: 6.
//! 2. Try to lock RANGE. If that succeeds, the file is what a crash has left. If SAME, unlink the name. Unlock, close, and go back to 1.
//! 3. Otherwise ask the kernel for the lock that conflicts. If it is longer than one byte, or gone, another process is at step 2, or
//!    leaves. Pause, and go back to 1. If it is a lock of one byte, a member lives: join.
//! 4. With the lock of a slot's byte, and **before** the slot is LIVE: if not SAME, unlock, close, and go back to 1.
//! 5. The slot is LIVE. Done.
//! 6. Make a file without a name, write the header, lock the byte of slot 0, and make the slot LIVE. Link the file to the name. If the
//!    name exists by now: close, and go back to 1.
//!
//! To leave: the slot is FREE. Unlock its byte, **then** try to lock RANGE. If that succeeds and SAME, unlink the name. Unlock.
//! Otherwise another member lives, or another process does the same.
//!
//! In step 3 a process joins only if it has seen the lock of a member. Otherwise it could join the remains of a crash, if the process at
//! step 2 was killed there.

mod learn;
mod make;
pub(crate) mod open;
#[cfg(test)]
#[cfg(not(loom))]
mod races;
#[cfg(test)]
#[cfg(not(loom))]
mod stress;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use crate::file_system;
use crate::format::{FIRST_SLOT_BYTE, Layout, MAX_MEMBERS, refuse};
use crate::hook::{Point, reach};
use crate::os::at_fork::{Identity, OwnFile};
use crate::os::byte_lock;
use futex_sys::__private::{DIRECTORY, explain, fail, posix_entry, with_kind};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// The bytes of all slots that a region can have.
const RANGE: Range<u32> = FIRST_SLOT_BYTE..FIRST_SLOT_BYTE + MAX_MEMBERS;

/// The flags for opening a name.
const OPEN: OFlags =
    OFlags::RDWR.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// A name of a region.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    /// The region in messages.
    what: String,
    directory: PathBuf,
    entry: OsString,
    mode: Mode,
}

/// Result of opening a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    Nothing,
    /// The remains of a crash. This process has locked RANGE.
    Remains,
    /// The lock of a member.
    Member,
    /// Another process has locked RANGE, or has unlocked a byte since then.
    Change,
}

/// The meaning of a lock that conflicted with RANGE.
fn meaning(lock: Option<&Range<u32>>) -> Found {
    match lock {
        Some(lock) if lock.len() == 1 => Found::Member,
        _ => Found::Change,
    }
}

impl Name {
    /// A name in this directory, or in the directory of POSIX names.
    pub(crate) fn new(name: &OsStr, directory: Option<&Path>, mode: u32) -> io::Result<Self> {
        let entry = posix_entry(name)?.to_owned();
        if mode & !0o666 != 0 || mode & 0o600 != 0o600 {
            return Err(refuse(format!(
                "{mode:#o} can't be the mode of a region: its owner must be able to read and write it, and no user may execute it. Use a \
                 mode such as 0o600 or 0o660"
            )));
        }
        let what = match directory {
            None => format!("the region {name:?}"),
            Some(directory) => format!("the region {name:?} in {}", directory.display()),
        };
        let directory = std::path::absolute(directory.unwrap_or_else(|| Path::new(DIRECTORY)))?;
        let this = Self { what, directory, entry, mode: Mode::from_raw_mode(mode) };
        if this.is_for_several_users() {
            this.check_directory()?;
        }
        Ok(this)
    }

    fn is_for_several_users(&self) -> bool {
        self.mode.intersects(Mode::WGRP | Mode::WOTH)
    }

    /// Refuses a sticky directory, in which only the owner of a region can remove its name.
    fn check_directory(&self) -> io::Result<()> {
        let stat = statat(CWD, &self.directory, AtFlags::empty()).map_err(|errno| self.cannot("open", errno))?;
        if Mode::from_raw_mode(stat.st_mode).contains(Mode::SVTX) {
            return Err(refuse(format!(
                "{self} can't have the mode {:#o}, which is for several users: {} has the sticky bit, so that only its owner \
                 can remove the region. Use another directory (`Builder::directory`), or mode 0o600",
                self.mode.as_raw_mode(),
                self.directory.display()
            )));
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.directory.join(&self.entry)
    }

    /// The region as an argument of the tool `futex`: a name in the directory of POSIX names, and otherwise a path.
    pub(crate) fn tool_argument(&self) -> String {
        let path = self.path();
        let argument = if self.directory == Path::new(DIRECTORY) { Path::new(&self.entry) } else { &path };
        argument.to_string_lossy().escape_debug().to_string()
    }

    fn cannot(&self, verb: &str, errno: Errno) -> io::Error {
        let hint = match errno {
            Errno::LOOP => ", because the name is that of a symbolic link, which is not followed",
            Errno::ACCESS | Errno::PERM => ", because it belongs to another user, or its mode forbids this",
            _ => "",
        };
        explain(errno, format!("cannot {verb} {self}{hint}"))
    }

    /// SAME: true if the name leads to this file.
    pub(crate) fn leads_to(&self, file: Identity) -> io::Result<bool> {
        self.path_leads_to(&self.path(), file)
    }

    fn path_leads_to(&self, path: &Path, file: Identity) -> io::Result<bool> {
        match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok((stat.st_dev, stat.st_ino) == file),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(explain(errno, format!("cannot check which file has the name of {self}"))),
        }
    }

    /// Opens the file of the name. Refuses a file that can't be a region of this user.
    fn open_path(&self, path: &Path) -> io::Result<Option<OwnFile>> {
        let opened = OwnFile::open(|| {
            openat(CWD, path, OPEN, Mode::empty()).map_err(|errno| match errno {
                Errno::NOENT => errno.into(),
                // A directory, a socket or a device.
                Errno::ISDIR | Errno::NXIO | Errno::NODEV => self.not_regular(),
                Errno::LOOP => with_kind(io::ErrorKind::InvalidInput, self.cannot("open", errno)),
                _ => self.cannot("open", errno),
            })
        });
        match opened {
            Ok(file) => self.verify(&file).map(|()| Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn not_regular(&self) -> io::Error {
        refuse(format!("{self} can't be opened: the file of this name is not a regular file. Use another name"))
    }

    fn verify(&self, file: &OwnFile) -> io::Result<()> {
        let stat = rustix::fs::fstat(file).map_err(|errno| self.cannot("open", errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(self.not_regular());
        }
        let (theirs, ours) = (stat.st_uid, geteuid().as_raw());
        if theirs != ours && !self.is_for_several_users() {
            return Err(fail(
                io::ErrorKind::PermissionDenied,
                format!(
                    "{self} belongs to user {theirs}, and this process runs as user {ours}: a region with mode {:#o} is for one \
                     user. Use another name, or a mode for several users (`Builder::mode`)",
                    self.mode.as_raw_mode()
                ),
            ));
        }
        file_system::check(file, self)
    }

    /// Steps 2 and 3.
    fn look(&self, file: &OwnFile) -> io::Result<Found> {
        let locks = |error| explain(error, format!("cannot open {self}"));
        if byte_lock::try_lock(file, RANGE).map_err(locks)? {
            reach(Point::Cleaning);
            return Ok(Found::Remains);
        }
        let lock = byte_lock::locked_by_others(file, RANGE).map_err(locks)?;
        reach(Point::Looked);
        Ok(meaning(lock.as_ref()))
    }

    /// The rest of step 2. The file has the lock of RANGE.
    fn remove(&self, file: OwnFile, path: &Path) -> io::Result<()> {
        // A hidden file may have no header.
        let removed = match path == self.path() && !self.is_region(&file)? {
            true => Err(fail(
                io::ErrorKind::InvalidData,
                format!(
                    "{self} can't be opened: the file of this name is not a region of futex-ipc. Use another name, or remove the \
                     file ({})",
                    path.display()
                ),
            )),
            false => self.unlink(path, file.identity()),
        };
        reach(Point::Cleaned);
        // Explicitly, because a child of a raw `clone` may keep the description.
        byte_lock::unlock(&file, RANGE)?;
        file.close();
        removed
    }

    fn is_region(&self, file: &OwnFile) -> io::Result<bool> {
        let mut first_word = [0; 8];
        let read = rustix::io::pread(file, &mut first_word, 0).map_err(|errno| self.cannot("read", errno))?;
        Ok(read == first_word.len() && Layout::is_of_a_region(first_word))
    }

    /// Unlinks a name if it leads to this file. The file has the lock of RANGE.
    fn unlink(&self, path: &Path, file: Identity) -> io::Result<()> {
        if self.path_leads_to(path, file)? {
            match rustix::fs::unlink(path) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(self.cannot("remove the remains of", errno)),
            }
        }
        Ok(())
    }

    /// Leaves: the part after the slot's byte was unlocked. After an error the name stays, and the next process that opens it removes it.
    pub(crate) fn leave(&self, file: BorrowedFd<'_>, identity: Identity) {
        if byte_lock::try_lock(file, RANGE).is_ok_and(|locked| locked) {
            reach(Point::Last);
            let _ = self.unlink(&self.path(), identity);
            let _ = self.unlink(&self.hidden_path(), identity);
            reach(Point::Removed);
            let _ = byte_lock::unlock(file, RANGE);
        }
    }

    /// Like [`leave`](Self::leave), for a member that has lost its descriptor.
    pub(crate) fn leave_again(&self, identity: Identity) {
        if let Ok(Some(file)) = self.open_path(&self.path()) {
            if file.identity() == identity {
                self.leave(file.as_fd(), identity);
            }
            file.close();
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
