//! The random sequences of `src/tests/sequence.rs`, on the backends that park threads.
//!
//! A wait reaches the kernel, and its end reaches the owner, a little later. Threads park anew: on `Waitv` whenever their list of
//! words changes, on `Thread` from time to time. So waits of different threads have no fixed order, and only the *numbers* of
//! woken waits are compared. The comparison allows the following:
//!
//! - A wait whose word has changed may end at any time, because parking compares the word.
//! - On `Waitv` a wake may end waits on other words without a cause.
//! - On `Thread` the thread of a wait whose owner has left stays parked for a while. A wake that finds it is counted, and the
//!   thread hands it on.
//! - On `Thread` a wake may find nobody while a thread parks anew.
//!
//! (`src/tests/kernel.rs` tests `Uring`, masks, and the order on `Thread` with parks that last longer than a sequence.)
#![cfg(not(loom))]

#[expect(dead_code, reason = "this test does not use the naive model")]
#[path = "../src/tests/sequence.rs"]
mod sequence;

mod common;
#[path = "common/subject.rs"]
mod subject;

use common::{until, waiters};
use futex_core::Backend;
use proptest::prelude::*;
use sequence::{End, OWNERS, Op, WORDS, sequences};
use std::num::NonZeroU32;
use subject::Subject;

/// Runs a sequence, and checks how many waits are woken, but not which ones.
fn count(kind: Backend, ops: &[Op], words: usize) {
    let Some(mut subject) = Subject::new(kind) else { return };
    let mut counts = Counts { leaves_behind: kind == Backend::Thread, ..Counts::default() };
    for (position, &op) in ops.iter().enumerate() {
        match op {
            Op::Poll { owner, word, expected, .. } if counts.armed[owner].is_none() => {
                let word = word % words;
                let seen = subject.poll(owner, word, expected, NonZeroU32::MAX);
                match seen {
                    None => {
                        counts.armed[owner] = Some((word, expected));
                        counts.has_differed[owner] = counts.values[word] != expected;
                    }
                    Some(End::Woken) if counts.raced => counts.see(word, words),
                    seen => assert!(seen == Some(End::Mismatch) && counts.values[word] != expected, "{op:?}: {seen:?}"),
                }
            }
            Op::Drop { owner } => {
                counts.raced |= counts.armed[owner].is_some();
                subject.owners[owner].cancel();
                counts.armed[owner] = None;
            }
            Op::Wake { word, n, .. } => {
                let word = word % words;
                let woken = subject.wake(word, n, NonZeroU32::MAX);
                let all = n.min(counts.live(word));
                // After an owner has left, its thread may still be parked, or its wake may reach a wait that was not expected to
                // end. And on `Thread` a thread may be about to park anew.
                let is_allowed = woken <= n && counts.raced || woken < all && counts.leaves_behind;
                assert!(woken == all || is_allowed, "{op:?} woke {woken}, not {all}");
                counts.owed[word] += woken;
                counts.counted += woken;
            }
            Op::Set { word, value } => {
                counts.change(word % words, value);
                subject.set(word % words, value);
            }
            Op::Turn => subject.reactor.turn(),
            Op::Poll { .. } | Op::Lose { .. } => {}
        }
        // If the next operation is a drop, it follows at once, so that owners leave while wakes arrive.
        if !matches!(ops.get(position + 1), Some(Op::Drop { .. })) {
            counts.settle(&mut subject, words);
        }
    }
    subject.end();
}

#[derive(Default)]
struct Counts {
    values: [u32; WORDS],
    armed: [Option<(usize, u32)>; OWNERS],
    /// True if the word has differed from the expected value since the wait began. A thread that parked anew at that time may
    /// report the mismatch after the word has its old value again.
    has_differed: [bool; OWNERS],
    /// Number of wakes that the kernel counted and nobody has seen yet.
    owed: [u32; WORDS],
    counted: u32,
    seen: u32,
    /// True if an owner has left. The thread of its wait may stay parked for a while and hand a wake on.
    raced: bool,
    leaves_behind: bool,
}

impl Counts {
    fn live(&self, word: usize) -> u32 {
        self.armed.iter().flatten().filter(|armed| armed.0 == word).count() as u32
    }

    fn change(&mut self, word: usize, value: u32) {
        self.values[word] = value;
        for (armed, has_differed) in self.armed.iter().zip(&mut self.has_differed) {
            *has_differed |= armed.is_some_and(|(of, expected)| of == word && value != expected);
        }
    }

    fn see(&mut self, word: usize, words: usize) {
        self.seen += 1;
        self.owed[word] = self.owed[word].saturating_sub(1);
        // With one word no wake is invented. With one thread per wait none is invented on any number of words.
        let is_possible = words > 1 && self.counted > 0 && !self.leaves_behind;
        assert!(self.seen <= self.counted || is_possible, "woken without a wake");
    }

    /// Waits until each counted wake was seen or found nobody, and until the threads are parked for all other waits.
    fn settle(&mut self, subject: &mut Subject, words: usize) {
        until("each counted wake is seen while somebody waits, and the other waits are parked", || {
            for owner in 0..OWNERS {
                let Some((word, expected)) = self.armed[owner] else { continue };
                let Some(end) = subject.poll(owner, word, expected, NonZeroU32::MAX) else { continue };
                self.armed[owner] = None;
                match end {
                    End::Woken => self.see(word, words),
                    End::Mismatch => assert!(self.has_differed[owner], "{word} has always been {expected}"),
                    End::Closed => panic!("nobody has closed the reactor"),
                }
            }
            (0..WORDS).all(|word| {
                self.owed[word] = self.owed[word].min(self.live(word));
                self.owed[word] == 0
            }) && (0..WORDS).all(|word| {
                let (waiters, live) = (waiters(&subject.words[word]), self.live(word));
                waiters == live || self.leaves_behind && waiters > live
            })
        });
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn waitv_ends_as_many_waits_as_a_list_of_waiters_would(ops in sequences(40), words in 1..=WORDS) {
        count(Backend::Waitv, &ops, words);
    }
}

proptest! {
    #![proptest_config(config(40))]

    /// The sequences are long, so that parks end during a sequence.
    #[test]
    fn thread_ends_as_many_waits_as_a_list_of_waiters_would(ops in sequences(1_000), words in 1..=WORDS) {
        count(Backend::Thread, &ops, words);
    }
}
