//! Idle waits use no processor time. This file has only one test, so that no other test uses the same process.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use futex_core::Backend;
use futex_tests::load::{arms, backend, boxed, runtime, zero};
use futex_tests::until_waiters;
use futex_tokio::{AsyncFutex, Word};
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Returns the processor time that all threads of this process have used, in user mode and in the kernel. This is the value of
/// getrusage(2), but with a resolution of nanoseconds.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

#[test]
fn waits_use_no_processor_time_while_nothing_happens() {
    let runtime = runtime();
    let (words, mut waits): (Vec<Word>, Vec<_>) = runtime.block_on(async {
        let n = match AsyncFutex::new(zero()).unwrap().reactor().backend() {
            Backend::Thread => 500,
            _ => 1_000,
        };
        (0..n)
            .map(|_| {
                let word = zero();
                let futex = AsyncFutex::new(&word).unwrap();
                (word, tokio::spawn(async move { futex.wait_until(|value| value != 0).await }))
            })
            .unzip()
    });
    // Some waits are dropped before the measurement.
    runtime.block_on(async {
        let word = zero();
        let futex = AsyncFutex::new(&word).unwrap();
        let mut given_up: Vec<_> = (0..10).map(|_| boxed(&futex)).collect();
        assert!(given_up.iter_mut().all(arms));
    });
    words.iter().for_each(|word| until_waiters(word, 1));

    let before = used();
    std::thread::sleep(Duration::from_secs(2)); // this time is what the test measures
    let idle = used() - before;
    println!("{} waits used {idle:?} in two seconds", words.len());
    // Each thread of `Thread` parks again about eight times in this time, which takes 10 µs each time (measured). The limits are
    // higher, for slow machines.
    let limit = if backend() == Backend::Thread { 200 } else { 20 };
    assert!(idle < Duration::from_millis(limit), "{} waits used {idle:?} in two seconds", words.len());

    for (i, word) in (1..).zip(&words) {
        word.store(i, Ordering::Release);
        word.wake(1);
    }
    for (i, wait) in (1..).zip(&mut waits) {
        assert_eq!(runtime.block_on(wait).unwrap().unwrap(), i);
    }
}
