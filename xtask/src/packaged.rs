//! `cargo xtask packaged`: what would be published is complete, and builds from the packages alone.

use crate::error::{Error, command_succeeds};
use crate::workspace::{self, PROGRAM, PUBLISHED, VERSION};
use std::fs;
use std::path::Path;
use std::process::Command;

pub(crate) const USAGE: &str = "\
cargo xtask packaged
    Packages the published crates, looks for the files that each must contain, and checks that they compile together,
    unpacked, away from the workspace.
";

/// What each package must contain, with something in it, beside its root file.
const FILES: [&str; 4] = ["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];

pub(crate) fn run() -> Result<(), Error> {
    // cargo's own verification is not used: it keeps what it unpacks by name and version, so at the second run it
    // builds one crate against the others' old text.
    let packages = PUBLISHED.iter().flat_map(|package| ["--package", package]);
    command_succeeds(workspace::cargo().args(["package", "--allow-dirty", "--no-verify"]).args(packages))?;

    let unpacked = workspace::scratch_dir().join("packaged");
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked)?;
    }
    fs::create_dir_all(&unpacked)?;
    let mut missing = Vec::new();
    for package in PUBLISHED {
        unpack(package, &unpacked)?;
        missing.extend(missing_files(&unpacked.join(directory(package)), root_file(package)));
    }
    if !missing.is_empty() {
        return Err(Error::Failed(missing.join("\n")));
    }

    fs::write(unpacked.join("Cargo.toml"), manifest())?;
    fs::copy(workspace::root().join("Cargo.lock"), unpacked.join("Cargo.lock"))?;
    let mut check = workspace::cargo();
    check.args(["check", "--workspace", "--all-features", "--target-dir"]).arg(workspace::target_dir());
    command_succeeds(check.current_dir(&unpacked))
}

/// The name of the directory that a package unpacks to.
fn directory(package: &str) -> String {
    format!("{package}-{VERSION}")
}

fn unpack(package: &str, to: &Path) -> Result<(), Error> {
    let archive = workspace::target_dir().join("package").join(format!("{}.crate", directory(package)));
    // -m: files carry the time of unpacking. A package has the same old time in all its files, by which cargo would
    // take changed text for text that it has compiled before.
    command_succeeds(Command::new("tar").arg("-xzmf").arg(archive).arg("-C").arg(to))
}

fn root_file(package: &str) -> &'static str {
    if package == PROGRAM { "src/main.rs" } else { "src/lib.rs" }
}

/// A sentence for each file that is not in the unpacked package.
fn missing_files(package: &Path, root_file: &str) -> Vec<String> {
    FILES
        .into_iter()
        .chain([root_file])
        .filter(|file| !fs::metadata(package.join(file)).is_ok_and(|file| file.is_file() && file.len() > 0))
        .map(|file| format!("{} has no {file}, or an empty one", package.display()))
        .collect()
}

/// A workspace of the unpacked packages, in which they find each other.
fn manifest() -> String {
    let members = PUBLISHED.map(|package| format!("\"{}\"", directory(package))).join(", ");
    let patches = PUBLISHED.map(|package| format!("{package} = {{ path = \"{}\" }}\n", directory(package))).concat();
    format!("[workspace]\nresolver = \"3\"\nmembers = [{members}]\n\n[patch.crates-io]\n{patches}")
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

    #[test]
    fn the_workspace_has_each_package_as_member_and_as_patch() {
        let manifest = manifest();
        for package in PUBLISHED {
            assert_eq!(manifest.matches(&format!("\"{}\"", directory(package))).count(), 2, "{manifest}");
        }
    }
}
