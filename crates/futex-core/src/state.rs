//! The states of a waiter, and every legal transition. Nothing here locks, calls the kernel, or calls a waker.
//!
//! ```text
//!  arm, deferred ──▶ Deferred ──flush──▶ Armed      Deferred ──drop──▶ free
//!
//!            ┌────────── poll: the latest waker ──────────┐
//!            ▼                                            │
//!  arm ──▶ Armed ──Woken / Mismatch / Failed──▶ Done ──poll──▶ free, the owner has the verdict
//!           │ ▲ │                                 │
//!           │ └─┴─Cancelled, unasked: arm again   └──drop──▶ free; a wake is handed on
//!           │ └───Cancelled, closing──▶ Done(Closed)
//!         drop: cancel in the kernel
//!           ▼
//!       Cancelling ──Woken──▶ free; the wake is handed on
//!                  ──anything else──▶ free
//! ```

use crate::backend::{Completion, Ending};
use std::io;
use std::num::NonZeroU32;
use std::task::Waker;

/// The state of a waiter whose slot is taken.
#[derive(Debug)]
pub(crate) enum State<W> {
    /// The kernel does not have the wait yet. It gets it with the next flush, if its owner is still there.
    Deferred(Deferred<W>),
    /// The kernel has the wait. A wake is on its way to the owner of this waker, which is that of the latest poll.
    Armed(Waker),
    /// The kernel has the wait and the owner is gone. A wake that comes now is handed on.
    Cancelling,
    /// The kernel did not take the wait, and may yet; the owner has not looked. The slot stays taken until it has, and until the
    /// wait's completion: that is until the reactor is closed, if the kernel takes no calls any more.
    Refused(io::Error),
    /// The kernel has ended the wait and the owner has not looked yet. A wake that was consumed is handed on if the owner
    /// never will.
    Done(Done<W>),
}

/// A wait that the kernel does not have yet.
#[derive(Debug)]
pub(crate) struct Deferred<W> {
    pub(crate) word: W,
    pub(crate) mask: NonZeroU32,
    pub(crate) waker: Waker,
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
    /// A wake was consumed.
    Woken,
    /// The word differed.
    Mismatch,
    /// The kernel refused the wait.
    Failed(io::Error),
    /// The reactor was closed.
    Closed,
}

/// What a completion does: the state that the slot has then (`None`: it is free), and what is to be done.
#[must_use]
#[derive(Debug)]
pub(crate) struct Transition<W> {
    pub(crate) state: Option<State<W>>,
    pub(crate) action: Action<W>,
}

/// What is to be done about a completion.
#[derive(Debug)]
pub(crate) enum Action<W> {
    /// Wake the task, once the lock is released.
    Wake(Waker),
    /// Pass the consumed wake to the next waiter, once the lock is released.
    HandOn(W, NonZeroU32),
    /// Drop the word, once the lock is released: its owner's `Drop` may be anybody's code.
    Release(W),
    /// Arm the wait again, under the lock: its owner is still waiting.
    Rearm(W, NonZeroU32),
}

impl<W: Clone> State<W> {
    /// The kernel ended the wait.
    ///
    /// `closing` tells an end that the reactor asked for from one that nobody did: the kernel cancels the waits of a
    /// thread that exits (Linux 6.16 to 6.18.48).
    pub(crate) fn complete(self, completion: Completion<W>, closing: bool) -> Transition<W> {
        let Completion { word, mask, ending, .. } = completion;
        match self {
            Self::Armed(waker) => {
                let verdict = match ending {
                    Ending::Woken => Verdict::Woken,
                    Ending::Mismatch => Verdict::Mismatch,
                    Ending::Failed(error) => Verdict::Failed(error),
                    Ending::Cancelled if closing => Verdict::Closed,
                    Ending::Cancelled => {
                        return Transition { state: Some(Self::Armed(waker)), action: Action::Rearm(word, mask) };
                    }
                };
                let done = Done { word, mask, verdict };
                Transition { state: Some(Self::Done(done)), action: Action::Wake(waker) }
            }
            Self::Cancelling => Transition {
                state: None,
                action: match ending {
                    Ending::Woken => Action::HandOn(word, mask),
                    Ending::Mismatch | Ending::Cancelled | Ending::Failed(_) => Action::Release(word),
                },
            },
            other => other.complete_unexpected(word, mask, ending),
        }
    }

