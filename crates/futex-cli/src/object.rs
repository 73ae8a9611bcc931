//! Names, paths and descriptors of shared memory, and how each is opened.

use crate::failure::Failure;
use crate::output::printable;
use crate::proc::REFUSED_TO_ROOT;
use crate::proc::state::State;
use futex_tokio::SharedMemory;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// An object as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// A POSIX name, with or without its slash.
    Name(OsString),
    Path(PathBuf),
    /// A descriptor of another process.
    Descriptor {
        pid: u32,
        fd: u32,
    },
}

/// The directory of POSIX names, `shm_overview(7)`.
pub(crate) const NAMES: &str = "/dev/shm";

/// A pipe in the object's place is not waited for, and a terminal in it does not become that of this process.
const SAFELY: OFlags = OFlags::CLOEXEC.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

impl Object {
    /// The object, open for reading.
    pub(crate) fn open_to_look(&self) -> Result<OwnedFd, Failure> {
        let flags = SAFELY | OFlags::RDONLY;
        self.check_before()?;
        let opened = match self {
            Self::Name(name) => openat(CWD, entry(name)?, flags | OFlags::NOFOLLOW, Mode::empty()),
            Self::Path(path) => openat(CWD, path, flags, Mode::empty()),
            Self::Descriptor { pid, fd } => return self.open_descriptor(*pid, *fd, flags),
        };
        let fd = opened
            .map_err(|errno| Failure::new(format_args!("cannot open {self}: {errno}{}", self.hint(errno.kind()))))?;
        self.check_type(&fd)?;
        Ok(fd)
    }

    /// The object, mapped for reading and writing.
    pub(crate) fn open_to_change(&self) -> Result<SharedMemory, Failure> {
        self.check_before()?;
        // The library's sentences have the name or the path.
        let explain = |error: io::Error| {
            let needs = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    " (this command needs permission to read and to write; `show` and `get` only to read)"
                }
                _ => "",
            };
            Failure::new(format_args!("{}{needs}{}", printable(error.to_string()), self.hint(error.kind())))
        };
        match self {
            Self::Name(name) => {
                entry(name)?;
                SharedMemory::open(name).map_err(explain)
            }
            Self::Path(path) => SharedMemory::open_path(path).map_err(explain),
            Self::Descriptor { pid, fd } => {
                let opened = self.open_descriptor(*pid, *fd, SAFELY | OFlags::RDWR)?;
                SharedMemory::from_fd(opened).map_err(|error| Failure::new(format_args!("{self}: {error}")))
            }
        }
    }

    /// The path of a name or a path; `None` for a descriptor.
    pub(crate) fn path(&self) -> Result<Option<PathBuf>, Failure> {
        match self {
            Self::Name(name) => entry(name).map(Some),
            Self::Path(path) => Ok(Some(path.clone())),
            Self::Descriptor { .. } => Ok(None),
        }
    }

    /// Opens anew what a descriptor of another process leads to. It is not opened before its type is known: opening a device or
    /// a pipe can have effects.
    fn open_descriptor(&self, pid: u32, fd: u32, flags: OFlags) -> Result<OwnedFd, Failure> {
        let cannot_open = |errno: Errno| {
            let why = match (State::of_process(pid), errno) {
                (None, _) => format!("there is no process {pid} that this one can see"),
                // It stays until its parent has asked for its status.
                (Some(State::Zombie), _) => format!("process {pid} has ended"),
                (Some(_), Errno::NOENT) => format!("process {pid} has no descriptor {fd}"),
                (Some(_), Errno::ACCESS | Errno::PERM) if geteuid().is_root() => {
                    format!("root has no permission to inspect process {pid}{REFUSED_TO_ROOT}")
                }
                (Some(_), Errno::ACCESS | Errno::PERM) => {
                    format!("process {pid} or its object belongs to another user; try it as that user, or as root")
                }
                (Some(_), _) => errno.to_string(),
            };
            Failure::new(format_args!("cannot open {self}: {why}"))
        };
        let link = format!("/proc/{pid}/fd/{fd}");
        let found = openat(CWD, link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(cannot_open)?;
        self.check_type(&found)?;
        openat(CWD, format!("/proc/self/fd/{}", found.as_raw_fd()), flags, Mode::empty()).map_err(cannot_open)
    }

    /// Refuses a pipe or a device by its name: if it were opened, a writer that waits for a reader of the pipe would go on.
    fn check_before(&self) -> Result<(), Failure> {
        let found = match self {
            Self::Name(name) => statat(CWD, entry(name)?, AtFlags::SYMLINK_NOFOLLOW),
            Self::Path(path) => statat(CWD, path, AtFlags::empty()),
            Self::Descriptor { .. } => return Ok(()),
        };
        match found.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            // Opening it says more about a link.
            Err(_) | Ok(FileType::Symlink) => Ok(()),
            Ok(file) => self.check(file),
        }
    }

    fn check_type(&self, fd: &OwnedFd) -> Result<(), Failure> {
        let stat =
            fstat(fd).map_err(|errno| Failure::new(format_args!("cannot get the metadata of {self}: {errno}")))?;
        self.check(FileType::from_raw_mode(stat.st_mode))
    }

    /// Refuses what is not a regular file. Memfds are regular files.
    fn check(&self, file: FileType) -> Result<(), Failure> {
        let what = match file {
            FileType::RegularFile => return Ok(()),
            FileType::Directory => "a directory",
            FileType::Socket => "a socket",
            FileType::Fifo => "a pipe",
            FileType::CharacterDevice | FileType::BlockDevice => "a device",
            _ => "neither a memfd nor a regular file",
        };
        Err(Failure::new(format_args!("{self} is {what}, and not shared memory")))
    }

    /// What to do about an error of a name or a path.
    fn hint(&self, kind: io::ErrorKind) -> String {
        match (self, kind) {
            (Self::Name(name), io::ErrorKind::NotFound)
                if Path::new(name).is_relative() && Path::new(name).exists() =>
            {
                format!("; for the file in this directory, write ./{self}")
            }
            (Self::Name(_), io::ErrorKind::NotFound) => "; `futex ls` lists the names that exist".to_owned(),
            (_, io::ErrorKind::PermissionDenied) if geteuid().is_root() => String::new(),
            (_, io::ErrorKind::PermissionDenied) => "; try it as the user to whom it belongs, or as root".to_owned(),
            _ => String::new(),
        }
    }
}

