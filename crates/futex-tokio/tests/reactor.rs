//! Reactors and the runtimes that drive them.

mod support;

use futex_tokio::{AsyncFutex, Reactor, SharedMemory};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use support::{futex, poll, reactors};
use tokio::runtime::Builder;

#[test]
fn outside_a_runtime_there_is_no_reactor() {
    static WORD: AtomicU32 = AtomicU32::new(0);
    for error in
        [Reactor::current().unwrap_err(), Reactor::builder().build().unwrap_err(), AsyncFutex::new(&WORD).unwrap_err()]
    {
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().starts_with("there is no Tokio runtime here"), "{error}");
    }
}

#[test]
fn a_runtime_without_an_io_driver_is_refused() {
    let runtime = Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(async { Reactor::current() }).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(error.to_string().starts_with("this Tokio runtime has no I/O driver"), "{error}");
}

#[tokio::test]
async fn a_runtime_has_one_reactor_until_it_is_closed() {
    let futex = || AsyncFutex::with_reactor(&Reactor::current().unwrap(), &*Box::leak(Box::new(AtomicU32::new(0))));
    let (first, second) = (futex(), futex());
    assert!(poll(&mut first.wait_async(0)).is_pending());
    assert_eq!(second.reactor().stats().armed, 1);

    first.reactor().close();
    let error = second.wait_async(0).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert!(error.to_string().starts_with("the futex reactor was closed"), "{error}");
    assert!(poll(&mut futex().wait_async(0)).is_pending());
}

#[test]
fn a_runtime_that_shuts_down_ends_its_waits() {
    let other = Builder::new_current_thread().enable_all().build().unwrap();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let futexes: Vec<AsyncFutex> = runtime.block_on(async { reactors().iter().map(futex).collect() });
    for futex in &futexes {
        runtime.spawn({
            let futex = futex.clone();
            async move { futex.wait_async(0).await }
        });
    }
    let waits: Vec<_> = futexes
        .iter()
        .cloned()
        .map(|futex| {
            let mut wait = Box::pin(async move { futex.wait_async(0).await });
            assert!(poll(&mut wait).is_pending());
            wait
        })
        .collect();
    drop(runtime);
    other.block_on(async {
        for (wait, futex) in waits.into_iter().zip(&futexes) {
            assert_eq!(wait.await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(futex.reactor().stats().armed_now, 0);
        }
    });
}

#[test]
fn a_wait_moves_between_runtimes() {
    let home = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let other = Builder::new_current_thread().enable_all().build().unwrap();
    for futex in home.block_on(async { reactors().iter().map(futex).collect::<Vec<_>>() }) {
        let mut wait = futex.wait_async(0);
        assert!(poll(&mut wait).is_pending());
        futex.word().store(1, Ordering::Release);
        // A thread of the backend that has not parked yet sees the change. A wait that is in the kernel is woken.
        futex.wake_all();
        other.block_on(wait).unwrap();
    }
}

#[tokio::test]
async fn the_figures_of_a_reactor_add_up() {
    for reactor in reactors() {
        let futex = AsyncFutex::with_reactor(&reactor, SharedMemory::anonymous(4096).unwrap().word(8).unwrap());
        let mut waits: Vec<_> = (0..10).map(|_| futex.wait_async(0)).collect();
        assert!(waits.iter_mut().all(|wait| poll(wait).is_pending()));
        assert_eq!((reactor.stats().armed, reactor.stats().armed_now), (10, 10));
        waits.truncate(4);
        futex.word().store(1, Ordering::Release);
        futex.wake_all();
        for wait in waits {
            wait.await.unwrap();
        }
        let stats = reactor.stats();
        assert_eq!((stats.armed, stats.cancelled, stats.woken + stats.mismatched), (10, 6, 4), "{stats:?}");
        assert!(stats.units >= 1 && stats.armed_now == 0, "{stats:?}");
        assert!(format!("{reactor:?}").contains("runtime"));
    }
}
