//! Archives in the format of an initial file system (`cpio`, "newc").
//!
//! A writer of our own can add device nodes without root, and needs no copy of the tree on disk.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// An archive that is written while files are added.
pub(crate) struct Archive<W> {
    to: W,
    /// Number of the last entry. Entries with the same number would be links to each other.
    last: u32,
    directories: Vec<String>,
}

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTERS: u32 = 0o020_000;

impl<W: Write> Archive<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to, last: 0, directories: Vec::new() }
    }

    /// Adds a directory and its parents.
    pub(crate) fn directory(&mut self, path: &str) -> io::Result<()> {
        let path = path.trim_matches('/');
        if path.is_empty() || self.directories.iter().any(|known| known == path) {
            return Ok(());
        }
        self.parent(path)?;
        self.directories.push(path.to_owned());
        self.entry(path, DIRECTORY | 0o755, (0, 0), &[])
    }

    pub(crate) fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.parent(path)?;
        self.entry(path, FILE | 0o644, (0, 0), content)
    }

    pub(crate) fn program(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.parent(path)?;
        self.entry(path, FILE | 0o755, (0, 0), content)
    }

    /// Adds a program or a library of this machine.
    pub(crate) fn copy(&mut self, path: &str, from: &Path) -> io::Result<()> {
        let content =
            fs::read(from).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", from.display())))?;
        self.program(path, &content)
    }

    pub(crate) fn character_device(&mut self, path: &str, major: u32, minor: u32) -> io::Result<()> {
        self.parent(path)?;
        self.entry(path, CHARACTERS | 0o600, (major, minor), &[])
    }

    /// Ends the archive and returns the writer.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn parent(&mut self, path: &str) -> io::Result<()> {
        match path.trim_matches('/').rsplit_once('/') {
            Some((parent, _)) => self.directory(parent),
            None => Ok(()),
        }
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) -> io::Result<()> {
        let name = path.trim_start_matches('/');
        let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, format!("{path} is too long for an archive"));
        let length = u32::try_from(content.len()).map_err(too_long)?;
        let name_length = u32::try_from(name.len() + 1).map_err(too_long)?;
        self.last += 1;
        // Number, mode, owner, group, links, time, length, device of the file, device of the node, length of the name, checksum.
        let fields = [self.last, mode, 0, 0, 1, 0, length, 0, 0, device.0, device.1, name_length, 0];
        let header = fields.iter().fold("070701".to_owned(), |header, field| format!("{header}{field:08X}"));
        self.to.write_all(header.as_bytes())?;
        self.to.write_all(name.as_bytes())?;
        self.to.write_all(&[0])?;
        self.pad(header.len() + name.len() + 1)?;
        self.to.write_all(content)?;
        self.pad(content.len())
    }

    /// Pads a name or a content to a multiple of four bytes.
    fn pad(&mut self, length: usize) -> io::Result<()> {
        self.to.write_all(&[0; 3][..length.next_multiple_of(4) - length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_the_bytes_of_the_format() {
        let mut archive = Archive::new(Vec::new());
        archive.file("/a/b", b"hello").unwrap();
        archive.file("/a/c", b"").unwrap();
        archive.character_device("/dev/console", 5, 1).unwrap();
        let bytes = archive.finish().unwrap();
        let text = String::from_utf8(bytes).unwrap();

        let directory = "070701\
            00000001000041ED00000000000000000000000100000000\
            000000000000000000000000000000000000000000000002\
            00000000a\0";
        assert!(text.starts_with(directory), "{text}");
        // The name ends at a multiple of four, and so does the content.
        assert_eq!(directory.len() % 4, 0);
        assert!(text.contains("00000000a/b\0\0\0hello\0\0\x00070701"), "{text}");
        // The directory has one entry.
        assert_eq!(text.matches("00000000a\0").count(), 1);
        let device = "00000000000000000000000500000001\
            0000000C00000000dev/console\0";
        assert!(text.contains(device), "{text}");
        assert!(text.ends_with("0000000B00000000TRAILER!!!\0\0\0\0"), "{text}");
    }
}
