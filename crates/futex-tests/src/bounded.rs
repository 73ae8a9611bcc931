//! Limits for test bodies that hang or end the process if the library has a fault.

use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Runs `body` on a thread of its own and returns its result.
///
/// # Panics
///
/// If `body` panics, and after a minute. No test takes that long, even on the slowest machine.
pub fn without_a_hang<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, result) = channel();
    let thread = std::thread::spawn(move || {
        // This fails if the time is up and the receiver is gone.
        let _ = send.send(body());
    });
    match result.recv_timeout(Duration::from_secs(60)) {
        Ok(result) => {
            thread.join().expect("the body has returned");
            result
        }
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("a body that returns sends its result"),
        },
        Err(RecvTimeoutError::Timeout) => panic!("the test hangs"),
    }
}

/// Runs the body of a test in a process of its own, because it may end the process. `test` is the name of the calling test, with
/// its modules.
///
/// # Panics
///
/// If the process does not succeed, and if it has no such test.
pub fn in_its_own_process(test: &str, body: impl FnOnce() + Send + 'static) {
    const TEST: &str = "FUTEX_TESTS_IN_ITS_OWN_PROCESS";

    if std::env::var_os(TEST).is_some_and(|name| name == test) {
        return without_a_hang(body);
    }
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new(program)
        .args(["--exact", test, "--nocapture"])
        .env(TEST, test)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("this program starts again");
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "the process ended with {}\n{stdout}\n{stderr}", output.status);
    assert!(stdout.contains("1 passed"), "there is no test {test}");
}
