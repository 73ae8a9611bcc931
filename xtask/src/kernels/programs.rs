//! The programs that run in a guest: tests, peers of the tests, and an example.

use super::kernel::Processor;
use super::tools::Linker;
use crate::command;
use crate::need::Need;
use crate::workspace;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Programs for one processor. Each has the same path in the guest as here, so that tests find their peers.
pub(crate) struct Programs {
    pub(crate) tests: Vec<TestProgram>,
    /// The programs that tests start, and the example.
    others: Vec<PathBuf>,
    pub(crate) peer: PathBuf,
    pub(crate) raw_peer: PathBuf,
    pub(crate) slot_pipe: PathBuf,
    pub(crate) libraries: Vec<(String, PathBuf)>,
}

pub(crate) struct TestProgram {
    pub(crate) package: &'static str,
    /// The name of the test's file or of the library.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl TestProgram {
    /// True for the tests in the library itself.
    pub(crate) fn is_library(&self) -> bool {
        self.name.replace('_', "-") == self.package
    }
}

impl Programs {
    pub(crate) fn all(&self) -> impl Iterator<Item = &Path> {
        let tests = self.tests.iter().map(|test| &test.path);
        tests.chain(&self.others).chain([&self.raw_peer]).map(PathBuf::as_path)
    }
}

/// The builds of the rows of `cargo xtask test`, so that nothing is built twice.
const BUILDS: [(&str, &str); 7] = [
    ("futex-sys", "test -p futex-sys --all-features --all-targets --no-run"),
    ("futex-core", "test -p futex-core --all-features --all-targets --no-run"),
    ("futex-tokio", "test -p futex-tokio --all-features --all-targets --no-run"),
    ("futex-ipc", "test -p futex-ipc --all-features --all-targets --no-run"),
    ("futex-cli", "test -p futex-cli --all-features --all-targets --no-run"),
    ("futex-tests", "test -p futex-tests --release --no-run"),
    ("slot_pipe", "build -p futex-tokio --example slot_pipe --release"),
];

/// Builds the programs for a processor. The error says what is missing or does not compile.
pub(crate) fn build(processor: Processor, linker: &Linker) -> Result<Programs, String> {
    let target = processor.target();
    if !processor.is_native() {
        if let Some(reason) = Need::Target(target).missing() {
            return Err(reason);
        }
    }
    let mut built = Vec::new();
    for (package, arguments) in BUILDS {
        let mut cargo = workspace::cargo();
        cargo.args(arguments.split(' ')).args(["--message-format", "json-render-diagnostics"]);
        if !processor.is_native() {
            cargo.args(["--target", target]);
            let variable = format!("CARGO_TARGET_{}_LINKER", target.replace('-', "_").to_uppercase());
            cargo.env(variable, &linker.cc);
        }
        built.extend(executables(package, &mut cargo)?);
    }
    let find = |name: &str| {
        let found = built.iter().find(|executable| !executable.is_test && executable.name == name);
        found.map(|executable| executable.path.clone()).ok_or_else(|| format!("cargo did not build {name}"))
    };
    let (peer, slot_pipe) = (find("peer")?, find("slot_pipe")?);
    let raw_peer = peer.with_file_name("raw-peer");
    let source = workspace::root().join("crates/futex-tests/tests/raw/peer.c");
    command::run(Command::new(&linker.cc).args(["-O2", "-Wall", "-o"]).args([&raw_peer, &source]))?;
    let others = built.iter().filter(|executable| !executable.is_test).map(|executable| executable.path.clone());
    let others = others.collect();
    let tests = built.into_iter().filter(|executable| executable.is_test).map(|executable| TestProgram {
        package: executable.package,
        name: executable.name,
        path: executable.path,
    });
    let mut programs = Programs { tests: tests.collect(), others, peer, raw_peer, slot_pipe, libraries: Vec::new() };
    programs.libraries = match &linker.libraries {
        Some(directory) => libraries_in(directory),
        None => libraries_of(programs.all())?,
    };
    Ok(programs)
}

struct Executable {
    package: &'static str,
    name: String,
    is_test: bool,
    path: PathBuf,
}

fn executables(package: &'static str, cargo: &mut Command) -> Result<Vec<Executable>, String> {
    let messages = command::stdout(cargo.stderr(Stdio::inherit()));
    let messages = messages.map_err(|error| format!("the programs of {package} can't be built: {error}"))?;
    Ok(messages.lines().filter_map(|line| executable(package, line)).collect())
}

/// The program in a message of cargo, if it has one.
fn executable(package: &'static str, message: &str) -> Option<Executable> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let is_test = message["profile"]["test"].as_bool()?;
    if is_test && (message["target"]["kind"][0] == "example" || message["target"]["kind"][0] == "bin") {
        return None; // it has no tests
    }
    Some(Executable {
        package,
        path: PathBuf::from(message["executable"].as_str()?),
        name: message["target"]["name"].as_str()?.to_owned(),
        is_test,
    })
}

/// The machine's libraries that the programs need, and their paths in the guest.
fn libraries_of<'a>(programs: impl Iterator<Item = &'a Path>) -> Result<Vec<(String, PathBuf)>, String> {
    let text = command::stdout(Command::new("ldd").args(programs)).map_err(|error| format!("ldd failed: {error}"))?;
    // A line is `libc.so.6 => /lib/…/libc.so.6 (0x…)`, or `/lib64/ld-linux-x86-64.so.2 (0x…)` for the loader.
    let paths: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/') && !word.ends_with(':')))
        .collect();
    Ok(paths.into_iter().map(|path| (path.to_owned(), PathBuf::from(path))).collect())
}

/// The libraries for another processor, and their paths in the guest.
fn libraries_in(directory: &Path) -> Vec<(String, PathBuf)> {
    ["ld-linux-aarch64.so.1", "libc.so.6", "libgcc_s.so.1", "libm.so.6"]
        .iter()
        .map(|name| (format!("/lib/{name}"), directory.join(name)))
        .filter(|(_, path)| path.exists())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_message_about_a_program_has_one() {
        let message = |executable: &str, test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"word","kind":["test"]}},"profile":{{"test":{test}}},"executable":{executable}}}"#
            )
        };
        let found = executable("p", &message("\"/a/word-1\"", true)).unwrap();
        assert_eq!((found.name.as_str(), found.is_test, found.path.as_path()), ("word", true, Path::new("/a/word-1")));
        assert!(executable("p", &message("null", false)).is_none());
        assert!(executable("p", r#"{"reason":"build-finished","success":true}"#).is_none());
        assert!(executable("p", "not JSON").is_none());
    }
}
