//! The shared mappings of files in `/proc/PID/maps`.

use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt as _;

/// A file as `maps` and `stat(2)` name it. On tmpfs they agree. On some file systems of disks (btrfs, overlayfs) they do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId {
    /// Major and minor number.
    pub(crate) device: (u32, u32),
    pub(crate) inode: u64,
}

/// What the kernel puts behind the path of a file whose name is gone.
pub(crate) const DELETED: &[u8] = b" (deleted)";

/// A shared mapping of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Map {
    pub(crate) addresses: Range<u64>,
    pub(crate) is_writable: bool,
    /// Where the mapping starts in the file, in bytes.
    pub(crate) offset: u64,
    pub(crate) file: FileId,
    /// With ` (deleted)` at its end if the name is gone.
    pub(crate) path: OsString,
}

impl Map {
    /// The place in the file of what is at an address.
    pub(crate) fn place(&self, address: u64) -> Option<u64> {
        self.addresses.contains(&address).then(|| self.offset.checked_add(address - self.addresses.start))?
    }
}

/// What `maps` tells about a process.
#[derive(Debug, Default)]
pub(crate) struct Maps {
    /// In the order of their addresses.
    pub(crate) shared: Vec<Map>,
    /// True if something is mapped beyond 4 GiB, which a process of 32 bits does not have.
    pub(crate) is_wide: bool,
}

/// Lines that are not as expected are left out. The procfs crate refuses the whole file if one path in it is not UTF-8.
pub(crate) fn parse(text: &[u8]) -> Maps {
    let mut maps = Maps::default();
    for line in text.split(|&byte| byte == b'\n') {
        let Some((map, is_shared)) = parse_line(line) else { continue };
        maps.is_wide |= map.addresses.start > u64::from(u32::MAX) && map.path != "[vsyscall]";
        if is_shared && map.file.inode != 0 {
            maps.shared.push(map);
        }
    }
    maps
}

/// `7f2c00000000-7f2c00001000 rw-s 00000000 00:01 1027    /memfd:jobs (deleted)`, `proc_pid_maps(5)`
fn parse_line(line: &[u8]) -> Option<(Map, bool)> {
    let mut fields = line.splitn(6, |&byte| byte == b' ');
    let mut text = || std::str::from_utf8(fields.next()?).ok();
    let (start, end) = text()?.split_once('-')?;
    let rights = text()?.as_bytes();
    let offset = text()?;
    let (major, minor) = text()?.split_once(':')?;
    let inode = text()?;
    let path = fields.next().unwrap_or_default().trim_ascii_start();
    let map = Map {
        addresses: hex(start)?..hex(end)?,
        is_writable: rights.get(1) == Some(&b'w'),
        offset: hex(offset)?,
        file: FileId {
            device: (hex(major)?.try_into().ok()?, hex(minor)?.try_into().ok()?),
            inode: inode.parse().ok()?,
        },
        path: OsString::from_vec(unescape(path)),
    };
    Some((map, rights.get(3) == Some(&b's')))
}

fn hex(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

/// A newline in a path is written as `\012`. (So is a path that has these four characters, which can't be told apart.)
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut rest = path;
    let mut bytes = Vec::with_capacity(path.len());
    while let Some((&first, others)) = rest.split_first() {
        let newline = rest.strip_prefix(b"\\012");
        bytes.push(if newline.is_some() { b'\n' } else { first });
        rest = newline.unwrap_or(others);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt as _;

    #[test]
    fn shared_mappings_of_files_are_found_and_no_others() {
        let maps = parse(
            b"55d0a0000000-55d0a0001000 r-xp 00001000 fe:00 131 /usr/bin/a b\n\
              7f2c00000000-7f2c00002000 rw-s 00003000 00:01 1027                       /memfd:jobs (deleted)\n\
              7f2c00004000-7f2c00005000 r--s 00000000 00:1a 9 /dev/shm/\xff\\012x\n\
              7f2c00006000-7f2c00007000 rw-p 00000000 00:00 0 \n\
              nonsense\n\
              7ffc00000000-7ffc00001000 rw-p 00000000 00:00 0    [stack]\n\
              ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n",
        );
        assert!(maps.is_wide);
        let [jobs, odd] = &maps.shared[..] else { panic!("{maps:?}") };
        assert_eq!(jobs.file, FileId { device: (0, 1), inode: 1027 });
        assert_eq!((jobs.is_writable, jobs.path.as_bytes()), (true, &b"/memfd:jobs (deleted)"[..]));
        assert_eq!(jobs.place(0x7f2c_0000_1004), Some(0x4004));
        assert_eq!((jobs.place(0x7f2c_0000_2000), jobs.place(0)), (None, None));
        assert_eq!((odd.is_writable, odd.path.as_bytes()), (false, &b"/dev/shm/\xff\nx"[..]));
    }

    #[test]
    fn a_process_of_32_bits_is_told_apart() {
        let maps =
            b"08048000-08049000 r-xp 00000000 fe:00 131 /bin/old\nff8d0000-ff8f1000 rw-p 00000000 00:00 0 [stack]\n";
        assert!(!parse(maps).is_wide);
        assert!(!parse(b"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]").is_wide);
    }
}
