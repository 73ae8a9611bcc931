//! What a row needs on the machine, and how to get it.

use crate::command::stdout;
use crate::workspace;
use std::process::Command;

/// Something that a machine can lack.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need {
    /// The standard library for this target, in the toolchain that runs xtask.
    Target(&'static str),
    /// This toolchain of rustup.
    Toolchain(&'static str),
    /// This component of this toolchain.
    Component { toolchain: &'static str, component: &'static str },
    /// The subcommand `cargo NAME`, from the crate `cargo-NAME`.
    Subcommand(&'static str),
    /// Anything else. The function returns why the row can't run, like [`Need::missing`].
    Of(fn() -> Option<String>),
    /// A release to compare with: a tag `v…` that is an ancestor.
    Release,
}

impl Need {
    /// Why the row can't run here, or `None` if it can.
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
                let found = stdout(workspace::cargo().args([name, "--version"])).is_ok();
                (!found).then(|| format!("cargo-{name} is not installed (cargo install --locked cargo-{name})"))
            }
            Self::Of(missing) => missing(),
            Self::Release => {
                let mut git = Command::new("git");
                git.args(["describe", "--tags", "--abbrev=0", "--match", "v*"]).current_dir(workspace::root());
                stdout(&mut git).is_err().then(|| "git has no tag v… of a release to compare with".into())
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

/// The output of rustup, or nothing if there is no rustup.
fn rustup(args: &[&str]) -> String {
    stdout(Command::new("rustup").args(args).current_dir(workspace::root())).unwrap_or_default()
}

/// True if a list of rustup has this name, alone or before a host: `nightly-x86_64-unknown-linux-gnu (default)`.
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
        assert!(!lists(list, "1.85"), "`rustup run` needs the exact name, and 1.85 is not 1.85.0");
        assert!(!lists(list, "nightly"));
        assert!(!lists("", "nightly"));
    }

    #[test]
    fn a_reason_says_how_to_get_what_is_missing() {
        let reason = Need::Toolchain("0.1").missing().unwrap();
        assert_eq!(reason, "toolchain 0.1 is not installed (rustup toolchain install 0.1)");
        let reason = Need::Subcommand("no-such-command").missing().unwrap();
        assert_eq!(reason, "cargo-no-such-command is not installed (cargo install --locked cargo-no-such-command)");
    }
}
