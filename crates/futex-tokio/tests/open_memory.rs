//! Waiting for shared memory by its name.
#![cfg(target_os = "linux")]

use futex_tokio::{NamedMemory, SharedMemory, open_memory};
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// A timeout that is longer than each wait for memory that does come.
const LONG: Duration = Duration::from_secs(60);

fn name(what: &str) -> String {
    format!("/futex-tokio-test-{what}-{}", std::process::id())
}

fn runtimes() -> [Runtime; 2] {
    [Builder::new_current_thread(), Builder::new_multi_thread()]
        .map(|mut builder| builder.enable_all().build().expect("a runtime"))
}

#[test]
fn open_memory_opens_existing_memory_at_once() {
    for runtime in runtimes() {
        let name = name("there");
        let _owner = NamedMemory::create(&name, 64).unwrap();
        let _entered = runtime.enter();
        let Poll::Ready(memory) = pin!(open_memory(&name)).poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("the future is pending although the memory is there");
        };
        assert_eq!(memory.unwrap().len(), 64);
    }
}

#[test]
fn open_memory_waits_until_the_memory_is_there_and_has_its_length() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let name = name("awaited");
            let waiter = tokio::spawn(timeout(LONG, open_memory(name.clone())));
            tokio::task::yield_now().await;
            let file = File::create(format!("/dev/shm{name}")).unwrap(); // as `shm_open` does
            tokio::task::yield_now().await;
            file.set_len(64).unwrap();
            let memory = waiter.await.unwrap();
            SharedMemory::unlink(&name).unwrap();
            assert_eq!(memory.expect("the memory is there").unwrap().len(), 64);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn open_memory_waits_until_the_timeout_for_memory_that_does_not_come() {
    assert!(timeout(LONG, open_memory(name("never"))).await.is_err());
}

#[tokio::test]
async fn open_memory_returns_other_errors_at_once() {
    let name = name("wrong");
    File::create(format!("/dev/shm{name}")).unwrap().set_len(3).unwrap();
    let opened = timeout(LONG, open_memory(&name)).await;
    SharedMemory::unlink(&name).unwrap();
    assert_eq!(opened.expect("an error at once").unwrap_err().kind(), ErrorKind::InvalidInput);
    let error = open_memory("a/b").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn open_memory_without_a_runtime_or_a_timer_returns_an_error() {
    let poll = |name: &str| pin!(open_memory(name)).poll(&mut Context::from_waker(Waker::noop()));
    let refused = |text: &str| match poll("futex-tokio-test-refused") {
        Poll::Ready(Err(error)) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().starts_with(text), "{error}");
        }
        other => panic!("{other:?}"),
    };
    refused("there is no Tokio runtime here: call `open_memory` within one");
    let runtime = Builder::new_current_thread().enable_io().build().unwrap();
    let _entered = runtime.enter();
    refused("this Tokio runtime has no timer: build it with `enable_time` or `enable_all`");
}

#[test]
fn open_memory_whose_runtime_shuts_down_returns_an_error() {
    // The shutdown of `first` wakes the task, which runs on the other runtime and polls the timer. Then Tokio's timer panics.
    let [first, other] = runtimes();
    let mut waiting = Box::pin(open_memory(name("runtime")));
    first.block_on(poll_fn(|cx| {
        assert!(waiting.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    }));
    let waiter = other.spawn(waiting);
    drop(first);
    let error = other
        .block_on(async { timeout(LONG, waiter).await })
        .expect("the wait ends")
        .expect("the task does not panic")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(error.to_string(), "the Tokio runtime whose timer this wait for shared memory needs has shut down");
}

#[test]
fn the_future_of_open_memory_can_be_spawned() {
    fn is_spawnable(_: &(impl Future + Send + 'static)) {}
    is_spawnable(&open_memory(String::new()));
    is_spawnable(&open_memory("a name"));
}
