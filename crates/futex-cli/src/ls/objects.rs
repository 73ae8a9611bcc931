//! Finding shared objects: the names in `/dev/shm`, and what processes map.

use crate::object::{NAMES, Object};
use crate::proc::maps::{DELETED, FileId, Map};
use crate::proc::stat::stat_path;
use crate::proc::{Index, ObjectId, Process, Snapshot, memfd_name};
use rustix::fs::{AtFlags, FileType, Statx};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// An object, and how it is reached.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) id: ObjectId,
    pub(super) kind: Kind,
    /// Its POSIX name, its path, or that of a memfd.
    pub(super) name: OsString,
    /// `None` if this user can't reach it.
    pub(super) object: Option<Object>,
    pub(super) stat: Option<Statx>,
    /// True if it is in memory, so that no file server or disk is waited for when it is read.
    pub(super) is_memory: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A POSIX name.
    Name,
    File,
    /// A file whose name is gone.
    Unlinked,
    Memfd,
    /// Shared memory without a file, or that of System V.
    Anonymous,
}

impl Kind {
    pub(super) fn text(self, name: &str) -> String {
        match self {
            Self::Name => "name".to_owned(),
            Self::File => "file".to_owned(),
            Self::Unlinked => format!("unlinked {name}"),
            Self::Memfd => format!("memfd {name}"),
            Self::Anonymous => name.to_owned(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) objects: Vec<Seen>,
    /// Sentences about what could not be read.
    pub(super) problems: Vec<String>,
}

/// `all` lists what is mapped shared whatever it is: otherwise it has to be memory without a disk that a process may write.
pub(super) fn find(snapshot: &Snapshot, index: &Index<'_>, all: bool) -> Listing {
    let mut listing = Listing::default();
    if let Err(error) = names(&mut listing) {
        listing.problems.push(format!("cannot list {NAMES}: {error}"));
    }
    let named: HashSet<_> = listing.objects.iter().map(|seen| seen.id.open).collect();
    let mut memory = MemoryDevices::default();
    let mut mapped = BTreeMap::<FileId, Mapped<'_>>::new();
    for process in &snapshot.processes {
        for map in process.maps.iter().filter(|map| !named.contains(&map.file)) {
            let entry = mapped.entry(map.file).or_insert_with(|| Mapped {
                map,
                process,
                kind: kind_of(map),
                is_memory: memory.has(map, process.pid),
                is_writable: false,
            });
            entry.is_writable |= map.is_writable;
            if entry.is_nameless() {
                (entry.map, entry.process, entry.kind) = (map, process, kind_of(map));
            }
        }
    }
    for mapped in mapped.into_values() {
        if all || mapped.is_memory && mapped.is_writable && mapped.kind != Kind::Anonymous {
            listing.objects.push(mapped.see(index));
        }
    }
    listing.objects.sort_by(|a, b| (a.kind, &a.name, a.id.mapped).cmp(&(b.kind, &b.name, b.id.mapped)));
    listing
}

/// The regular files in the directory of POSIX names.
fn names(listing: &mut Listing) -> std::io::Result<()> {
    for entry in std::fs::read_dir(NAMES)? {
        let name = entry?.file_name();
        // It may have been removed meanwhile.
        let Ok(stat) = stat_path(Path::new(NAMES).join(&name), AtFlags::SYMLINK_NOFOLLOW) else { continue };
        if FileType::from_raw_mode(stat.stx_mode.into()) == FileType::RegularFile {
            listing.objects.push(Seen {
                id: ObjectId::same(FileId::of(&stat)),
                kind: Kind::Name,
                object: Some(Object::Name(slashed(&name))),
                name,
                stat: Some(stat),
                is_memory: true,
            });
        }
    }
    Ok(())
}

/// A name that looks like a descriptor, `12:7`, is told apart by a slash.
fn slashed(name: &OsStr) -> OsString {
    match Object::from(name.to_owned()) {
        Object::Name(name) => name,
        _ => [OsStr::new("/"), name].into_iter().collect(),
    }
}

/// An object that a process maps.
struct Mapped<'a> {
    map: &'a Map,
    process: &'a Process,
    kind: Kind,
    is_memory: bool,
    is_writable: bool,
}

fn kind_of(map: &Map) -> Kind {
    let path = map.path.as_bytes();
    match path.strip_suffix(DELETED) {
        // It was given a name by PR_SET_VMA_ANON_NAME, which can have slashes, and is no path.
        _ if path.starts_with(b"[anon_shmem:") => Kind::Anonymous,
        None => Kind::File,
        Some(_) if memfd_name(&map.path).is_some() => Kind::Memfd,
        Some(path) if path == b"/dev/zero" || path.starts_with(b"/SYSV") => Kind::Anonymous,
        Some(_) => Kind::Unlinked,
    }
}

impl Mapped<'_> {
    /// True for a file that the process made without a name (`O_TMPFILE`). It may have got one, which only others show.
    fn is_nameless(&self) -> bool {
        self.map.path.as_bytes().rsplit(|&byte| byte == b'/').next().is_some_and(|name| name.starts_with(b"#"))
    }

