//! `cargo xtask tree`: each crate depends only on what its layer allows, and no crate has circular imports.

mod circles;
mod modules;
mod source;

use self::circles::circles;
use self::modules::Crate;
use crate::command;
use crate::error::{self, Error};
use crate::report;
use crate::workspace;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The dependencies that each layer adds. A layer can also use the lower layers and their dependencies.
///
/// A new dependency is discussed in the change that adds it here.
const LAYERS: [(&str, &[&str]); 5] = [
    ("futex-sys", &["bitflags", "cfg-if", "io-uring", "libc", "linux-raw-sys", "rustix", "slab", "static_assertions"]),
    ("futex-core", &["arrayvec", "futures-core", "once_cell", "pin-project-lite", "tracing", "tracing-core"]),
    ("futex-tokio", &["mio", "socket2", "tokio"]),
    // Values that any bit pattern may stand for, without `unsafe`. The others are for its derive macros, at build time.
    ("futex-ipc", &["proc-macro2", "quote", "syn", "unicode-ident", "zerocopy", "zerocopy-derive"]),
    ("futex-cli", COMMAND_LINE),
];

/// What the program has for its command line, its tables, its JSON, and for `/proc`.
const COMMAND_LINE: &[&str] = &[
    // Arguments, help, completions and the manual page.
    "clap",
    "clap_builder",
    "clap_complete",
    "clap_derive",
    "clap_lex",
    "clap_mangen",
    "heck",
    "roff",
    "strsim",
    "terminal_size",
    // Colours, only on a terminal.
    "anstream",
    "anstyle",
    "anstyle-parse",
    "anstyle-query",
    "colorchoice",
    "is_terminal_polyfill",
    "utf8parse",
    // Tables.
    "comfy-table",
    "unicode-segmentation",
    "unicode-width",
    // JSON, times.
    "humantime",
    "itoa",
    "memchr",
    "serde",
    "serde_core",
    "serde_derive",
    "serde_json",
    "zmij",
    // Processes.
    "hex",
    "procfs",
    "procfs-core",
    // Tokio's macros and signals.
    "errno",
    "signal-hook-registry",
    "tokio-macros",
];

pub(crate) fn run() -> Result<(), Error> {
    let mut faults = Vec::new();
    for (package, _) in LAYERS {
        let tree = dependencies(package)?;
        let names: Vec<_> = tree.iter().map(String::as_str).collect();
        report::print(format_args!("{package} has {} dependencies: {}", names.len(), names.join(", ")));
        faults.extend(tree.iter().filter_map(|dependency| fault(package, dependency)));
    }
    for root in crate_roots(&workspace::root())? {
        let read = Crate::read(&root, |path| fs::read_to_string(workspace::root().join(path)).ok());
        faults.extend(circles(&read?));
    }
    error::none(&faults)
}

/// The root file of each library and program, relative to the workspace's root.
fn crate_roots(workspace: &Path) -> io::Result<Vec<PathBuf>> {
    let mut roots = Vec::new();
    for package in entries(workspace, "crates")?.into_iter().chain([PathBuf::from("xtask")]) {
        let programs = entries(workspace, package.join("src/bin")).unwrap_or_default();
        let programs =
            programs.into_iter().map(|path| if path.extension().is_some() { path } else { path.join("main.rs") });
        roots.extend(["src/lib.rs", "src/main.rs"].map(|root| package.join(root)).into_iter().chain(programs));
    }
    roots.retain(|root| workspace.join(root).is_file());
    Ok(roots)
}

/// The paths in a directory, sorted.
fn entries(workspace: &Path, directory: impl AsRef<Path>) -> io::Result<Vec<PathBuf>> {
    let directory = directory.as_ref();
    let entries = fs::read_dir(workspace.join(directory))?;
    let mut paths = entries.map(|entry| Ok(directory.join(entry?.file_name()))).collect::<io::Result<Vec<_>>>()?;
    paths.sort_unstable();
    Ok(paths)
}

/// All dependencies of a crate, with all features.
fn dependencies(package: &str) -> Result<BTreeSet<String>, String> {
    let args = ["tree", "--package", package, "--all-features", "--edges", "normal", "--prefix", "none"];
    let tree = command::stdout(workspace::cargo().args(args))?;
    // A line is `rustix v1.1.6` or `futex-sys v0.1.0 (/a/path) (*)`.
    let names = tree.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != package);
    Ok(names.map(str::to_owned).collect())
}

/// Why a crate can't have this dependency, or `None` if it can.
fn fault(package: &str, dependency: &str) -> Option<String> {
    let layer = LAYERS.iter().position(|(name, _)| *name == package)?;
    let lower = LAYERS[..layer].iter().any(|(name, _)| *name == dependency);
    let allowed = LAYERS[..=layer].iter().any(|(_, adds)| adds.contains(&dependency));
    if lower || allowed {
        return None;
    }
    let higher = LAYERS[layer..].iter().find(|(name, adds)| *name == dependency || adds.contains(&dependency));
    let reason = match higher {
        Some((name, _)) => format!("which belongs to the higher layer {name}"),
        None => "which is new: if it is justified, add it to the table in xtask/src/tree.rs".into(),
    };
    Some(format!("{package} depends on {dependency}, {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_can_use_the_dependencies_of_lower_layers_but_not_of_higher_ones() {
        assert_eq!(fault("futex-tokio", "rustix"), None);
        assert_eq!(fault("futex-tokio", "futex-sys"), None);
        assert_eq!(fault("futex-core", "slab"), None);
        assert_eq!(
            fault("futex-core", "tokio").unwrap(),
            "futex-core depends on tokio, which belongs to the higher layer futex-tokio"
        );
        assert_eq!(
            fault("futex-sys", "futex-core").unwrap(),
            "futex-sys depends on futex-core, which belongs to the higher layer futex-core"
        );
        assert!(fault("futex-sys", "left-pad").unwrap().contains("which is new"));
    }
}
