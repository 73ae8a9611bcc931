//! The command `create`.

use crate::args::Create;
use crate::failure::Failure;
use crate::object::Object;
use crate::output::printable;
use crate::value::Length;
use futex_sys::__private::make_of_file;
use futex_tokio::SharedMemory;
use rustix::fs::{CWD, Mode, OFlags, fchmod, openat, unlink};
use std::io;
use std::path::Path;

pub(crate) fn run(args: &Create) -> Result<(), Failure> {
    let (object, Length(length)) = (&args.object, args.length);
    let created = match object {
        Object::Name(name) => SharedMemory::create(name, length).map(drop),
        Object::Path(path) => create(path, length),
        Object::Descriptor { .. } => {
            return Err(Failure::new(format_args!(
                "cannot create {object}: give a POSIX name, or a path (./{object})"
            )));
        }
    };
    created.map_err(|error| match (object, error.kind()) {
        (_, io::ErrorKind::AlreadyExists) => {
            Failure::new(format_args!("cannot create {object}: it exists; `futex rm {object}` removes it"))
        }
        (Object::Path(_), _) if error.raw_os_error().is_some() => {
            Failure::new(format_args!("cannot create {object}: {error}"))
        }
        _ => error.into(),
    })
}

/// As the library makes objects with names: for this user alone whatever the umask, and with all of its memory.
fn create(path: &Path, length: usize) -> io::Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
    let file = openat(CWD, path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC, mode)?;
    let made = fchmod(&file, mode).map_err(io::Error::from).and_then(|()| make_of_file(file, length, &printable(path)));
    made.map(drop).inspect_err(|_| {
        // A file without its memory is worth nothing, and why it has none says more than why it can't be removed.
        let _ = unlink(path);
    })
}
