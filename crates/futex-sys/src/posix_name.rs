//! POSIX names of shared memory, `shm_open(3)`: on Linux the files of one directory.

use crate::error::{explain, fail, refuse};
use crate::object::{Identity, identity};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The directory of POSIX names on Linux, `shm_overview(7)`.
pub const DIRECTORY: &str = "/dev/shm";
/// The flags of `shm_open(3)`, and `NONBLOCK`, so that opening a pipe under the name does not wait for its other end.
const SAFELY: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);
pub(crate) const OPEN: OFlags = SAFELY.union(OFlags::RDWR);

/// A valid name of an object.
#[derive(Clone, Copy)]
pub(crate) struct PosixName<'a> {
    /// The name in its original form, for messages.
    given: &'a OsStr,
    /// The directory entry: the name without a leading slash.
    entry: &'a OsStr,
}

impl<'a> PosixName<'a> {
    pub(crate) fn new(name: &'a (impl AsRef<OsStr> + ?Sized)) -> io::Result<Self> {
        let given = name.as_ref();
        let bytes = given.as_bytes();
        let entry = bytes.strip_prefix(b"/").unwrap_or(bytes);
        if entry.is_empty()
            || entry.len() > 255
            || matches!(entry, b"." | b"..")
            || entry.iter().any(|b| b"/\0".contains(b))
        {
            return Err(refuse(format!(
                "{given:?} can't name shared memory: use 1 to 255 bytes without a slash (one leading slash is ignored) and \
                 without NUL, and not . or .."
            )));
        }
        Ok(Self { given, entry: OsStr::from_bytes(entry) })
    }

    pub(crate) fn open(self) -> io::Result<OwnedFd> {
        openat(CWD, self.path(), OPEN, Mode::empty()).map_err(|errno| self.cannot("open", errno))
    }

    /// The error of an operation on the name.
    pub(crate) fn cannot(self, operation: &str, errno: Errno) -> io::Error {
        let hint = match errno {
            Errno::LOOP => ", because a symbolic link has the name, and links are not followed",
            Errno::ACCESS | Errno::PERM => ", which belongs to another user, or whose mode forbids it",
            // A non-blocking open of a leased file fails so. Without another kind, the error would be `WouldBlock`, as of a
            // socket without a message.
            Errno::AGAIN => {
                let sentence = format!("cannot {operation} {self}: another process holds a lease on it (`F_SETLEASE`)");
                return fail(io::ErrorKind::ResourceBusy, sentence);
            }
            _ if !Path::new(DIRECTORY).is_dir() => {
                ", because this system has no directory /dev/shm: mount a tmpfs there"
            }
            _ => "",
        };
        explain(errno, format!("cannot {operation} {self}{hint}"))
    }

    /// Opens the object that has the name, only to lock it.
    pub(crate) fn open_to_lock(self) -> rustix::io::Result<OwnedFd> {
        openat(CWD, self.path(), SAFELY | OFlags::RDONLY, Mode::empty())
    }

    /// Removes the name, whatever object has it.
    pub(crate) fn unlink(self) -> io::Result<()> {
        rustix::fs::unlink(self.path()).map_err(|errno| self.cannot("unlink", errno))
    }

    /// Returns true if the name leads to this object now.
    pub(crate) fn leads_to(self, object: Identity) -> io::Result<bool> {
        match statat(CWD, self.path(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(identity(&stat) == object),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(explain(errno, format!("cannot check which object has the name of {self}"))),
        }
    }

    pub(crate) fn path(self) -> PathBuf {
        Path::new(DIRECTORY).join(self.entry)
    }

    pub(crate) fn entry(self) -> &'a OsStr {
        self.entry
    }
}

/// The entry of `/dev/shm` that a POSIX name means: the name without a leading slash.
///
/// # Errors
///
/// `InvalidInput` for an invalid name.
pub fn posix_entry(name: &OsStr) -> io::Result<&OsStr> {
    PosixName::new(name).map(PosixName::entry)
}

impl fmt::Display for PosixName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shared memory {:?}", self.given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Names near the limits of validity: slashes, dots, NUL, and lengths about 255.
    fn name() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![3 => Just(b'/'), 3 => Just(b'.'), 1 => Just(0), 2 => Just(b'a'), 2 => any::<u8>()];
        prop_oneof![3 => prop::collection::vec(byte, 0..5), 1 => prop::collection::vec(1_u8..255, 250..260)]
    }

    proptest! {
        #[test]
        fn a_name_is_refused_or_stays_in_its_directory(bytes in name()) {
            let name = OsStr::from_bytes(&bytes);
            let bare = bytes.strip_prefix(b"/").unwrap_or(&bytes);
            match PosixName::new(name) {
                Ok(accepted) => {
                    let path = accepted.path();
                    prop_assert_eq!(path.parent(), Some(Path::new(DIRECTORY)));
                    prop_assert_eq!(path.file_name().unwrap().as_bytes(), bare);
                    prop_assert!(!bare.contains(&0) && bare.len() <= 255);
                }
                Err(error) => {
                    prop_assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                    let is_bad = matches!(bare, b"" | b"." | b"..") || bare.contains(&b'/') || bare.contains(&0);
                    prop_assert!(is_bad || bare.len() > 255);
                }
            }
        }
    }
}
