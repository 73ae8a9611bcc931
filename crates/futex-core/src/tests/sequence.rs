//! Random sequences of operations, and a naive model that predicts their results: a list of waits in the order in which they
//! began. `properties.rs` compares the engine with the model, and `kernel.rs` the real backends. `tests/kernel_properties.rs`
//! uses only the sequences.

use futex_core::{Outcome, Stats};
use proptest::prelude::*;
use std::io;
use std::num::NonZeroU32;
use std::task::Poll;

pub(crate) const WORDS: usize = 2;
pub(crate) const OWNERS: usize = 6;

/// An operation of a user or of the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// An owner polls its wait. If it has none, it begins one with these properties.
    Poll {
        owner: usize,
        word: usize,
        expected: u32,
        mask: NonZeroU32,
    },
    /// An owner drops its wait.
    Drop {
        owner: usize,
    },
    Wake {
        word: usize,
        n: u32,
        mask: NonZeroU32,
    },
    Set {
        word: usize,
        value: u32,
    },
    Turn,
    /// The kernel ends the first queued wait on a word unasked.
    Lose {
        word: usize,
    },
}

/// Generates sequences of operations. Only the model kernel can do `Lose`.
pub(crate) fn sequences(longest: usize) -> impl Strategy<Value = Vec<Op>> {
    let mask =
        || prop_oneof![3 => Just(NonZeroU32::MAX), 2 => (1..=3_u32).prop_filter_map("not zero", NonZeroU32::new)];
    let n = prop_oneof![4 => Just(1), 2 => Just(2), 1 => Just(3), 1 => Just(u32::MAX), 1 => Just(0)];
    // Most expected values are the initial value of the words, so that most waits are armed.
    let value = || prop_oneof![4 => Just(0), 1 => Just(1)];
    let op = prop_oneof![
        8 => (0..OWNERS, 0..WORDS, value(), mask())
            .prop_map(|(owner, word, expected, mask)| Op::Poll { owner, word, expected, mask }),
        4 => (0..OWNERS).prop_map(|owner| Op::Drop { owner }),
        5 => (0..WORDS, n, mask()).prop_map(|(word, n, mask)| Op::Wake { word, n, mask }),
        1 => (0..WORDS, value()).prop_map(|(word, value)| Op::Set { word, value }),
        3 => Just(Op::Turn),
        1 => (0..WORDS).prop_map(|word| Op::Lose { word }),
    ];
    prop::collection::vec(op, 1..longest)
}

/// How a wait ends for its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Woken,
    Mismatch,
    Closed,
}

impl End {
    /// Converts the result of a poll. The only error is the one of a closed reactor.
    pub(crate) fn of(polled: Poll<io::Result<Outcome>>) -> Option<Self> {
        match polled {
            Poll::Pending => None,
            Poll::Ready(Ok(Outcome::Woken)) => Some(Self::Woken),
            Poll::Ready(Ok(Outcome::Mismatch)) => Some(Self::Mismatch),
            Poll::Ready(Err(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
                Some(Self::Closed)
            }
        }
    }
}

/// A wait that the kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Number that identifies the wait.
    serial: u32,
    /// `None` if the owner has left and the thread is still parked.
    pub(crate) owner: Option<usize>,
    pub(crate) word: usize,
    pub(crate) expected: u32,
    pub(crate) mask: NonZeroU32,
}

/// The state of an owner in the naive model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Idle,
    Armed(Wait),
    /// The wait has ended, and the owner has not polled since.
    Ended {
        wait: Wait,
        end: End,
        /// True if the completion was reaped.
        reported: bool,
    },
}

/// Number of waits that were begun, and of waits that have ended in each way. The other waits are armed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) armed: u64,
    pub(crate) woken: u64,
    pub(crate) mismatched: u64,
    pub(crate) cancelled: u64,
    pub(crate) closed: u64,
}

