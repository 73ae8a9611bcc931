//! `cargo xtask minimal-versions`: the version requirements are true, down to their lower ends.

use crate::error::{Error, command_succeeds};
use crate::workspace::{self, PUBLISHED};
use std::fs;
use std::io;
use std::path::Path;

pub(crate) const USAGE: &str = "\
cargo xtask minimal-versions
    Copies the workspace, takes each direct dependency in the oldest version that its requirement allows, and checks
    that the published crates compile. Needs a nightly toolchain to choose the versions.
";

/// The line of the workspace's manifest that names its members.
const MEMBERS: &str = r#"members = ["crates/*", "xtask"]"#;

pub(crate) fn run() -> Result<(), Error> {
    let copy = workspace::scratch_dir().join("minimal-versions");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    copy_workspace(&workspace::root(), &copy)?;
    // The crates that nobody depends on may ask for what is newest.
    let manifest = copy.join("Cargo.toml");
    let members = PUBLISHED.map(|package| format!("\"crates/{package}\"")).join(", ");
    let text = fs::read_to_string(&manifest)?.replace(MEMBERS, &format!("members = [{members}]"));
    fs::write(&manifest, text)?;

    let update = ["update", "-Z", "direct-minimal-versions"];
    command_succeeds(workspace::cargo_of("nightly").args(update).current_dir(&copy))?;
    let packages = PUBLISHED.iter().flat_map(|package| ["--package", package]);
    let mut check = workspace::cargo();
    check.args(["check", "--all-features"]).args(packages).arg("--target-dir").arg(workspace::target_dir());
    command_succeeds(check.current_dir(&copy))
}

/// Copies a directory without what was built in it, its lock file, and what is hidden.
fn copy_workspace(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if hidden || name == "target" || name == "Cargo.lock" || path == workspace::target_dir() {
            continue;
        }
        // Not the entry's own type: a link, such as a licence in a crate's directory, is copied as what it leads to.
        if path.is_dir() {
            copy_workspace(&path, &to.join(name))?;
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
    fn the_members_are_where_they_are_looked_for() {
        assert!(fs::read_to_string(workspace::root().join("Cargo.toml")).unwrap().contains(MEMBERS));
    }
}
