//! The guide's service that stops on Ctrl-C. The tests send it a signal.

use futex_tests::until;
use futex_tokio::SharedMemory;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

const SHUTDOWN: &str = env!("CARGO_BIN_EXE_guide_shutdown");
const RUNNING: u32 = 1;
const STOPPING: u32 = 2;

/// Starts the service, waits until it runs, and sends the signal to its process group, as a terminal does.
fn stops_on(signal: Signal) {
    let name = format!("/shutdown-{}-{}", std::process::id(), signal.as_raw());
    let service = Command::new(SHUTDOWN).arg(&name).process_group(0).stdout(Stdio::piped()).spawn().expect("a service");
    let mut opened = None;
    until(|| {
        opened = SharedMemory::open(&name).ok();
        opened.is_some()
    });
    let memory = opened.expect("it is open");
    let [state, jobs] = [0, 64].map(|offset| memory.word(offset).expect("a word"));
    while state.load(Ordering::Acquire) != RUNNING {
        state.wait(0, Some(Duration::from_secs(60))).map(drop).expect("a wait");
    }
    // A client, which must see that the service stops.
    let client = std::thread::spawn({
        let state = state.clone();
        move || {
            while state.load(Ordering::Acquire) == RUNNING {
                state.wait(RUNNING, None).map(drop).expect("a wait");
            }
            state.load(Ordering::Acquire)
        }
    });
    jobs.store(7, Ordering::Release);
    jobs.wake(1);

    let group = Pid::from_raw(service.id().try_into().expect("a process id")).expect("it is not 0");
    kill_process_group(group, signal).expect("a signal");
    let output = service.wait_with_output().expect("the service ends");
    assert!(output.status.success(), "{output:?}");
    // The service may have received the signal before the job. The worker writes to the service's standard output, so this has
    // all that the worker printed.
    let printed = String::from_utf8(output.stdout).expect("text");
    let end = "the worker has stopped\nthe service has stopped\n";
    assert!([end.to_owned(), format!("job 7\n{end}")].contains(&printed), "{printed:?}");
    assert_eq!(client.join().expect("no panic"), STOPPING);
    assert_eq!(SharedMemory::open(&name).expect_err("the name is gone").kind(), ErrorKind::NotFound);
}

#[test]
fn ctrl_c_stops_a_service_its_worker_and_its_clients() {
    stops_on(Signal::INT);
}

#[test]
fn sigterm_stops_a_service_its_worker_and_its_clients() {
    stops_on(Signal::TERM);
}