/// The directory entry of a POSIX name.
fn entry(name: &OsStr) -> Result<PathBuf, Failure> {
    let bytes = name.as_bytes();
    let entry = bytes.strip_prefix(b"/").unwrap_or(bytes);
    if matches!(entry, b"" | b"." | b"..") || entry.len() > 255 {
        return Err(Failure::new(format_args!(
            "“{}” is not a POSIX name, which has 1 to 255 bytes, and is not . or ..; a path has a slash after its first \
             character, as ./jobs",
            printable(name)
        )));
    }
    Ok(Path::new(NAMES).join(OsStr::from_bytes(entry)))
}

/// A command line may have bytes that are not UTF-8, and so may a name.
impl From<OsString> for Object {
    fn from(text: OsString) -> Self {
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let descriptor = text.to_str().and_then(|text| {
            let (pid, fd) = text.split_once(':')?;
            Some(Self::Descriptor { pid: number(pid)?, fd: number(fd)? })
        });
        match descriptor {
            Some(descriptor) => descriptor,
            None if text.as_bytes().iter().skip(1).any(|&byte| byte == b'/') => Self::Path(text.into()),
            None => Self::Name(text),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(&printable(name)),
            Self::Path(path) => f.write_str(&printable(path)),
            Self::Descriptor { pid, fd } => write!(f, "{pid}:{fd}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_a_name_a_path_or_a_descriptor() {
        let object = |text: &[u8]| Object::from(OsStr::from_bytes(text).to_owned());
        for name in
            [&b"jobs"[..], b"/jobs", b"12:", b":7", b"12:x", b"+1:2", b"99999999999:1", b"a:b", b"\xff", b"", b"/"]
        {
            assert!(matches!(object(name), Object::Name(_)), "{name:?}");
        }
        for path in [&b"./jobs"[..], b"/srv/jobs", b"jobs/", b"//jobs", b"\xff/a", b"12:7/"] {
            assert!(matches!(object(path), Object::Path(_)), "{path:?}");
        }
        assert_eq!(object(b"12:7"), Object::Descriptor { pid: 12, fd: 7 });
    }

    #[test]
    fn a_name_is_an_entry_of_one_directory() {
        let path = |name: &str| entry(OsStr::new(name)).ok();
        assert_eq!(path("jobs"), path("/jobs"));
        assert_eq!(path("jobs").unwrap(), Path::new("/dev/shm/jobs"));
        for wrong in ["", "/", ".", "..", "/..", &"n".repeat(256)] {
            assert_eq!(path(wrong), None, "{wrong}");
        }
    }
}
