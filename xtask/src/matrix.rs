//! The rows of `cargo xtask test`.

use crate::kernels;
use crate::need::Need;
use crate::step::{FORBID_SKIPS, Step, cargo, cargo_of, xtask};
use crate::workspace::{self, MSRV, PROGRAM, PUBLISHED};

/// Steps that pass or fail together.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// The row is skipped if one of these is missing.
    pub(crate) needs: Vec<Need>,
    /// True if the row fails when no test ran, for example because a filter matches none.
    pub(crate) has_tests: bool,
    pub(crate) steps: Vec<Step>,
}

/// The toolchain of the rows that use unstable tools.
const NIGHTLY: &str = "nightly";

/// The examples that are run, not only built. Each must end by itself, and fail if it does not do its work.
const EXAMPLES: [&str; 7] = [
    "-p futex-tokio --example slot_pipe -- --messages 20000 --backend uring",
    "-p futex-tokio --example slot_pipe -- --messages 20000 --backend waitv",
    "-p futex-tokio --example slot_pipe -- --messages 20000 --backend thread",
    "-p futex-core --example other_executor",
    "-p futex-ipc --example resource_lock",
    "-p futex-ipc --example leader",
    "-p futex-ipc --example gpu_pool",
];

/// The whole matrix, in the order in which it runs: quick rows that often fail come first.
///
/// With `forbid_test_skips`, tests fail instead of being skipped.
pub(crate) fn rows(forbid_test_skips: bool) -> Vec<Row> {
    let mut rows = vec![
        row("fmt", "rustfmt changes nothing").step(cargo("fmt --all --check -- --color never")),
        row("clippy", "clippy reports nothing, with all features and with none").steps(clippy()),
        row("docs", "the documentation builds without a warning").step(
            cargo("doc --workspace --exclude futex-bench --no-deps --all-features")
                .append("RUSTDOCFLAGS", "-D warnings"),
        ),
        row("xtask", "the tests of xtask itself").tests(cargo("test -p xtask")),
        row("tree", "dependencies fit the layers, and no crate has circular imports").step(xtask("tree")),
    ];
    for (name, bare, package) in CRATES {
        rows.push(
            row(name, "the crate's own tests, all features")
                .tests(cargo(&format!("test -p {package} --all-features --all-targets -- --show-output"))),
        );
        rows.push(
            row(bare, "the crate's own tests, no default features")
                .tests(cargo(&format!("test -p {package} --no-default-features --all-targets -- --show-output"))),
        );
    }
    rows.extend([
        row("ipc", "the crate's own tests, all features, and an exploration of each lock")
            .tests(cargo("test -p futex-ipc --all-features --all-targets -- --show-output")),
        row("ipc-bare", "the crate's own tests, no default features")
            .tests(cargo("test -p futex-ipc --no-default-features --all-targets -- --show-output --skip explorer")),
    ]);
    rows.push(
        row("doctests", "the programs in the documentation")
            .tests(cargo("test --workspace --exclude futex-bench --doc --all-features")),
    );
    for (backend, about) in BACKENDS {
        // One test at a time: some tests count the process's threads, descriptors and processor time.
        let step = cargo("test -p futex-tests --release -- --test-threads=1 --show-output");
        rows.push(row(backend, about).tests(step.set("FUTEX_BACKEND", backend)));
    }
    rows.extend([
        row("kernels", "most tests, on an older kernel in QEMU")
            .needs(Need::Of(kernels::missing))
            .step(xtask("kernels --short")),
        row("loom", "the loom models of futex-core and futex-ipc, in every interleaving")
            .tests(loom("futex-core").set_if_unset("LOOM_MAX_PREEMPTIONS", "3"))
            .tests(loom("futex-ipc")),
        row("examples", "the examples build, and some of them run").steps(examples()),
        row("bench", "the performance lab, without the rivals that take long to build")
            .step(cargo("clippy -p futex-bench --all-targets -- -D warnings"))
            .tests(cargo("test -p futex-bench")),
        row("package", "the published crates are ready for cargo publish, and their packages compile")
            .step(cargo("publish --dry-run --workspace --allow-dirty --no-verify"))
            .step(xtask("packaged")),
        row("shown", "the documents' programs compile with the dependencies that the documents show").step(xtask("shown")),
        row("msrv", "the published crates compile with the oldest supported toolchain")
            .needs(Need::Toolchain(MSRV))
            .step(cargo_of(MSRV, &format!("check {} --all-features", packages()))),
        row("minimal-versions", "the published crates compile with the oldest dependencies that they allow")
            .needs(Need::Toolchain(NIGHTLY))
            .step(xtask("minimal-versions")),
        row("aarch64", "all crates but the lab compile for 64-bit ARM")
            .needs(Need::Target("aarch64-unknown-linux-gnu"))
            .step(cargo("check --workspace --exclude futex-bench --all-targets --all-features --target aarch64-unknown-linux-gnu")),
        // Without io_uring: the crate `io-uring` supports only 64-bit machines.
        row("i686", "the published crates compile for a machine with 32-bit pointers")
            .needs(Need::Target("i686-unknown-linux-gnu"))
            .step(cargo(&format!(
                "check {} --all-targets --no-default-features --target i686-unknown-linux-gnu",
                packages()
            ))),
        row("linux-only", "on another system than Linux, each crate fails with one clear error")
            .needs(Need::Target("x86_64-apple-darwin"))
            .step(xtask("linux-only")),
        row("miri", "the tests of futex-core that make no system call, under Miri")
            .needs(Need::Component { toolchain: NIGHTLY, component: "miri" })
            .tests(cargo_of(NIGHTLY, "miri test -p futex-core --lib")),
        row("semver", "the published crates are compatible with the last release")
            .needs(Need::Release)
            .needs(Need::Subcommand("semver-checks"))
            .step(cargo(&format!("semver-checks {}", libraries()))),
        row("deny", "licences, advisories and sources of the dependencies")
            .needs(Need::Subcommand("deny"))
            .step(cargo("deny --all-features check")),
    ]);
    if forbid_test_skips {
        for row in rows.iter_mut().filter(|row| row.has_tests) {
            row.steps = row.steps.drain(..).map(|step| step.set(FORBID_SKIPS, "1")).collect();
        }
    }
    rows
}

