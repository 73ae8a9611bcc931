//! The states of a waiter, and every legal transition. Nothing here locks, calls the kernel, or calls a waker.
//!
//! ```text
//!            ┌────────── poll: the latest waker ──────────┐
//!            ▼                                            │
//!  arm ──▶ Armed ──Woken / Mismatch / Failed──▶ Done ──poll──▶ free, the owner has the verdict
//!           │ ▲ │                                 │
//!           │ └─┴─Cancelled, unasked: arm again   └──drop──▶ free; a wake is handed on
//!           │ └───Cancelled, closing──▶ Done(Closed)
//!         drop: cancel in the kernel, which answers at once
//!           └──▶ free; if a wake was faster, it is handed on
//! ```

use crate::backend::{Completion, Ending};
use std::io;
use std::num::NonZeroU32;
use std::task::Waker;

/// The state of a waiter whose slot is taken.
#[derive(Debug)]
pub(crate) enum State<W> {
    /// The kernel has the wait. The waker is that of the owner's latest poll; there is none while the wait is being armed, when
    /// its end is the result of the call.
    Armed(Option<Waker>),
    /// The kernel has ended the wait, and the owner has not polled since. A wake that was consumed is handed on if the owner
    /// never does.
    Done(Done<W>),
}

/// What the owner of a wait will see, with what it takes to hand a wake on.
#[derive(Debug)]
pub(crate) struct Done<W> {
    pub(crate) word: W,
    pub(crate) mask: NonZeroU32,
    pub(crate) verdict: Verdict,
}

/// How a wait ended for its owner.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// A wake was consumed, or may have been.
    Woken,
    /// The word differed.
    Mismatch,
    /// The kernel refused the wait.
    Failed(io::Error),
    /// The reactor was closed.
    Closed,
}

/// What a completion does: the state that the slot has then, and what is to be done.
#[must_use]
#[derive(Debug)]
pub(crate) struct Transition<W> {
    pub(crate) state: State<W>,
    pub(crate) action: Action<W>,
}

/// What is to be done about a completion.
#[derive(Debug)]
pub(crate) enum Action<W> {
    /// Wake the task, if there is one, once the lock is released.
    Wake(Option<Waker>),
    /// Drop the word, once the lock is released: the `Drop` of its owner may be anybody's code.
    Release(W),
    /// Arm the wait again, under the lock: its owner is still waiting.
    Rearm(W, NonZeroU32),
}

impl<W> State<W> {
    /// The kernel ended the wait.
    ///
    /// `closing` tells an end that the reactor asked for from one that nobody did: the kernel cancels the waits of a
    /// thread that exits (Linux 6.16 to 6.18.48).
    pub(crate) fn complete(self, completion: Completion<W>, closing: bool) -> Transition<W> {
        let Completion { word, mask, ending, .. } = completion;
        let waker = match self {
            Self::Armed(waker) => waker,
            state @ Self::Done(_) => {
                debug_assert!(false, "a wait that was over ended again: {ending:?}");
                return Transition { state, action: Action::Release(word) };
            }
        };
        let verdict = match ending {
            Ending::Woken => Verdict::Woken,
            Ending::Mismatch => Verdict::Mismatch,
            Ending::Failed(error) => Verdict::Failed(error),
            Ending::Cancelled if closing => Verdict::Closed,
            Ending::Cancelled => {
                return Transition { state: Self::Armed(waker), action: Action::Rearm(word, mask) };
            }
        };
        Transition { state: Self::Done(Done { word, mask, verdict }), action: Action::Wake(waker) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MASK: NonZeroU32 = NonZeroU32::MIN;

    fn completion(ending: Ending) -> Completion<&'static str> {
        Completion { slot: Some(0), word: "word", mask: MASK, ending }
    }

    fn armed() -> State<&'static str> {
        State::Armed(Some(Waker::noop().clone()))
    }

    #[test]
    fn an_armed_waiter_learns_how_its_wait_ended() {
        let endings: [fn() -> Ending; 4] = [
            || Ending::Woken,
            || Ending::Mismatch,
            || Ending::Cancelled,
            || Ending::Failed(io::Error::other("no memory")),
        ];
        for ending in endings {
            let Transition { state, action } = armed().complete(completion(ending()), true);
            assert!(matches!(action, Action::Wake(Some(_))));
            let State::Done(done) = state else { panic!("{state:?}") };
            assert_eq!((done.word, done.mask), ("word", MASK));
            match (ending(), done.verdict) {
                (Ending::Woken, Verdict::Woken)
                | (Ending::Mismatch, Verdict::Mismatch)
                | (Ending::Cancelled, Verdict::Closed)
                | (Ending::Failed(_), Verdict::Failed(_)) => {}
                (ending, verdict) => panic!("{ending:?} was seen as {verdict:?}"),
            }
        }
    }

    #[test]
    fn a_wait_that_nobody_cancelled_is_armed_again() {
        let Transition { state, action } = armed().complete(completion(Ending::Cancelled), false);
        assert!(matches!(state, State::Armed(_)));
        assert!(matches!(action, Action::Rearm("word", MASK)));
    }
}
