//! Where things are, and which crates are published.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The published crates, the lowest layer first.
pub(crate) const PUBLISHED: [&str; 4] = ["futex-sys", "futex-core", "futex-tokio", PROGRAM];

/// The published crate that is a program and has no library.
pub(crate) const PROGRAM: &str = "futex-cli";

/// The oldest toolchain that the published crates promise to build with.
pub(crate) const MSRV: &str = env!("CARGO_PKG_RUST_VERSION");

/// The version that all crates of the workspace share.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    // cargo sets the variable for `cargo run`; the fallback serves a binary that was started without cargo.
    let xtask = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&xtask).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    // `join` keeps an absolute path as it is.
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Where xtask keeps its own files: logs, and workspaces made for one check.
pub(crate) fn scratch_dir() -> PathBuf {
    target_dir().join("xtask")
}

/// The cargo that runs xtask, to be run in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    hide_outer_cargo(&mut command);
    command
}

/// The cargo of another toolchain, to be run in the workspace's root.
pub(crate) fn cargo_of(toolchain: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", toolchain, "cargo"]).current_dir(root()).env_remove("RUSTUP_TOOLCHAIN");
    hide_outer_cargo(&mut command);
    command
}

/// Takes away the variables by which `cargo run` tells xtask about xtask: they are wrong for what xtask starts.
pub(crate) fn hide_outer_cargo(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let outer = name.to_str().is_some_and(|name| {
            name == "CARGO" || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if outer {
            command.env_remove(name);
        }
    }
}
