//! The command `rm`.

use crate::args::Rm;
use crate::failure::Failure;
use crate::object::Object;
use crate::output;
use futex_tokio::SharedMemory;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat, unlink};

pub(crate) fn run(args: &Rm) -> Result<(), Failure> {
    let object = &args.object;
    let cannot_remove = |why: &dyn std::fmt::Display| Failure::new(format_args!("cannot remove {object}: {why}"));
    let Some(path) = object.path()? else {
        return Err(cannot_remove(&"a descriptor is not a name; the object lives until nobody has it"));
    };
    // Open until the end: the number of an object that is gone is given to the next one.
    let opened = openat(CWD, &path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let stat = opened.as_ref().map_err(|&errno| errno).and_then(fstat);
    match object {
        Object::Path(path) => {
            let stat = stat.map_err(|errno| cannot_remove(&errno))?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(cannot_remove(&"it is not a regular file"));
            }
            unlink(path).map_err(|errno| cannot_remove(&errno))?;
        }
        Object::Name(name) => SharedMemory::unlink(name)?,
        Object::Descriptor { .. } => {}
    }
    // If another object got the name before it was removed, the processes of the one before are named.
    let Ok(stat) = stat else { return Ok(()) };
    let holders = holders((stat.st_dev, stat.st_ino));
    if holders.is_empty() {
        return Ok(());
    }
    output::line("these processes still map it:")?;
    output::table(&["PID", "COMMAND"], holders.into_iter().map(|holder| [holder.pid.to_string(), holder.command]))
}

struct Holder {
    pid: i32,
    command: String,
}

/// The processes that map the object with this device and inode, as far as this one may see them.
fn holders((device, inode): (u64, u64)) -> Vec<Holder> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let maps = |process: &procfs::process::Process| {
        let maps = process.maps().map(|maps| maps.0).unwrap_or_default();
        maps.iter().any(|map| map.inode == inode && map.dev == (major as i32, minor as i32))
    };
    let processes = procfs::process::all_processes().into_iter().flatten().flatten();
    processes
        .filter(maps)
        .map(|process| Holder { pid: process.pid, command: process.stat().map(|stat| stat.comm).unwrap_or_default() })
        .collect()
}
