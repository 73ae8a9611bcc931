//! Processes, and the shared memory that they map or have open, as `/proc` shows it.
//!
//! Processes come and go while `/proc` is read: one that ends is left out, or shown with what was read of it.

pub(crate) mod maps;
mod read;
pub(crate) mod sleepers;
pub(crate) mod stat;
pub(crate) mod state;
pub(crate) mod users;

use self::maps::{DELETED, FileId, Map};
use self::read::{Hidden, number, read_descriptors, read_maps, read_stat};
use self::sleepers::Sleeper;
use self::stat::stat_open;
use self::state::State;
use crate::descriptors;
use procfs::process::Process as Handle;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Why root does not see a process.
pub(crate) const REFUSED_TO_ROOT: &str =
    " (the kernel protects some processes from root too, and root without CAP_SYS_PTRACE from others)";

/// A process that maps shared memory or has files open.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// The name of the command, at most 15 bytes of it.
    pub(crate) command: String,
    pub(crate) state: State,
    /// The effective user.
    pub(crate) uid: Option<u32>,
    /// Its shared mappings of files.
    pub(crate) maps: Vec<Map>,
    /// Its regular files: numbers of descriptors.
    pub(crate) files: Vec<(FileId, u32)>,
    /// True if it has a ring of io_uring open.
    pub(crate) has_ring: bool,
    /// The threads that sleep on the words that were asked for.
    pub(crate) sleepers: Vec<Sleeper>,
    /// True if they were asked for and can't be seen.
    pub(crate) hides_threads: bool,
}

/// Descriptors that reading a process takes at once: `/proc`, the directories of a process, of its threads and of one of them,
/// and a file or its descriptors.
const TAKEN: usize = 6;

/// What was read of all processes but this one.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) processes: Vec<Process>,
    /// Processes that this user may not inspect.
    pub(crate) hidden: Vec<u32>,
    /// A sentence about why there may be processes that were not even counted.
    pub(crate) problem: Option<String>,
}

/// Which of the words that threads sleep on are looked for.
#[derive(Clone, Copy)]
pub(crate) enum Sleepers<'a> {
    None,
    Of(&'a dyn Fn(FileId) -> bool),
}

impl Snapshot {
    /// Reads all of `/proc`.
    pub(crate) fn take(sleepers: Sleepers<'_>) -> Self {
        // The first process is there in every namespace, but not for users that `hidepid` hides it from.
        let problem = if !Path::new("/proc/self").exists() {
            Some("no process is seen, because /proc is not mounted")
        } else if !Path::new("/proc/1").exists() {
            Some("processes of other users are not seen, because /proc is mounted with hidepid")
        } else {
            None
        };
        let mut snapshot = Self { processes: Vec::new(), hidden: Vec::new(), problem: problem.map(str::to_owned) };
        let own = std::process::id();
        // A process whose files can't be opened would be left out, as one that has ended.
        if let Err(error) = descriptors::check_spare(TAKEN) {
            snapshot.problem.get_or_insert_with(|| {
                format!("not all processes are seen, because too few descriptors are left (see `ulimit -n`): {error}")
            });
        }
        let handles = procfs::process::all_processes().map_err(|error| {
            snapshot.problem.get_or_insert_with(|| format!("no process is seen: cannot list /proc: {error}"));
        });
        for handle in handles.into_iter().flatten().flatten() {
            if number(handle.pid()) != own {
                match Process::of(&handle, sleepers) {
                    Ok(Some(process)) => snapshot.processes.push(process),
                    Ok(None) => {}
                    Err(Hidden) => snapshot.hidden.push(number(handle.pid())),
                }
            }
        }
        snapshot.processes.sort_by_key(|process| process.pid);
        snapshot.hidden.sort_unstable();
        snapshot
    }

    /// The threads that sleep on words of an object, with the offsets of the words.
    pub(crate) fn sleepers_on(&self, object: ObjectId) -> impl Iterator<Item = (usize, &Sleeper)> {
        let sleepers = self.processes.iter().flat_map(|process| &process.sleepers);
        let of_object = sleepers.filter(move |sleeper| sleeper.file == object.mapped);
        of_object.filter_map(|sleeper| Some((usize::try_from(sleeper.offset).ok()?, sleeper)))
    }

