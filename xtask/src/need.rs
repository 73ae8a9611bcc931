//! What a row may need of the machine, and the reason it is skipped for without.

use crate::workspace;
use std::process::{Command, Stdio};

/// Something that not every machine has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need {
    /// The standard library for this target, for the toolchain that runs xtask.
    Target(&'static str),
    /// This toolchain of rustup's.
    Toolchain(&'static str),
    /// This component of this toolchain.
    Component { toolchain: &'static str, component: &'static str },
    /// The subcommand `cargo NAME`, from the crate `cargo-NAME`.
    Subcommand(&'static str),
    /// What a command says about it.
    Of(fn() -> Option<String>),
    /// A release to compare with: a tag `v…` that git can reach from here.
    Release,
}

impl Need {
    /// Why the row can't run here; `None` where it can.
    pub(crate) fn missing(self) -> Option<String> {
        match self {
            Self::Target(target) => {
                let installed = rustup(&["target", "list", "--installed"]);
                (!lists(&installed, target))
                    .then(|| format!("target {target} is not installed (rustup target add {target})"))
            }
            Self::Toolchain(toolchain) => (!has_toolchain(toolchain)).then(|| no_toolchain(toolchain)),
            Self::Component { toolchain, .. } if !has_toolchain(toolchain) => Some(no_toolchain(toolchain)),
            Self::Component { toolchain, component } => {
                let installed = rustup(&["component", "list", "--installed", "--toolchain", toolchain]);
                (!lists(&installed, component)).then(|| {
                    format!(
                        "{toolchain} has no {component} \
                         (rustup component add --toolchain {toolchain} {component})"
                    )
                })
            }
            Self::Subcommand(name) => {
                let found = output(workspace::cargo().args([name, "--version"])).is_some();
                (!found).then(|| format!("cargo-{name} is not installed (cargo install --locked cargo-{name})"))
            }
            Self::Of(missing) => missing(),
            Self::Release => {
                let mut git = Command::new("git");
                git.args(["describe", "--tags", "--abbrev=0", "--match", "v*"]).current_dir(workspace::root());
                output(&mut git).is_none().then(|| "there is no release to compare with (no tag v…)".into())
            }
        }
    }
}

fn has_toolchain(toolchain: &str) -> bool {
    lists(&rustup(&["toolchain", "list"]), toolchain)
}

fn no_toolchain(toolchain: &str) -> String {
    format!("toolchain {toolchain} is not installed (rustup toolchain install {toolchain})")
}

/// What rustup says; nothing where there is no rustup.
fn rustup(args: &[&str]) -> String {
    output(Command::new("rustup").args(args).current_dir(workspace::root())).unwrap_or_default()
}

/// The standard output of a command that succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a list of rustup's has this name, alone or followed by a host: `nightly-x86_64-unknown-linux-gnu (default)`.
fn lists(list: &str, name: &str) -> bool {
    list.lines()
        .filter_map(|line| line.split_whitespace().next())
        .any(|entry| entry.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_with_and_without_its_host() {
        let list = "stable-x86_64-unknown-linux-gnu (default)\n1.85.0-x86_64-unknown-linux-gnu\nx86_64-apple-darwin\n";
        assert!(lists(list, "stable"));
        assert!(lists(list, "x86_64-apple-darwin"));
        assert!(lists(list, "1.85.0"));
        assert!(!lists(list, "1.85"), "1.85 is another toolchain than 1.85.0, and rustup run wants its exact name");
        assert!(!lists(list, "nightly"));
        assert!(!lists("", "nightly"));
    }

    #[test]
    fn what_is_missing_is_said_with_the_way_to_get_it() {
        let reason = Need::Toolchain("0.1").missing().unwrap();
        assert_eq!(reason, "toolchain 0.1 is not installed (rustup toolchain install 0.1)");
        let reason = Need::Subcommand("no-such-command").missing().unwrap();
        assert_eq!(reason, "cargo-no-such-command is not installed (cargo install --locked cargo-no-such-command)");
    }
}
