//! `cargo xtask packaged`: the packages of the published crates are complete, and compile without the workspace.

use crate::command;
use crate::error::{self, Error};
use crate::scratch::Scratch;
use crate::workspace::{self, PROGRAM, PUBLISHED, VERSION};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Files that each package must contain besides its root file, and that must not be empty.
const FILES: [&str; 4] = ["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];

pub(crate) fn run() -> Result<(), Error> {
    // Without cargo's own verification: it identifies unpacked crates by name and version, so a second run would compile a
    // crate against the old text of the others.
    command::run(workspace::cargo().args(["package", "--allow-dirty", "--no-verify"]).args(workspace::published()))?;

    let unpacked = Scratch::empty("packaged")?;
    let mut missing = Vec::new();
    for package in PUBLISHED {
        unpack(package, unpacked.root())?;
        missing.extend(missing_files(&unpacked.root().join(directory(package)), root_file(package)));
    }
    error::none(&missing)?;
    // The packages depend on each other by version. The patches replace these versions by the unpacked packages.
    let patches = PUBLISHED.map(|package| format!("{package} = {{ path = \"{}\" }}\n", directory(package))).concat();
    unpacked.write_manifest(&PUBLISHED.map(directory), &format!("[patch.crates-io]\n{patches}"))?;
    unpacked.check(["--workspace", "--all-features"])
}

/// The directory that a package unpacks to.
fn directory(package: &str) -> String {
    format!("{package}-{VERSION}")
}

fn unpack(package: &str, to: &Path) -> Result<(), String> {
    let archive = workspace::target_dir().join("package").join(format!("{}.crate", directory(package)));
    // -m: files get the time of unpacking. All files in a package have the same old time, by which cargo would take a
    // changed file for one that it has compiled before.
    command::run(Command::new("tar").arg("-xzmf").arg(archive).arg("-C").arg(to))
}

fn root_file(package: &str) -> &'static str {
    if package == PROGRAM { "src/main.rs" } else { "src/lib.rs" }
}

/// A sentence for each file that the unpacked package lacks.
fn missing_files(package: &Path, root_file: &str) -> Vec<String> {
    FILES
        .into_iter()
        .chain([root_file])
        .filter(|file| !fs::metadata(package.join(file)).is_ok_and(|file| file.is_file() && file.len() > 0))
        .map(|file| format!("{} has no {file}, or an empty one", package.display()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_file_is_named() {
        let missing = missing_files(Path::new("/no/such/package"), root_file("futex-core"));
        assert_eq!(missing.len(), FILES.len() + 1);
        assert_eq!(missing[1], "/no/such/package has no LICENSE-APACHE, or an empty one");
        assert_eq!(missing[4], "/no/such/package has no src/lib.rs, or an empty one");
    }
}
