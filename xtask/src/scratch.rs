//! Workspaces that are made for one check. The next run of the check replaces them.

use crate::command;
use crate::error::Error;
use crate::workspace;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A workspace in a directory of its own.
pub(crate) struct Scratch {
    root: PathBuf,
}

impl Scratch {
    /// Makes an empty directory for a workspace.
    pub(crate) fn empty(name: &str) -> Result<Self, Error> {
        let root = workspace::scratch_dir().join(name);
        make_empty(&root)?;
        Ok(Self { root })
    }

    /// Copies this workspace.
    pub(crate) fn copy(name: &str) -> Result<Self, Error> {
        let copy = Self::empty(name)?;
        copy_tree(&workspace::root(), &copy.root)?;
        Ok(copy)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes the manifest of a workspace that has these members, and the lock file of this workspace.
    pub(crate) fn write_manifest(&self, members: &[String], more: &str) -> io::Result<()> {
        let manifest = format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n{more}");
        fs::write(self.root.join("Cargo.toml"), manifest)?;
        fs::copy(workspace::root().join("Cargo.lock"), self.root.join("Cargo.lock")).map(drop)
    }

    /// Runs `cargo check`, with the target directory of this workspace.
    pub(crate) fn check<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
        let mut check = workspace::cargo();
        check.current_dir(&self.root).arg("check").args(args).arg("--target-dir").arg(workspace::target_dir());
        Ok(command::run(&mut check)?)
    }
}

/// Makes an empty directory, in place of any that is there.
pub(crate) fn make_empty(directory: &Path) -> Result<(), String> {
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(|error| format!("{} can't be removed: {error}", directory.display()))?;
    }
    fs::create_dir_all(directory).map_err(|error| format!("{} can't be created: {error}", directory.display()))
}

/// Copies the contents of a directory, except hidden files and build directories. A link is copied as the file that it
/// leads to.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        if is_hidden || name == "target" || path == workspace::target_dir() {
            continue;
        }
        if path.is_dir() {
            copy_tree(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_copied_without_hidden_files_and_build_directories() {
        let scratch = Scratch::empty(&format!("unit-tests/{}", std::process::id())).unwrap();
        let [from, to] = ["from", "to"].map(|name| scratch.root.join(name));
        for directory in ["a/src", "a/target", ".git"] {
            fs::create_dir_all(from.join(directory)).unwrap();
            fs::write(from.join(directory).join("file"), directory).unwrap();
        }
        std::os::unix::fs::symlink("src/file", from.join("a/link")).unwrap();
        copy_tree(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("a/link")).unwrap(), "a/src");
        assert!(!to.join("a/link").is_symlink() && to.join("a/src/file").exists());
        assert!(!to.join("a/target").exists() && !to.join(".git").exists());
        fs::remove_dir_all(scratch.root).unwrap();
    }
}