/// The two rows of a crate: with all features, and with none.
const CRATES: [(&str, &str, &str); 4] = [
    ("sys", "sys-bare", "futex-sys"),
    ("core", "core-bare", "futex-core"),
    ("tokio", "tokio-bare", "futex-tokio"),
    // Its tests run the program on each backend.
    ("cli", "cli-bare", PROGRAM),
];

/// The rows of the backends. A row sets `FUTEX_BACKEND` to its name.
const BACKENDS: [(&str, &str); 3] = [
    ("uring", "the tests between processes, on io_uring"),
    ("waitv", "the tests between processes, on futex_waitv"),
    ("thread", "the tests between processes, on one thread per waiter"),
];

fn row(name: &'static str, about: &'static str) -> Row {
    Row { name, about, needs: Vec::new(), has_tests: false, steps: Vec::new() }
}

impl Row {
    fn needs(mut self, need: Need) -> Self {
        self.needs.push(need);
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn steps(mut self, steps: impl Iterator<Item = Step>) -> Self {
        self.steps.extend(steps);
        self
    }

    /// A step that runs tests.
    fn tests(mut self, step: Step) -> Self {
        self.has_tests = true;
        self.step(step)
    }
}

/// The published crates as arguments of cargo.
fn packages() -> String {
    workspace::published().collect::<Vec<_>>().join(" ")
}

/// The published libraries, as arguments of cargo.
fn libraries() -> String {
    packages().replace(&format!(" --package {PROGRAM}"), "")
}

fn clippy() -> impl Iterator<Item = Step> {
    let all = cargo("clippy --workspace --exclude futex-bench --all-targets --all-features -- -D warnings");
    let bare = PUBLISHED
        .map(|package| cargo(&format!("clippy -p {package} --all-targets --no-default-features -- -D warnings")));
    std::iter::once(all).chain(bare)
}

/// The loom models of a crate. They need none of its features, and Tokio has no sockets under loom, which futex-tokio needs.
fn loom(package: &str) -> Step {
    cargo(&format!("test -p {package} --lib --no-default-features --profile loom -- loom"))
        // In the usual directory, the other flags would rebuild the crates of all other rows.
        .set("CARGO_TARGET_DIR", workspace::target_dir().join("loom"))
        .append("RUSTFLAGS", "--cfg loom")
}

fn examples() -> impl Iterator<Item = Step> {
    let build = cargo("build --workspace --exclude futex-bench --examples --all-features --release");
    std::iter::once(build).chain(EXAMPLES.map(|example| cargo(&format!("run --release {example}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_row_has_a_unique_name_and_a_step() {
        let rows = rows(false);
        let names: BTreeSet<_> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), rows.len());
        for row in &rows {
            assert!(!row.steps.is_empty(), "{}", row.name);
            assert!(row.name.len() < 17 && !row.about.is_empty(), "{}", row.name);
        }
    }

    #[test]
    fn each_backend_has_a_row_that_chooses_it() {
        for (backend, _) in BACKENDS {
            let rows = rows(false);
            let row = rows.iter().find(|row| row.name == backend).unwrap();
            assert!(row.steps[0].to_string().starts_with(&format!("FUTEX_BACKEND={backend} cargo test ")));
        }
    }
}
