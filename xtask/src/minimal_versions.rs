//! `cargo xtask minimal-versions`: the lower bounds of the version requirements are correct.

use crate::command;
use crate::error::Error;
use crate::scratch::Scratch;
use crate::workspace::{self, PUBLISHED};
use std::fs;

/// The line of the workspace's manifest that names its members.
const MEMBERS: &str = r#"members = ["crates/*", "xtask"]"#;

pub(crate) fn run() -> Result<(), Error> {
    let copy = Scratch::copy("minimal-versions")?;
    // Only the published crates: the others can require newer versions.
    let manifest = copy.root().join("Cargo.toml");
    let members = PUBLISHED.map(|package| format!("crates/{package}"));
    let text = fs::read_to_string(&manifest)?.replace(MEMBERS, &format!("members = {members:?}"));
    fs::write(&manifest, text)?;

    fs::remove_file(copy.root().join("Cargo.lock"))?;
    let update = ["update", "-Z", "direct-minimal-versions"];
    command::run(workspace::cargo_of("nightly").args(update).current_dir(copy.root()))?;
    copy.check(["--all-features"].into_iter().chain(workspace::published()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_has_the_line_of_the_members() {
        assert!(fs::read_to_string(workspace::root().join("Cargo.toml")).unwrap().contains(MEMBERS));
    }
}
