//! Each better backend that is passed over gives a warning with the reason.
#![cfg(feature = "tracing")]

use futex_tokio::{Backend, Reactor};
use std::fmt;
use std::process::Command;
use std::sync::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// A subscriber that keeps each warning as a line of text.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("futex")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                self.0 += &format!("{field}={value:?} ");
            }
            fn record_str(&mut self, field: &Field, value: &str) {
                self.0 += &format!("{field}={value} ");
            }
        }

        let mut line = Line(String::new());
        event.record(&mut line);
        if *event.metadata().level() <= Level::WARN {
            self.0.lock().expect("no panic").push(line.0);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Makes a reactor. Returns the warnings, and each backend that was passed over with the reason.
fn make(backend: Option<Backend>) -> (Vec<String>, Vec<(Backend, String)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (_entered, subscriber) = (runtime.enter(), Dispatch::new(Warnings::default()));
    let reactor = tracing::dispatcher::with_default(&subscriber, || match backend {
        Some(backend) => Reactor::builder().backend(backend).build(),
        None => Reactor::current(),
    });
    let reactor = reactor.expect("a reactor");
    let passed = reactor.passed_over().map(|(backend, reason)| (backend, reason.to_string())).collect();
    let warnings = subscriber
        .downcast_ref::<Warnings>()
        .expect("the subscriber is a `Warnings`")
        .0
        .lock()
        .expect("no panic")
        .clone();
    (warnings, passed)
}

#[test]
fn a_backend_that_was_chosen_gives_no_warning() {
    assert_eq!(make(Some(Backend::Thread)), (vec![], vec![]));
}

/// Environment variable that is set in the child process of the test, which may have no io_uring.
const CHILD: &str = "FUTEX_TOKIO_TEST_CHILD";

#[test]
fn each_backend_that_is_passed_over_gives_one_warning_with_its_reason() {
    if std::env::var_os(CHILD).is_none() {
        // The environment and the limit of locked memory belong to a process, so the test runs in a process of its own.
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "each_backend_that_is_passed_over_gives_one_warning_with_its_reason", "--nocapture"])
            .env(CHILD, "1")
            .env_remove("FUTEX_BACKEND")
            .output()
            .expect("this program starts again");
        let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}\n{stderr}");
        return;
    }
    no_lockable_memory();
    let (warnings, passed) = make(None);
    assert_eq!(warnings.len(), passed.len(), "{warnings:?}, {passed:?}");
    if cfg!(feature = "uring") && passed.is_empty() {
        // This kernel does not count the memory of rings as locked memory.
        assert!(std::env::var_os("FUTEX_TESTS_FORBID_SKIPS").is_none(), "skips are forbidden: io_uring is available");
        eprintln!("SKIPPED: io_uring is available without locked memory on this kernel");
    }
    for (warning, (backend, reason)) in warnings.iter().zip(&passed) {
        assert!(warning.contains("a better futex backend is not available here and was passed over"), "{warning}");
        assert!(warning.contains(&format!("backend={backend} ")), "{warning}");
        assert!(warning.contains(&format!("reason={reason} ")), "{warning}, not {reason}");
    }
    // Without the feature `uring`, that backend is always passed over.
    assert!(cfg!(feature = "uring") || passed[0].0 == Backend::Uring);
}

/// Sets the limit of locked memory to zero, so that this process can't open rings.
fn no_lockable_memory() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    setrlimit(Resource::Memlock, Rlimit { current: Some(0), maximum: Some(0) }).expect("a lower limit");
    // The limit does not apply to a thread that has this capability.
    let mut sets = capabilities(None).expect("capabilities");
    sets.effective.remove(CapabilitySet::IPC_LOCK);
    sets.permitted.remove(CapabilitySet::IPC_LOCK);
    sets.inheritable.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, sets).expect("fewer capabilities");
}
