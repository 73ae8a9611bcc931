//! Random sequences of arming, waking, requeueing and cancelling on one ring, compared with a simple model.

use crate::support::{arm, complete, mask, ring, waiters, word};
use futex_sys::Word;
use futex_sys::futex::{self, Scope};
use futex_sys::uring::{Ending, FutexRing};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;

/// A step. The words are 0 and 1.
#[derive(Clone, Copy, Debug)]
enum Step {
    Arm {
        word: usize,
        matches: bool,
        mask: u32,
    },
    Wake {
        word: usize,
        n: u32,
        mask: u32,
    },
    /// Cancels the wait of this step if it is pending.
    Cancel {
        step: u32,
    },
    Requeue {
        from: usize,
        n: u32,
        moved: u32,
    },
    Change {
        word: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let count = || prop_oneof![4 => 0_u32..4, 1 => Just(u32::MAX)];
    let masks = || prop_oneof![Just(u32::MAX), Just(1 << 31), 1_u32..8];
    let step = prop_oneof![
        6 => (0_usize..2, proptest::bool::weighted(0.9), masks())
            .prop_map(|(word, matches, mask)| Step::Arm { word, matches, mask }),
        4 => (0_usize..2, count(), masks()).prop_map(|(word, n, mask)| Step::Wake { word, n, mask }),
        2 => (0_u32..40).prop_map(|step| Step::Cancel { step }),
        2 => (0_usize..2, count(), count()).prop_map(|(from, n, moved)| Step::Requeue { from, n, moved }),
        1 => (0_usize..2).prop_map(|word| Step::Change { word }),
    ];
    proptest::collection::vec(step, 1..60)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Woken,
    Mismatch,
    Cancelled,
}

/// Two queues of tags and masks, one per word.
#[derive(Default)]
struct Model {
    queues: [VecDeque<(u32, u32)>; 2],
}

impl Model {
    fn wake(&mut self, word: usize, n: u32, mask: u32) -> Vec<u32> {
        let mut woken = Vec::new();
        self.queues[word].retain(|&(id, of_wait)| {
            let wakes = woken.len() < n as usize && of_wait & mask != 0;
            if wakes {
                woken.push(id);
            }
            !wakes
        });
        woken
    }

    /// A requeue ignores masks.
    fn requeue(&mut self, from: usize, n: u32, moved: u32) -> (Vec<u32>, u32) {
        let woken = self.wake(from, n, u32::MAX);
        let moved = self.queues[from].len().min(moved as usize);
        let taken: Vec<_> = self.queues[from].drain(..moved).collect();
        self.queues[1 - from].extend(taken);
        let count = u32::try_from(woken.len() + moved).expect("few");
        (woken, count)
    }

    fn cancel(&mut self, id: u32) -> bool {
        let before = self.queues[0].len() + self.queues[1].len();
        for queue in &mut self.queues {
            queue.retain(|&(of_wait, _)| of_wait != id);
        }
        before > self.queues[0].len() + self.queues[1].len()
    }
}

/// Two words whose queues the kernel keeps in different buckets.
///
/// A requeue between words of one bucket does not move the waiters. There, a waiter that was queued earlier stays ahead of the
/// earlier waiters of the second word.
fn words(ring: &mut FutexRing) -> [Word; 2] {
    let first = word();
    let mut unfit = Vec::new(); // kept, so that the next word has another address
    loop {
        let second = word();
        arm(ring, 0, &first);
        arm(ring, 1, &second);
        assert_eq!(futex::requeue(&first, &second, Scope::Shared, 0, 1).expect("requeue"), 1);
        assert_eq!(second.wake(1), 1);
        let head = complete(ring).tag;
        assert_eq!(second.wake(1), 1);
        complete(ring);
        if head == Some(1) {
            return [first, second];
        }
        unfit.push(second);
    }
}

/// Runs the steps on the kernel and on the model.
fn agree(mut ring: FutexRing, steps: &[Step]) -> Result<(), TestCaseError> {
    let words = words(&mut ring);
    let mut model = Model::default();
    let mut ids = BTreeMap::new();
    for (tag, step) in (0..).zip(steps) {
        let mut ends = BTreeMap::new();
        match *step {
            Step::Arm { word, matches, mask: bits } => {
                let value = words[word].load(Ordering::Relaxed);
                let expected = if matches { value } else { value.wrapping_add(1) };
                let id = ring.arm(tag, words[word].clone(), expected, mask(bits))?;
                ring.submit()?;
                if matches {
                    model.queues[word].push_back((tag, bits));
                    ids.insert(tag, id);
                } else {
                    ends.insert(tag, End::Mismatch);
                }
            }
            Step::Wake { word, n, mask: bits } => {
                let woken = model.wake(word, n, bits);
                prop_assert_eq!(words[word].wake_masked(n, mask(bits)) as usize, woken.len());
                ends.extend(woken.into_iter().map(|tag| (tag, End::Woken)));
            }
            Step::Cancel { step } => {
                if model.cancel(step) {
                    let completion = ring.cancel(ids[&step])?;
                    prop_assert!(completion.tag == Some(step) && matches!(completion.ending, Ending::Cancelled));
                }
            }
            Step::Requeue { from, n, moved } => {
                let (woken, count) = model.requeue(from, n, moved);
                prop_assert_eq!(futex::requeue(&words[from], &words[1 - from], Scope::Shared, n, moved)?, count);
                ends.extend(woken.into_iter().map(|tag| (tag, End::Woken)));
            }
            Step::Change { word } => {
                // Pending waits stay pending.
                words[word].fetch_add(1, Ordering::Relaxed);
            }
        }
        let mut seen = BTreeMap::new();
        for _ in 0..ends.len() {
            let completion = complete(&mut ring);
            let end = match completion.ending {
                Ending::Woken => End::Woken,
                Ending::Mismatch => End::Mismatch,
                Ending::Cancelled => End::Cancelled,
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            };
            seen.insert(completion.tag.expect("an owner"), end);
        }
        prop_assert_eq!(seen, ends);
        prop_assert!(ring.next_completion().is_none());
        prop_assert_eq!(ring.pending(), model.queues[0].len() + model.queues[1].len());
    }
    for (word, queue) in words.iter().zip(&model.queues) {
        prop_assert_eq!(waiters(word, Scope::Shared) as usize, queue.len());
    }
    drop(ring);
    prop_assert_eq!((words[0].wake(u32::MAX), words[1].wake(u32::MAX)), (0, 0));
    Ok(())
}

proptest! {
    #[test]
    fn a_ring_agrees_with_a_queue_of_waiters(steps in steps()) {
        if let Some(ring) = ring() {
            agree(ring, &steps)?;
        }
    }
}
