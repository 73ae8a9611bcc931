//! Where shared memory comes from: `/dev/shm`, and memfds.

use super::report::{Finding, bytes};
use super::system::number;
use crate::object::NAMES;
use futex_sys::{NamedMemory, SharedMemory};
use rustix::fs::{FlockOperation, FsWord, Mode, OFlags, StatVfsMountFlags, flock, open, statfs, statvfs};
use std::io;

/// `TMPFS_MAGIC` of `linux/magic.h`.
const TMPFS: FsWord = 0x0102_1994;
/// What container runtimes give if nobody asks for more.
const SMALL: u64 = 64 << 20;

const MOUNT: &str = "mount a tmpfs there, which every user may write to: `mount -t tmpfs -o mode=1777 shm /dev/shm`";
const MORE: &str = "give it more: `--shm-size=1g` of docker and podman, a volume `emptyDir: {medium: Memory}` on /dev/shm in \
     Kubernetes, otherwise `mount -o remount,size=1g /dev/shm`";

pub(super) fn dev_shm() -> Finding {
    const TOPIC: &str = "dev_shm";
    let (system, space) = match statfs(NAMES).and_then(|system| Ok((system, statvfs(NAMES)?))) {
        Ok(both) => both,
        Err(errno) => {
            return Finding::problem(TOPIC, format!("{NAMES} cannot be used, so there are no POSIX names: {errno}"))
                .advise(MOUNT);
        }
    };
    let [size, free] = [space.f_blocks, space.f_bavail].map(|blocks| blocks.saturating_mul(space.f_frsize));
    let found = if system.f_type == TMPFS { "a tmpfs" } else { "not a tmpfs, so it may write to a disk," };
    // A tmpfs without a limit says that it has no blocks.
    let limited = size > 0;
    let found = match limited {
        true => format!("{NAMES} is {found} of {}, of which {} are free", bytes(size), bytes(free)),
        false => format!("{NAMES} is {found} without a limit"),
    };
    if space.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Finding::problem(TOPIC, format!("{found}; it is read-only, so no name can be made"))
            .advise("mount it for reading and writing: `mount -o remount,rw /dev/shm`");
    }
    if let Err(error) = make_a_name() {
        let finding = Finding::problem(TOPIC, format!("{found}; a name cannot be made: {error}"));
        return match error.kind() {
            io::ErrorKind::StorageFull => {
                finding.advise("remove what nobody uses (`futex ls` shows it), or make it larger")
            }
            io::ErrorKind::PermissionDenied => finding.advise("let every user write to it: `chmod 1777 /dev/shm`"),
            _ => finding,
        };
    }
    if system.f_type != TMPFS {
        return Finding::warning(TOPIC, found).advise(MOUNT);
    }
    if let Err(errno) = open_nameless() {
        return Finding::note(
            TOPIC,
            format!(
                "{found}; it has no nameless files ({errno}), so a process that is killed while it makes a name leaves a hidden file"
            ),
        );
    }
    if limited && free < size / 10 {
        return Finding::warning(TOPIC, format!("{found}: it is nearly full"))
            .advise("remove what nobody uses (`futex ls` shows it), or make it larger");
    }
    if limited && size <= SMALL {
        return Finding::warning(TOPIC, format!("{found}: that is what containers get by default")).advise(MORE);
    }
    Finding::ok(TOPIC, found)
}

/// Makes an object with a name, and removes it: the whole way that programs go.
fn make_a_name() -> io::Result<()> {
    let name = format!("futex-doctor-{}", std::process::id());
    // In place of one that a killed process with this number left.
    let result = NamedMemory::replace(&name, 4096).and_then(NamedMemory::unlink);
    if result.is_err() {
        // It may have been made and not be removed, for lack of a descriptor.
        let _ = std::fs::remove_file(format!("{NAMES}/{name}"));
    }
    result
}

fn open_nameless() -> rustix::io::Result<()> {
    let file = open(NAMES, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
}

pub(super) fn memfd() -> Finding {
    const TOPIC: &str = "memfd";
    let memory = match SharedMemory::anonymous(4096) {
        Ok(memory) => memory,
        Err(error) => {
            let finding = Finding::problem(TOPIC, format!("no memory without a name can be made: {error}"));
            return finding.advise("allow the system call `memfd_create` in the sandbox, or share memory by names");
        }
    };
    let noexec = match number("/proc/sys/vm/memfd_noexec") {
        None | Some(0) => String::new(),
        Some(value) => format!(" (vm.memfd_noexec is {value}, which does not concern futexes)"),
    };
    if memory.is_sealed() {
        Finding::ok(TOPIC, format!("memory without a name can be made, and sealed against shrinking{noexec}"))
    } else {
        Finding::warning(TOPIC, format!("memory without a name can be made, but not sealed{noexec}"))
            .advise("share it only with processes that you trust: one that shrinks it ends the others by SIGBUS")
    }
}
