//! The parts of a kernel's test: one row each.

use super::kernel::Kernel;
use super::programs::{Programs, TestProgram};
use std::env;

/// Runs that pass or fail together.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// True if the part fails when no test ran.
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

/// What a run must do, in addition to exiting with 0.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expects {
    Nothing,
    /// It prints these lines.
    Lines(Vec<String>),
}

/// Duration of each storm of wakes. It is short, because an emulated machine is slow.
const STORM: &str = "FUTEX_TESTS_STORM_SECS=0.1";

/// Programs that don't run. Three of them run for minutes on an emulated machine. `idle` measures processor time, which an
/// emulated machine reports differently. `python` needs an interpreter.
const LEFT_OUT: [&str; 5] = ["accounts", "figures_storm", "idle", "python", "storms"];

/// Tests of libraries that don't run: those that use a model in place of the kernel, and those that compare the documents, which the
/// guest does not have, with the code.
const NOT_THERE: &str = " --skip loom_models --skip tests::properties --skip explorer --skip document::";

/// Variables that make tests of `futex-ipc` longer. A guest gets those that are set here.
const LONGER: [&str; 3] = ["FUTEX_IPC_HOSTILE_SECONDS", "FUTEX_IPC_KILLS", "FUTEX_IPC_STRESS_KILLS"];

/// The tests of the short form: those of the kernel, and those between processes.
const SHORT: [(&str, &[&str]); 5] = [
    ("futex-sys", &["it", "signal_safe"]),
    ("futex-core", &["choice", "kernel_properties", "left_behind", "reactor"]),
    ("futex-tokio", &["futex"]),
    ("futex-ipc", &["deaths", "kills"]),
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
    let crates = [
        ("sys", "futex-sys"),
        ("core", "futex-core"),
        ("tokio", "futex-tokio"),
        ("ipc", "futex-ipc"),
        ("cli", "futex-cli"),
    ];
    let longer = LONGER.iter().filter_map(|name| Some(format!(" {name}={}", env::var(name).ok()?)));
    let environment = STORM.to_owned() + &longer.collect::<String>();
    for (name, package) in crates {
        let run = |test: &TestProgram| test_run(test, &environment, if test.is_library() { NOT_THERE } else { "" });
        let runs: Vec<_> = tests_of(package).map(run).collect();
        if !runs.is_empty() {
            parts.push(Part { name, has_tests: true, runs });
        }
    }
    // The short form has only the first backend.
    for &backend in &kernel.backends()[..if short { 1 } else { kernel.backends().len() }] {
        // One test at a time: some tests count threads and descriptors of the process.
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

/// The backend that the library chooses by default, and its reasons.
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
