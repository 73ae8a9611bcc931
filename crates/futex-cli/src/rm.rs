//! The command `rm`.

use crate::args::Rm;
use crate::failure::{Failure, say};
use crate::object::Object;
use crate::output::{self, printable};
use crate::proc::maps::FileId;
use crate::proc::stat::stat_open;
use crate::proc::{ObjectId, Process, Sleepers, Snapshot};
use futex_ipc::Inspection;
use futex_sys::MemoryView;
use futex_tokio::SharedMemory;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat, unlink};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

pub(crate) fn run(args: &Rm) -> Result<(), Failure> {
    let object = &args.object;
    let cannot_remove = |why: &dyn std::fmt::Display| Failure::new(format_args!("cannot remove {object}: {why}"));
    let Some(path) = object.path()? else {
        return Err(cannot_remove(&"a descriptor is not a name; the object lives until nobody has it"));
    };
    // Open until the end: the number of an object that is gone is given to the next one.
    let opened = openat(CWD, &path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let stat = opened.as_ref().map_err(|&errno| io::Error::from(errno)).and_then(stat_open);
    let living = opened.as_ref().map_or(0, living_members);
    match object {
        Object::Path(path) => {
            let stat = stat.as_ref().map_err(|error| cannot_remove(error))?;
            if FileType::from_raw_mode(stat.stx_mode.into()) != FileType::RegularFile {
                return Err(cannot_remove(&"it is not a regular file"));
            }
            unlink(path).map_err(|errno| cannot_remove(&errno))?;
        }
        Object::Name(name) => SharedMemory::unlink(name)?,
        Object::Descriptor { .. } => {}
    }
    if living > 0 {
        let members = match living {
            1 => "1 living member, which keeps".to_owned(),
            n => format!("{n} living members, which keep"),
        };
        say(format_args!(
            "{object} was a region with {members} it: the next process that opens the name makes another region, so end these \
             processes, or let them open the name again"
        ));
    }
    // If another object got the name before it was removed, the processes of the one before are named.
    match stat {
        Ok(stat) => list_processes(ObjectId::same(FileId::of(&stat))),
        Err(_) => Ok(()),
    }
}

/// Number of living members, if the file is a region that this process may read. Otherwise 0.
fn living_members(found: &OwnedFd) -> usize {
    let is_regular =
        |found| fstat(found).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    if !is_regular(found) {
        return 0;
    }
    let link = format!("/proc/self/fd/{}", found.as_raw_fd());
    let view = openat(CWD, link, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
        .map_err(io::Error::from)
        .and_then(MemoryView::from_fd);
    let inspection = view.and_then(|view| Inspection::of(&view)).ok().flatten();
    inspection.map_or(0, |inspection| inspection.members().iter().filter(|member| member.is_alive()).count())
}

/// Lists the processes that map an object, as far as this one may inspect them.
fn list_processes(object: ObjectId) -> Result<(), Failure> {
    let snapshot = Snapshot::take(Sleepers::None);
    if let Some(problem) = &snapshot.problem {
        say(problem);
    }
    let index = snapshot.index();
    let mut holders = index.users_of(object).filter(|process| process.maps_of(object).next().is_some()).peekable();
    if holders.peek().is_none() {
        return Ok(());
    }
    let row =
        |process: &Process| [process.pid.to_string(), printable(&process.command), process.state.as_str().to_owned()];
    output::line("these processes still map it:")?;
    output::table(&["PID", "COMMAND", "STATE"], holders.map(row))
}
