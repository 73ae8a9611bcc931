//! A reactor with words and owners, for the random sequences on the real backends.

use super::common::{self, Flag, reactor};
use super::sequence::{End, OWNERS, WORDS};
use futex_core::{Backend, Reactor, Waiter, Word};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

pub(crate) struct Subject {
    pub(crate) reactor: Reactor,
    pub(crate) words: Vec<Word>,
    pub(crate) owners: Vec<Waiter>,
    pub(crate) tasks: Vec<(Arc<Flag>, Waker)>,
}

impl Subject {
    pub(crate) fn new(kind: Backend) -> Option<Self> {
        Some(Self {
            reactor: reactor(kind)?,
            words: (0..WORDS).map(|_| common::word()).collect(),
            owners: (0..OWNERS).map(|_| Waiter::new()).collect(),
            tasks: (0..OWNERS).map(|_| Flag::new()).collect(),
        })
    }

    pub(crate) fn poll(&mut self, owner: usize, word: usize, expected: u32, mask: NonZeroU32) -> Option<End> {
        if !self.owners[owner].is_armed() {
            self.tasks[owner] = Flag::new();
        }
        let cx = &mut Context::from_waker(&self.tasks[owner].1);
        End::of(self.owners[owner].poll_wait_masked(&self.reactor, &self.words[word], expected, mask, cx))
    }

    pub(crate) fn wake(&self, word: usize, n: u32, mask: NonZeroU32) -> u32 {
        self.words[word].wake_masked(n, mask)
    }

    pub(crate) fn set(&self, word: usize, value: u32) {
        self.words[word].store(value, Ordering::Release);
    }

    /// Drops all owners, closes the reactor, and frees the threads that were left behind.
    pub(crate) fn end(self) {
        drop(self.owners);
        let stats = common::stats(&self.reactor);
        self.reactor.turn();
        assert_eq!(common::stats(&self.reactor).armed_now, 0, "{stats:?}");
        self.reactor.close();
        for word in self.words {
            word.wake(u32::MAX);
        }
    }
}