impl Figures {
    /// Converts the statistics of a reactor.
    pub(crate) fn of(stats: &Stats) -> Self {
        let &Stats { armed, armed_now, woken, mismatched, cancelled, failed, closed, .. } = stats;
        let figures = Self { armed, woken, mismatched, cancelled, closed };
        assert_eq!((failed, armed_now as u64), (0, figures.armed_now()), "{stats:?}");
        figures
    }

    fn armed_now(&self) -> u64 {
        self.armed - self.woken - self.mismatched - self.cancelled - self.closed
    }

    fn count(&mut self, end: End) {
        *match end {
            End::Woken => &mut self.woken,
            End::Mismatch => &mut self.mismatched,
            End::Closed => &mut self.closed,
        } += 1;
    }
}

/// The naive model.
#[derive(Debug)]
pub(crate) struct Naive {
    /// True if a wait whose owner leaves stays in the kernel until it is woken or an equal wait takes it over.
    pub(crate) leaves_behind: bool,
    pub(crate) values: [u32; WORDS],
    pub(crate) owners: [Owner; OWNERS],
    /// The waits that the kernel has, the longest waiting first.
    pub(crate) queue: Vec<Wait>,
    serial: u32,
    /// The waits in `queue` whose owner has left, in the order in which they are taken over.
    left: Vec<u32>,
    /// The owners of waits that the kernel has ended unasked, and that will be armed again.
    lost: Vec<usize>,
    /// Number of wakes that the kernel counted for users.
    pub(crate) counted: u64,
    /// Number of wakes that owners saw.
    pub(crate) seen: u64,
    /// Number of wakes that were handed on.
    pub(crate) handed_on: u64,
    /// Number of wakes that were handed on and found nobody.
    pub(crate) evaporated: u64,
    /// Number of wakes that were handed on for a wait that had consumed none.
    pub(crate) spurious: u64,
    /// Figures of the waits whose completion was reaped or whose owner has left.
    pub(crate) figures: Figures,
}

impl Naive {
    pub(crate) fn new(leaves_behind: bool) -> Self {
        Self {
            leaves_behind,
            values: [0; WORDS],
            owners: [Owner::Idle; OWNERS],
            queue: Vec::new(),
            serial: 0,
            left: Vec::new(),
            lost: Vec::new(),
            counted: 0,
            seen: 0,
            handed_on: 0,
            evaporated: 0,
            spurious: 0,
            figures: Figures::default(),
        }
    }

    /// Polls for an owner. `None` is `Pending`.
    pub(crate) fn poll(&mut self, owner: usize, word: usize, expected: u32, mask: NonZeroU32) -> Option<End> {
        match self.owners[owner] {
            Owner::Idle if self.values[word] != expected => Some(End::Mismatch),
            Owner::Idle => {
                self.figures.armed += 1;
                let wait = self.begin(Wait { serial: 0, owner: Some(owner), word, expected, mask });
                self.owners[owner] = Owner::Armed(wait);
                self.reap();
                None
            }
            Owner::Armed(_) | Owner::Ended { reported: false, .. } => None,
            Owner::Ended { end, .. } => {
                self.see_end(owner, end);
                Some(end)
            }
        }
    }

    /// Passes a wait to the kernel, or takes over an equal wait that was left behind.
    fn begin(&mut self, wait: Wait) -> Wait {
        let same = |left: &Wait| left.word == wait.word && left.expected == wait.expected && left.mask == wait.mask;
        match self.left.iter().position(|&serial| self.queue.iter().any(|left| left.serial == serial && same(left))) {
            Some(position) => {
                let serial = self.left.swap_remove(position);
                let taken = Wait { serial, ..wait };
                self.queue.iter_mut().filter(|left| left.serial == serial).for_each(|left| *left = taken);
                taken
            }
            None => {
                self.serial += 1;
                self.queue.push(Wait { serial: self.serial, ..wait });
                Wait { serial: self.serial, ..wait }
            }
        }
    }

    /// Records that an owner has seen the end of its wait.
    pub(crate) fn see_end(&mut self, owner: usize, end: End) {
        self.owners[owner] = Owner::Idle;
        self.seen += u64::from(end == End::Woken);
    }

