//! The random sequences of `src/tests/sequence.rs`, on backends that park threads.
//!
//! A thread is not always parked for a wait that it has: the arming and the end of a wait reach the kernel and the owner a little
//! later. And a thread parks anew, of `Waitv` for every change of what it waits for, of `Thread` from time to time. So waits on a
//! word keep no order among different threads, and it is the *number* that is compared. A wait whose word has changed may end at
//! any time, since parking compares. What else the backends may do differently is part of the comparison:
//!
//! - On `Waitv` a wake may end waits on other words without a cause.
//! - `Thread` leaves the thread of a wait whose owner has left parked for a while. It counts for a wake, and hands it on. And a
//!   wake may find nobody while a thread parks anew.
//!
//! (Waits with a mask are in `src/tests/kernel.rs`, with `Uring`, and with parks of `Thread` that last longer than a sequence.)
#![cfg(not(loom))]

#[expect(dead_code, reason = "nothing is compared with the naive model here")]
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

/// How many, not who.
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
                // One that an owner has left may still be parked, or be handed on to one that nobody expects it for. And a
                // thread of `Thread` may just be about to park anew.
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
        // Owners that leave at once after a wake meet it on its way.
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
    /// The word of the wait has had another value than the expected one since the wait began. A thread that parked anew then has
    /// seen it, and may report it only when the word has its old value again.
    has_differed: [bool; OWNERS],
    /// Wakes that the kernel counted and nobody has seen.
    owed: [u32; WORDS],
    counted: u32,
    seen: u32,
    /// An owner has left. Its wait may be parked for a while, and hand a wake on.
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
        // Of one word no wake is invented, and with a thread per wait none at all.
        let is_possible = words > 1 && self.counted > 0 && !self.leaves_behind;
        assert!(self.seen <= self.counted || is_possible, "woken without a wake");
    }

    /// Waits until all wakes were seen, or found nobody, and the threads are parked for what they are to.
    fn settle(&mut self, subject: &mut Subject, words: usize) {
        until("each wake that the kernel counted is seen while somebody waits, and the others are parked", || {
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

    /// A long sequence takes longer than the first parks of its waits.
    #[test]
    fn thread_ends_as_many_waits_as_a_list_of_waiters_would(ops in sequences(1_000), words in 1..=WORDS) {
        count(Backend::Thread, &ops, words);
    }
}