    /// The kernel ended a wait that was refused, or one that it can't have.
    #[cold]
    fn complete_unexpected(self, word: W, mask: NonZeroU32, ending: Ending) -> Transition<W> {
        match self {
            Self::Refused(error) => {
                let action = match ending {
                    Ending::Woken => Action::HandOn(word.clone(), mask),
                    _ => Action::Release(word.clone()),
                };
                Transition { state: Some(Self::Done(Done { word, mask, verdict: Verdict::Failed(error) })), action }
            }
            // A second completion for one wait, or one for a wait that the kernel does not have, which no backend gives.
            state @ (Self::Done(_) | Self::Deferred(_) | Self::Armed(_) | Self::Cancelling) => {
                debug_assert!(false, "a wait that was over, or had not begun, ended: {ending:?}");
                Transition { state: Some(state), action: Action::Release(word) }
            }
        }
    }

    /// The owner is gone.
    pub(crate) fn abandon(self) -> Abandoned<W> {
        match self {
            Self::Deferred(deferred) => Abandoned::Withdrawn(deferred),
            Self::Armed(waker) => Abandoned::Cancel(waker),
            Self::Done(done) => Abandoned::Unseen(done),
            Self::Refused(_) => Abandoned::Nothing,
            // Only an owner abandons, and once.
            Self::Cancelling => {
                debug_assert!(false, "a wait was abandoned twice");
                Abandoned::Nothing
            }
        }
    }
}

/// What the leaving of a wait's owner does.
#[must_use]
#[derive(Debug)]
pub(crate) enum Abandoned<W> {
    /// The state is [`State::Cancelling`], the wait is to be cancelled in the kernel, and the waker to be dropped once the
    /// lock is released.
    Cancel(Waker),
    /// The slot is free, and the kernel never had the wait.
    Withdrawn(Deferred<W>),
    /// The slot is free, and nobody has looked at this.
    Unseen(Done<W>),
    /// The state is [`State::Cancelling`], and there is nothing to do.
    Nothing,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MASK: NonZeroU32 = NonZeroU32::MIN;

    fn completion(ending: Ending) -> Completion<&'static str> {
        Completion { id: 0, word: "word", mask: MASK, ending }
    }

    fn endings() -> [fn() -> Ending; 4] {
        [|| Ending::Woken, || Ending::Mismatch, || Ending::Cancelled, || Ending::Failed(io::Error::other("no memory"))]
    }

    fn armed() -> State<&'static str> {
        State::Armed(Waker::noop().clone())
    }

    #[test]
    fn an_armed_waiter_learns_how_its_wait_ended() {
        for ending in endings() {
            let Transition { state, action } = armed().complete(completion(ending()), true);
            assert!(matches!(action, Action::Wake(_)));
            let Some(State::Done(done)) = state else { panic!("{state:?}") };
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
        assert!(matches!(state, Some(State::Armed(_))));
        assert!(matches!(action, Action::Rearm("word", MASK)));
    }

    #[test]
    fn only_a_wake_is_handed_on_for_an_owner_that_is_gone() {
        for ending in endings() {
            for closing in [false, true] {
                let Transition { state, action } = State::Cancelling.complete(completion(ending()), closing);
                assert!(state.is_none());
                match ending() {
                    Ending::Woken => assert!(matches!(action, Action::HandOn("word", MASK))),
                    _ => assert!(matches!(action, Action::Release("word"))),
                }
            }
        }
    }

    #[test]
    fn a_refused_wait_keeps_its_error_and_hands_on_a_wake_that_comes_all_the_same() {
        for ending in endings() {
            let refused = State::Refused(io::Error::other("no calls any more"));
            let Transition { state, action } = refused.complete(completion(ending()), false);
            assert!(matches!(state, Some(State::Done(Done { verdict: Verdict::Failed(_), .. }))));
            match ending() {
                Ending::Woken => assert!(matches!(action, Action::HandOn("word", MASK))),
                _ => assert!(matches!(action, Action::Release("word"))),
            }
        }
        assert!(matches!(State::<()>::Refused(io::ErrorKind::Other.into()).abandon(), Abandoned::Nothing));
    }

    #[test]
    fn an_owner_that_leaves_cancels_an_armed_wait_and_takes_back_the_others() {
        assert!(matches!(armed().abandon(), Abandoned::Cancel(_)));

        let deferred = State::Deferred(Deferred { word: "word", mask: MASK, waker: Waker::noop().clone() });
        assert!(matches!(deferred.abandon(), Abandoned::Withdrawn(Deferred { word: "word", .. })));

        let done = State::Done(Done { word: "word", mask: MASK, verdict: Verdict::Woken });
        assert!(matches!(done.abandon(), Abandoned::Unseen(Done { verdict: Verdict::Woken, .. })));
    }
}
