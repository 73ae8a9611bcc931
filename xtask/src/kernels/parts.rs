//! What runs in a guest: the rows of a kernel.

use super::kernel::Kernel;
use super::programs::{Programs, TestProgram};

/// A row: some runs that pass or fail together.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// A test must have run.
    pub(crate) has_tests: bool,
    pub(crate) runs: Vec<Run>,
}

/// A command line in a guest.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) title: String,
    /// For the guest's shell.
    pub(crate) command: String,
    pub(crate) expects: Expects,
}

/// What a run must do besides exiting with 0.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expects {
    Nothing,
    /// Its lines are these.
    Lines(Vec<String>),
}

/// How long a storm of wakes goes on, in seconds. An emulated machine gets through less in that time, and that is enough.
const STORM: &str = "FUTEX_TESTS_STORM_SECS=0.1";

/// Programs that are left out: three settle the library's accounts over very many rounds, which takes an emulated machine minutes,
/// and `idle` measures processor time, of which an emulated machine has another.
const LEFT_OUT: [&str; 4] = ["accounts", "figures_storm", "idle", "storms"];

/// Tests of `futex-core` that are left out: the kernel under them is a model, so they would show the same on every other.
const MODELS: &str = " --skip tests::loom_models --skip tests::properties";

/// The tests that the short form runs: those of the kernel, and of what processes have to do with each other.
const SHORT: [(&str, &[&str]); 4] = [
    ("futex-sys", &["it", "signal_safe"]),
    ("futex-core", &["choice", "kernel_properties", "left_behind", "reactor"]),
    ("futex-tokio", &["futex"]),
    ("futex-tests", &["limits", "processes", "raw_peers", "sandbox"]),
];

/// All parts for a kernel. The short form has fewer.
pub(crate) fn parts(kernel: &Kernel, programs: &Programs, short: bool) -> Vec<Part> {
    let tests_of = |package: &'static str| {
        let short_names: Vec<&str> =
            SHORT.iter().filter(|(of, _)| *of == package).flat_map(|(_, names)| names.iter().copied()).collect();
        let is_chosen = move |name: &str| !LEFT_OUT.contains(&name) && (!short || short_names.contains(&name));
        programs.tests.iter().filter(move |test| test.package == package && is_chosen(&test.name))
    };
    let mut parts = vec![choice(kernel, programs)];
    for (name, package) in [("sys", "futex-sys"), ("core", "futex-core"), ("tokio", "futex-tokio")] {
        parts.push(Part {
            name,
            has_tests: true,
            runs: tests_of(package)
                .map(|test| test_run(test, STORM, if test.is_library() { MODELS } else { "" }))
                .collect(),
        });
    }
    // The short form has the backend that the kernel is there for.
    for &backend in &kernel.backends()[..if short { 1 } else { kernel.backends().len() }] {
        // Their programs count threads and descriptors of the process, so one test runs at a time.
        let environment = format!("FUTEX_BACKEND={backend} FUTEX_TESTS_RAW_PEER={}", quoted(&programs.raw_peer));
        let runs = tests_of("futex-tests").map(|test| test_run(test, &environment, " --test-threads=1"));
        parts.push(Part { name: backend, has_tests: true, runs: runs.collect() });
    }
    parts.push(pipe(kernel, programs));
    parts
}

fn test_run(test: &TestProgram, environment: &str, options: &str) -> Run {
    Run {
        title: format!("{} {}", test.package, test.name),
        command: format!("{environment} {} --show-output{options}", quoted(&test.path)),
        expects: Expects::Nothing,
    }
}

/// What the library chooses by itself, and why.
fn choice(kernel: &Kernel, programs: &Programs) -> Part {
    let ask = |title: &str, forbid: &str, chosen: &str, passed_over: &[&str]| Run {
        title: title.to_owned(),
        command: format!(
            "head -c 4096 /dev/zero > /dev/shm/choice; \
             printf '{forbid}runtime multi-thread\\nbackend\\npassed-over\\n' | {} name choice",
            quoted(&programs.peer)
        ),
        expects: Expects::Lines(vec![format!("= {chosen}"), format!("= {}", passed_over.join("; ")).trim().to_owned()]),
    };
    let backends = kernel.backends();
    let mut reasons = kernel.reasons();
    let mut runs = vec![ask("the choice", "", backends[0], &reasons)];
    if backends[0] == "waitv" {
        reasons.push("waitv: futex_waitv is not available: Operation not permitted (os error 1)");
        runs.push(ask("the choice without futex_waitv", "forbid futex_waitv EPERM\\n", "thread", &reasons));
    }
    Part { name: "choice", has_tests: false, runs }
}

/// The example that moves messages between processes.
fn pipe(kernel: &Kernel, programs: &Programs) -> Part {
    let runs = kernel.backends().iter().map(|backend| Run {
        title: format!("slot_pipe on {backend}"),
        command: format!("{} --messages 20000 --backend {backend}", quoted(&programs.slot_pipe)),
        expects: Expects::Nothing,
    });
    Part { name: "slot_pipe", has_tests: false, runs: runs.collect() }
}

/// For the guest's shell.
fn quoted(path: &std::path::Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}
