//! The file systems on which a region can't be.

use futex_sys::__private::{explain, fail};
use rustix::fs::fstatfs;
use std::fmt;
use std::io;
use std::os::fd::AsFd;

/// Refuses the file of a region if its file system does not have the locks or the memory that members need. `what` names the region
/// in messages.
///
/// # Errors
///
/// `Unsupported` for such a file system. Those of fstatfs(2).
pub(crate) fn check(file: impl AsFd, what: impl fmt::Display) -> io::Result<()> {
    let stat =
        fstatfs(file).map_err(|errno| explain(errno, format!("cannot find out which file system {what} is on")))?;
    let Some((name, fault)) = fault(stat.f_type as u32) else { return Ok(()) };
    let fault = match fault {
        Fault::Remote => "does not have the locks and the memory that all processes of one machine share",
        Fault::Stacked => "drops the lock of a member whose descriptor is closed, although the member uses the memory",
    };
    Err(fail(
        io::ErrorKind::Unsupported,
        format!(
            "{what} can't be on {name}, which {fault}: use a directory on a local file system, preferably a tmpfs such as /dev/shm"
        ),
    ))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// Other machines or programs provide the file system, so its locks and memory are not those of this kernel.
    Remote,
    /// A mapping belongs to a file of another file system, and not to the description by which the file was mapped. So the mapping
    /// does not keep the lock of a member after a careless `close`, and a living member would seem dead.
    Stacked,
}

/// Returns the name and the fault of a file system that is refused. `number` is that of `linux/magic.h` or of its source.
fn fault(number: u32) -> Option<(&'static str, Fault)> {
    UNFIT.iter().find(|(unfit, ..)| *unfit == number).map(|&(_, name, fault)| (name, fault))
}

const UNFIT: [(u32, &str, Fault); 15] = [
    (0x6969, "NFS", Fault::Remote),
    (0x517b, "SMB", Fault::Remote),
    (0xfe53_4d42, "SMB", Fault::Remote),
    (0xff53_4d42, "SMB", Fault::Remote),
    // Also virtiofs, and programs such as sshfs.
    (0x6573_5546, "FUSE", Fault::Remote),
    (0x0102_1997, "9p", Fault::Remote),
    (0x00c3_6400, "Ceph", Fault::Remote),
    (0x5346_414f, "AFS", Fault::Remote),
    (0x6b41_4653, "AFS", Fault::Remote),
    (0x0bd0_0bd0, "Lustre", Fault::Remote),
    (0x7375_7245, "Coda", Fault::Remote),
    (0x0116_1970, "GFS2", Fault::Remote),
    (0x7461_636f, "OCFS2", Fault::Remote),
    (0x786f_4256, "a shared folder of VirtualBox", Fault::Remote),
    // The root of most containers.
    (0x794c_7630, "OverlayFS", Fault::Stacked),
];

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn file_systems_of_several_machines_or_programs_and_overlays_are_unfit() {
        let remote = |name| Some((name, Fault::Remote));
        assert_eq!(fault(0x6969), remote("NFS"));
        assert_eq!(fault(0x6573_5546), remote("FUSE"));
        assert_eq!(fault(0x0102_1997), remote("9p"));
        assert_eq!(fault(0x794c_7630), Some(("OverlayFS", Fault::Stacked)));
        // tmpfs, ext4, XFS, Btrfs.
        for number in [0x0102_1994, 0xef53, 0x5846_5342, 0x9123_683e] {
            assert_eq!(fault(number), None, "{number:x}");
        }
    }

    #[test]
    fn a_memory_file_is_fit() {
        check(futex_sys::SharedMemory::anonymous(4096).unwrap(), "memory").unwrap();
        check(File::open("/dev/shm").unwrap(), "memory").unwrap();
    }
}
