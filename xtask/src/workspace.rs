//! Paths, cargo, and the published crates.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The published crates, the lowest layer first.
pub(crate) const PUBLISHED: [&str; 5] = ["futex-sys", "futex-core", "futex-tokio", "futex-ipc", PROGRAM];

/// The published crate that is a program and has no library.
pub(crate) const PROGRAM: &str = "futex-cli";

/// The oldest toolchain that the published crates support.
pub(crate) const MSRV: &str = env!("CARGO_PKG_RUST_VERSION");

/// The version that all crates of the workspace share.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Arguments that select the published crates.
pub(crate) fn published() -> impl Iterator<Item = &'static str> {
    PUBLISHED.into_iter().flat_map(|package| ["--package", package])
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    // cargo sets the variable for `cargo run`. The fallback is for a program that was started without cargo.
    let xtask = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&xtask).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The directory of cargo's builds.
pub(crate) fn target_dir() -> PathBuf {
    // `join` returns an absolute path unchanged.
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The directory of xtask's own files: logs, and workspaces that are made for one check.
pub(crate) fn scratch_dir() -> PathBuf {
    target_dir().join("xtask")
}

/// The log of a row or a guest.
pub(crate) fn log(name: &str) -> PathBuf {
    scratch_dir().join(format!("log/{name}.txt"))
}

/// The cargo that runs xtask, in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    hide_outer_cargo(&mut command);
    command
}

/// The cargo of another toolchain, in the workspace's root.
pub(crate) fn cargo_of(toolchain: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", toolchain, "cargo"]).current_dir(root()).env_remove("RUSTUP_TOOLCHAIN");
    hide_outer_cargo(&mut command);
    command
}

/// Removes the variables that `cargo run` sets for xtask. They are wrong for other crates.
fn hide_outer_cargo(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let is_outer = name.to_str().is_some_and(|name| {
            name == "CARGO" || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if is_outer {
            command.env_remove(name);
        }
    }
}
