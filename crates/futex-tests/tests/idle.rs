//! Waits cost no processor time. One test, so that it has the process for itself.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use futex_core::Backend;
use futex_tests::load::{arms, backend, boxed, runtime, zero};
use futex_tests::until_waiters;
use futex_tokio::{AsyncFutex, Word};
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The processor time that this process has used, in user mode and in the kernel, all threads together. It is what
/// getrusage(2) tells, in nanoseconds and not in ticks.
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
    // Some waits were given up before.
    runtime.block_on(async {
        let word = zero();
        let futex = AsyncFutex::new(&word).unwrap();
        let mut given_up: Vec<_> = (0..10).map(|_| boxed(&futex)).collect();
        assert!(given_up.iter_mut().all(arms));
    });
    words.iter().for_each(|word| until_waiters(word, 1));

    let before = used();
    std::thread::sleep(Duration::from_secs(2)); // what is measured, not a wait for something
    let idle = used() - before;
    println!("{} waits used {idle:?} in two seconds", words.len());
    // The threads of `Thread` park anew about eight times in this time: 10 µs each (measured), and some patience.
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