    /// Looks for a way to the object: by its path, a descriptor of a process, or its mapping.
    fn see(self, index: &Index<'_>) -> Seen {
        let Map { file, path, addresses, .. } = self.map;
        let id = ObjectId::same(*file);
        let mut kind = self.kind;
        let by_path = || {
            let is_path = path.as_bytes().starts_with(b"/");
            let stat = stat_path(path, AtFlags::empty()).ok().filter(|_| is_path)?;
            // On some file systems of disks the devices differ.
            let is_same = FileId::of(&stat) == *file || !self.is_memory && stat.stx_ino == file.inode;
            is_same.then(|| (Object::Path(PathBuf::from(path)), stat))
        };
        let by_descriptor = || {
            index.users_of(id).find_map(|process| {
                let fd = process.descriptors_of(id).next()?;
                let stat = stat_path(format!("/proc/{}/fd/{fd}", process.pid), AtFlags::empty()).ok()?;
                (FileId::of(&stat) == *file).then_some((Object::Descriptor { pid: process.pid, fd }, stat))
            })
        };
        let by_mapping = || {
            let pid = self.process.pid;
            let link = format!("/proc/{pid}/map_files/{:x}-{:x}", addresses.start, addresses.end);
            let stat = stat_path(&link, AtFlags::empty()).ok()?;
            Some((Object::Path(PathBuf::from(link)), stat))
        };
        // Also of one that seems to have lost its name: a name can end in the kernel's mark.
        let found = by_path().inspect(|_| kind = Kind::File).or_else(by_descriptor).or_else(by_mapping);
        let (object, stat) = found.map_or((None, None), |(object, stat)| (Some(object), Some(stat)));
        // It can have lost its name since.
        if kind == Kind::File && stat.is_some_and(|stat| stat.stx_nlink == 0) {
            kind = Kind::Unlinked;
        }
        let open = stat.as_ref().map_or(*file, FileId::of);
        let bytes = path.as_bytes();
        let name = match memfd_name(path) {
            Some(name) if kind == Kind::Memfd => name,
            _ if kind == Kind::File => path,
            _ => OsStr::from_bytes(bytes.strip_suffix(DELETED).unwrap_or(bytes)),
        };
        Seen {
            id: ObjectId { mapped: *file, open },
            kind,
            name: name.to_owned(),
            object,
            stat,
            is_memory: self.is_memory,
        }
    }
}

/// Which devices are memory: those of `tmpfs` and `hugetlbfs`.
#[derive(Default)]
struct MemoryDevices(BTreeMap<(u32, u32), bool>);

impl MemoryDevices {
    fn has(&mut self, map: &Map, pid: u32) -> bool {
        if memfd_name(&map.path).is_some() {
            return true;
        }
        let device = map.file.device;
        if !self.0.contains_key(&device) {
            // A process in a container has other file systems.
            let text = std::fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
            self.0.extend(mounts(&text));
        }
        *self.0.entry(device).or_insert(false)
    }
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`, `proc_pid_mountinfo(5)`: devices, and whether they are memory.
fn mounts(text: &[u8]) -> impl Iterator<Item = ((u32, u32), bool)> {
    text.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|&byte| byte == b' ');
        let (major, minor) = std::str::from_utf8(fields.nth(2)?).ok()?.split_once(':')?;
        let system = fields.skip_while(|&field| field != b"-").nth(1)?;
        let is_memory = matches!(system, b"tmpfs" | b"hugetlbfs" | b"ramfs" | b"devtmpfs" | b"rootfs");
        Some(((major.parse().ok()?, minor.parse().ok()?), is_memory))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_of_memory_are_told_from_those_of_disks() {
        let text = b"24 1 0:22 / /dev/shm rw,nosuid - tmpfs tmpfs rw\n\
            25 1 254:0 / / rw shared:1 master:2 - ext4 /dev/root rw\nnonsense\n26 1 0:30 / /a\\040b rw - hugetlbfs x rw\n";
        let found: Vec<_> = mounts(text).collect();
        assert_eq!(found, [((0, 22), true), ((254, 0), false), ((0, 30), true)]);
    }

    #[test]
    fn the_kind_of_an_object_is_seen_by_its_path() {
        let kind = |path: &str| {
            let file = FileId { device: (0, 1), inode: 1 };
            kind_of(&Map { addresses: 0..1, is_writable: true, offset: 0, file, path: path.into() })
        };
        assert_eq!(kind("/dev/shm/jobs"), Kind::File);
        assert_eq!(kind("/dev/shm/jobs (deleted)"), Kind::Unlinked);
        assert_eq!(kind("/memfd:jobs (deleted)"), Kind::Memfd);
        assert_eq!(kind("/memfd: (deleted)"), Kind::Memfd);
        assert_eq!(kind("/SYSV0000002a (deleted)"), Kind::Anonymous);
        assert_eq!(kind("/dev/zero (deleted)"), Kind::Anonymous);
        // Named by PR_SET_VMA_ANON_NAME. It was listed as a file with this path.
        assert_eq!(kind("[anon_shmem:../jobs (deleted)]"), Kind::Anonymous);
    }

    #[test]
    fn a_name_that_looks_like_a_descriptor_is_told_apart() {
        assert_eq!((slashed("jobs".as_ref()), slashed("12:7".as_ref())), ("jobs".into(), "/12:7".into()));
    }
}
