//! Random sequences of operations, on the engine with the model kernel, compared with the naive model.

use super::sequence::{End, Figures, Naive, Op, Owner, sequences};
use crate::engine::Engine;
use crate::model::{Counts, Kernel, ModelWord, Options};
use crate::waiter::RawWaiter;
use proptest::prelude::*;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::{Context, Waker};

/// An engine on a model kernel. Completions are taken only by the operations of a sequence.
struct Subject {
    kernel: Arc<Kernel>,
    engine: Arc<Engine<ModelWord>>,
    words: Vec<ModelWord>,
    owners: Vec<RawWaiter<ModelWord>>,
}

impl Subject {
    fn new() -> Self {
        let kernel = Kernel::new(Options::default());
        let engine = kernel.idle_engine(1);
        let words = (0..super::sequence::WORDS).map(|_| kernel.word()).collect();
        let owners = (0..super::sequence::OWNERS).map(|_| RawWaiter::new()).collect();
        Self { kernel, engine, words, owners }
    }

    fn poll(&mut self, owner: usize, word: usize, expected: u32, mask: NonZeroU32) -> Option<End> {
        let cx = &mut Context::from_waker(Waker::noop());
        End::of(self.owners[owner].poll_wait(&self.engine, &self.words[word], expected, mask, cx))
    }
}

fn compare(ops: &[Op], close: bool) {
    let (mut naive, mut subject) = (Naive::new(false), Subject::new());
    for &op in ops {
        match op {
            Op::Poll { owner, word, expected, mask } => {
                let expectation = naive.poll(owner, word, expected, mask);
                assert_eq!(subject.poll(owner, word, expected, mask), expectation, "{op:?}");
            }
            Op::Drop { owner } => {
                naive.leave(owner);
                subject.owners[owner].cancel();
            }
            Op::Wake { word, n, mask } => {
                let expectation = naive.wake(word, n, mask);
                let woken = subject.words[word].wake_with(n, mask);
                assert_eq!(woken, expectation, "{op:?}");
            }
            Op::Set { word, value } => {
                naive.values[word] = value;
                subject.words[word].set(value);
            }
            Op::Turn => {
                naive.reap();
                subject.engine.turn();
            }
            Op::Lose { word } => {
                naive.lose(word);
                subject.kernel.loses(&subject.words[word], 0);
            }
        }
        for (index, word) in subject.words.iter().enumerate() {
            assert_eq!(subject.kernel.waiters(word), naive.waiters(index) as usize, "after {op:?}");
        }
        assert_eq!(Figures::of(&subject.engine.stats()), naive.figures, "after {op:?}");
        for (owner, waiter) in naive.owners.iter().zip(&subject.owners) {
            assert_eq!(waiter.is_armed(), *owner != Owner::Idle, "after {op:?}");
        }
    }
    if close {
        naive.close();
        subject.engine.close();
        subject.kernel.assert_empty();
        assert!(subject.words.iter().all(|word| word.wake(u32::MAX) == 0));
        assert_eq!(Figures::of(&subject.engine.stats()), naive.figures, "after closing");
    }
    // All owners poll a last time, and leave.
    naive.reap();
    subject.engine.turn();
    for owner in 0..super::sequence::OWNERS {
        if naive.owners[owner] != Owner::Idle {
            let expectation = naive.poll(owner, 0, 0, NonZeroU32::MIN);
            assert_eq!(subject.poll(owner, 0, 0, NonZeroU32::MIN), expectation, "at the end, closed: {close}");
        }
        naive.leave(owner);
        subject.owners[owner].cancel();
    }
    let counts = subject.kernel.counts();
    let Counts { counted, evaporated, spurious, .. } = counts;
    assert_eq!([counted, evaporated, spurious].map(u64::from), [naive.counted, naive.evaporated, naive.spurious]);
    assert_eq!(naive.counted + naive.spurious, naive.seen + naive.evaporated, "no wake is lost or invented");
    let stats = subject.engine.stats();
    assert_eq!((stats.armed_now, stats.handed_on), (0, naive.handed_on));
    assert_eq!(Figures::of(&stats), naive.figures);
    subject.kernel.assert_empty();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 1000 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_does_what_a_list_of_waiters_would_do(ops in sequences(60), close: bool) {
        compare(&ops, close);
    }
}
