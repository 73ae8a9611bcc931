//! The command `rm`.

use crate::args::Rm;
use crate::failure::{Failure, say};
use crate::object::Object;
use crate::output::{self, printable};
use crate::proc::maps::FileId;
use crate::proc::stat::stat_open;
use crate::proc::{ObjectId, Process, Sleepers, Snapshot};
use futex_tokio::SharedMemory;
use rustix::fs::{CWD, FileType, Mode, OFlags, openat, unlink};
use std::io;

pub(crate) fn run(args: &Rm) -> Result<(), Failure> {
    let object = &args.object;
    let cannot_remove = |why: &dyn std::fmt::Display| Failure::new(format_args!("cannot remove {object}: {why}"));
    let Some(path) = object.path()? else {
        return Err(cannot_remove(&"a descriptor is not a name; the object lives until nobody has it"));
    };
    // Open until the end: the number of an object that is gone is given to the next one.
    let opened = openat(CWD, &path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
    let stat = opened.as_ref().map_err(|&errno| io::Error::from(errno)).and_then(stat_open);
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
    // If another object got the name before it was removed, the processes of the one before are named.
    match stat {
        Ok(stat) => list_processes(ObjectId::same(FileId::of(&stat))),
        Err(_) => Ok(()),
    }
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