    pub(crate) fn index(&self) -> Index<'_> {
        let mut users = HashMap::<_, Vec<_>>::new();
        for process in &self.processes {
            let files = process.maps.iter().map(|map| map.file).chain(process.files.iter().map(|&(file, _)| file));
            for file in files {
                let users = users.entry(file).or_default();
                // All of a process come one after the other.
                if users.last().is_none_or(|last: &&Process| last.pid != process.pid) {
                    users.push(process);
                }
            }
        }
        Index(users)
    }
}

/// Which processes use which file.
#[derive(Debug)]
pub(crate) struct Index<'a>(HashMap<FileId, Vec<&'a Process>>);

impl<'a> Index<'a> {
    /// The processes that map the object or have it open.
    pub(crate) fn users_of(&self, object: ObjectId) -> impl Iterator<Item = &'a Process> {
        let of = |file| self.0.get(&file).into_iter().flatten().copied();
        let mapping = of(object.mapped);
        let others = of(object.open).filter(move |process| process.maps_of(object).next().is_none());
        mapping.chain(others.filter(move |_| object.open != object.mapped))
    }
}

impl Process {
    /// `None` if the process has ended, or has neither shared mappings nor regular files.
    fn of(handle: &Handle, sleepers: Sleepers<'_>) -> Result<Option<Self>, Hidden> {
        let Some((maps, thread)) = read_maps(handle)? else { return Ok(None) };
        let (files, has_ring) = read_descriptors(handle, &thread).unwrap_or_default();
        if maps.shared.is_empty() && files.is_empty() {
            return Ok(None);
        }
        let Some(stat) = read_stat(handle, &thread) else { return Ok(None) };
        let sleepers = match sleepers {
            Sleepers::Of(wanted) if maps.shared.iter().any(|map| wanted(map.file)) => {
                sleepers::of(handle, &maps, wanted)
            }
            _ => Some(Vec::new()),
        };
        Ok(Some(Self {
            pid: number(handle.pid()),
            state: State::of(&stat),
            command: stat.comm,
            uid: handle.status().map(|status| status.euid).or_else(|_| handle.uid()).ok(),
            maps: maps.shared,
            files,
            has_ring,
            hides_threads: sleepers.is_none(),
            sleepers: sleepers.unwrap_or_default(),
        }))
    }

    /// The arguments that it was started with. Bytes that are not UTF-8 are replaced.
    pub(crate) fn command_line(&self) -> Option<Vec<String>> {
        let text = std::fs::read(format!("/proc/{}/cmdline", self.pid)).ok().filter(|text| !text.is_empty())?;
        let text = text.strip_suffix(&[0]).unwrap_or(&text);
        Some(text.split(|&byte| byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect())
    }

    pub(crate) fn maps_of(&self, object: ObjectId) -> impl Iterator<Item = &Map> {
        self.maps.iter().filter(move |map| map.file == object.mapped)
    }

    pub(crate) fn descriptors_of(&self, object: ObjectId) -> impl Iterator<Item = u32> + '_ {
        self.files.iter().filter(move |(file, _)| *file == object.open).map(|&(_, descriptor)| descriptor)
    }
}

/// An object as mappings name it, and as descriptors do. They differ on some file systems of disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectId {
    pub(crate) mapped: FileId,
    pub(crate) open: FileId,
}

impl ObjectId {
    /// `address` is where this process maps the object.
    pub(crate) fn of(object: impl AsFd, address: usize) -> io::Result<Self> {
        let open = FileId::of(&stat_open(object)?);
        let own = std::fs::read("/proc/self/maps").map(|text| maps::parse(&text).shared).unwrap_or_default();
        let mapped = own.iter().find(|map| map.addresses.start == address as u64).map_or(open, |map| map.file);
        Ok(Self { mapped, open })
    }

    pub(crate) fn same(file: FileId) -> Self {
        Self { mapped: file, open: file }
    }
}

/// The name of a memfd as its creator gave it, from the path in `maps`.
pub(crate) fn memfd_name(path: &OsStr) -> Option<&OsStr> {
    let name = path.as_bytes().strip_prefix(b"/memfd:")?;
    Some(OsStr::from_bytes(name.strip_suffix(DELETED).unwrap_or(name)))
}