    pub(crate) fn leave(&mut self, owner: usize) {
        match std::mem::replace(&mut self.owners[owner], Owner::Idle) {
            Owner::Idle => {}
            Owner::Armed(wait) => {
                // If the wait is lost, the kernel has nothing to cancel, like after a wake.
                let is_lost = self.lost.contains(&owner);
                self.lost.retain(|&lost| lost != owner);
                if self.leaves_behind {
                    if let Some(queued) = self.queue.iter_mut().find(|queued| **queued == wait) {
                        queued.owner = None;
                        self.left.push(wait.serial);
                    }
                } else {
                    self.queue.retain(|queued| *queued != wait);
                }
                self.reap();
                *if is_lost { &mut self.figures.woken } else { &mut self.figures.cancelled } += 1;
                if is_lost {
                    self.spurious += 1;
                    self.hand_on(wait);
                }
            }
            Owner::Ended { wait, end, reported } => {
                if !reported {
                    self.figures.count(end);
                }
                self.reap();
                if end == End::Woken {
                    self.hand_on(wait);
                }
            }
        }
    }

    /// Wakes up to `n` waiters, and returns their number.
    pub(crate) fn wake(&mut self, word: usize, n: u32, mask: NonZeroU32) -> u32 {
        let woken = self.end_first(word, n, mask);
        self.counted += u64::from(woken);
        woken
    }

    pub(crate) fn lose(&mut self, word: usize) {
        if let Some(position) = self.queue.iter().position(|wait| wait.word == word) {
            self.lost.extend(self.queue.remove(position).owner);
        }
    }

    /// Takes all completions, like a turn, an arming, or an owner that leaves.
    pub(crate) fn reap(&mut self) {
        (0..OWNERS).for_each(|owner| self.report(owner));
        for owner in std::mem::take(&mut self.lost) {
            let Owner::Armed(wait) = self.owners[owner] else { unreachable!("only armed waits are lost") };
            if self.values[wait.word] == wait.expected {
                self.queue.push(wait);
            } else {
                self.figures.count(End::Mismatch);
                self.owners[owner] = Owner::Ended { wait, end: End::Mismatch, reported: true };
            }
        }
    }

    /// Takes the completion of an owner's wait, if the wait has ended.
    pub(crate) fn report(&mut self, owner: usize) {
        if let Owner::Ended { reported, end, .. } = &mut self.owners[owner] {
            if !std::mem::replace(reported, true) {
                self.figures.count(*end);
            }
        }
    }

    pub(crate) fn close(&mut self) {
        self.lost.clear();
        self.queue.clear();
        for owner in &mut self.owners {
            if let Owner::Armed(wait) = *owner {
                *owner = Owner::Ended { wait, end: End::Closed, reported: false };
            }
        }
        self.reap();
    }

    /// Returns the number of waits that the kernel has on a word.
    pub(crate) fn waiters(&self, word: usize) -> u32 {
        self.queue.iter().filter(|wait| wait.word == word).count() as u32
    }

    fn hand_on(&mut self, wait: Wait) {
        self.handed_on += 1;
        if self.end_first(wait.word, 1, wait.mask) == 0 {
            self.evaporated += 1;
        }
    }

    /// Ends the first waits that a wake finds, and hands on the wakes of waits whose owner has left.
    fn end_first(&mut self, word: usize, n: u32, mask: NonZeroU32) -> u32 {
        let mut left = Vec::new();
        let mut ended = 0;
        while ended < n {
            let found = self.queue.iter().position(|wait| wait.word == word && wait.mask.get() & mask.get() != 0);
            let Some(wait) = found.map(|position| self.queue.remove(position)) else { break };
            ended += 1;
            match wait.owner {
                Some(owner) => self.owners[owner] = Owner::Ended { wait, end: End::Woken, reported: false },
                None => {
                    self.left.retain(|&serial| serial != wait.serial);
                    left.push(wait);
                }
            }
        }
        left.into_iter().for_each(|wait| self.hand_on(wait));
        ended
    }
}
