//! The account of a word's wakes: each wake that the kernel counted is seen, although most waits leave, whatever their masks, and
//! whichever of two mappings of the word the waits and the wakes use.
#![cfg(not(loom))]

mod common;

use common::until;
use futex_core::{Backend, MATCH_ANY, Outcome, Reactor, SharedMemory, Waiter, Word};
use std::num::NonZeroU32;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

/// Number of waits that never leave.
const PATIENT: u32 = 6;

/// Number of threads whose waits come and go.
const LEAVING: u64 = 3;

const WAKES: u32 = 10_000;

/// A pseudo-random generator.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// The state that the threads share. The word never changes, so a wait that ends has consumed a wake.
struct Account {
    reactor: Reactor,
    /// One word, through each of two mappings.
    words: [Word; 2],
    /// True if waits have masks. Each mask has the bit that all wakes have.
    masks: bool,
    /// Number of wakes that were seen.
    seen: AtomicU32,
    over: AtomicBool,
}

impl Account {
    fn word(&self, random: &mut Random) -> &Word {
        &self.words[random.below(2) as usize]
    }

    fn mask(&self, random: &mut Random) -> NonZeroU32 {
        let masks = [u32::MAX, 0b01, 0b11].map(|bits| NonZeroU32::new(bits).expect("a mask has a bit"));
        if self.masks { masks[random.below(3) as usize] } else { MATCH_ANY }
    }

    /// Polls a wait. Returns true if it has ended.
    fn poll(&self, waiter: &mut Waiter, word: &Word, mask: NonZeroU32, waker: &Waker) -> bool {
        match waiter.poll_wait_masked(&self.reactor, word, 0, mask, &mut Context::from_waker(waker)) {
            Poll::Pending => false,
            Poll::Ready(ended) => {
                assert_eq!(ended.expect("a wait"), Outcome::Woken);
                true
            }
        }
    }

    /// Waits again and again. A wake counts as seen only after the next wait is armed. So there is an armed wait for each wake as
    /// long as fewer than [`PATIENT`] wakes are not seen yet.
    fn be_patient(&self, number: u32, armed: &AtomicU32) {
        let mut random = Random(number.into());
        let word = self.word(&mut random);
        let mut waiter = Waiter::new();
        loop {
            let task = Arc::new(Task { thread: thread::current(), woken: AtomicBool::new(false) });
            let waker = Waker::from(task.clone());
            let (mask, mut ended) = (self.mask(&mut random), 0);
            while self.poll(&mut waiter, word, mask, &waker) {
                ended += 1;
            }
            self.seen.fetch_add(ended, Ordering::Release);
            armed.fetch_or(1 << number, Ordering::Release);
            while !task.woken.load(Ordering::Acquire) {
                if self.over.load(Ordering::Acquire) {
                    return;
                }
                thread::park_timeout(Duration::from_millis(10)); // not longer, because nobody unparks it at the end of the test
            }
        }
    }

    /// Arms waits and drops them. Some are polled once more before the drop.
    fn leave(&self, number: u64) {
        let mut random = Random(1000 + number);
        while !self.over.load(Ordering::Acquire) {
            let (word, mask, mut waiter) = (self.word(&mut random), self.mask(&mut random), Waiter::new());
            if !self.poll(&mut waiter, word, mask, Waker::noop()) {
                for _ in 0..random.below(2_000) {
                    std::hint::spin_loop();
                }
                if random.below(5) > 0 || !self.poll(&mut waiter, word, mask, Waker::noop()) {
                    continue; // drops the wait, which hands on a wake that it has consumed
                }
            }
            self.seen.fetch_add(1, Ordering::Release);
        }
    }

    fn wake(&self) {
        let (mut random, mut counted) = (Random(7), 0);
        let bit = NonZeroU32::MIN;
        while counted < WAKES {
            // (A return without a cause is allowed.)
            if counted.saturating_sub(self.seen.load(Ordering::Acquire)) < PATIENT {
                let mask = if random.below(2) == 0 { bit } else { MATCH_ANY };
                counted += self.word(&mut random).wake_masked(1, mask);
            } else {
                self.reactor.turn();
                thread::yield_now();
            }
        }
        until("each wake that was counted is seen", || {
            self.reactor.turn();
            self.seen.load(Ordering::Acquire) >= WAKES
        });
    }
}

/// A task that is a thread.
struct Task {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Ends the threads, also if the test fails.
struct Over<'a>(&'a Account);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Release);
    }
}

fn balance(kind: Backend, masks: bool) {
    let Some(reactor) = common::reactor(kind) else { return };
    let memory = SharedMemory::anonymous(4096).expect("memory");
    let again = SharedMemory::from_fd(memory.as_fd().try_clone_to_owned().expect("dup")).expect("memory");
    let words = [&memory, &again].map(|memory| memory.word(0).expect("a word"));
    let account = Account { reactor, words, masks, seen: AtomicU32::new(0), over: AtomicBool::new(false) };
    let armed = AtomicU32::new(0);
    thread::scope(|scope| {
        let _over = Over(&account);
        for number in 0..PATIENT {
            let (account, armed) = (&account, &armed);
            scope.spawn(move || account.be_patient(number, armed));
        }
        until("all patient waits are armed", || armed.load(Ordering::Acquire).count_ones() == PATIENT);
        for number in 0..LEAVING {
            let account = &account;
            scope.spawn(move || account.leave(number));
        }
        account.wake();
    });
    account.reactor.close();
    account.words[0].wake(u32::MAX); // frees the threads that were left behind
}

#[test]
fn each_wake_that_was_counted_is_seen_though_most_waits_leave() {
    common::BACKENDS.into_iter().for_each(|kind| balance(kind, false));
}

/// Regression: a wake that was handed on found nobody parked, and was offered to one queue after the other. Meanwhile all waits
/// ended by other wakes, and their owners began new waits in queues that had already been asked. In this test one of 150,000
/// wakes was lost.
#[test]
fn each_wake_that_was_counted_is_seen_though_most_waits_leave_and_all_have_masks() {
    common::BACKENDS.into_iter().for_each(|kind| balance(kind, true));
}
