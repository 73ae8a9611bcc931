//! Waits that the kernel is handed together, with a flush.

use super::Inner;
use crate::backend::{Completion, Ending, FutexWord};
use crate::effects::{Effect, Effects};
use crate::state::{Deferred, State};
use std::io;
use std::num::NonZeroU32;

/// With so many deferred waits a flush is due: a ring takes as many with one submission. Small in the models, so that it is
/// reached.
pub(super) const MANY: usize = if cfg!(loom) { 3 } else { 64 };

impl<W: FutexWord> Inner<W> {
    /// Hands the deferred waits to the kernel, until `effects` is full. Those whose word has changed are over.
    pub(super) fn flush(&mut self, effects: &mut Effects<W>) -> io::Result<()> {
        while !effects.is_full() {
            let Some((id, word, mask)) = self.take_deferred() else { break };
            let expected = self.slots[id as usize].expected;
            let ending = if word.value() == expected {
                let Some(backend) = &mut self.backend else { break }; // not reached: closing takes them all
                match backend.arm(id, word.clone(), expected, mask) {
                    Ok(()) => {
                        self.unsubmitted.push(id);
                        continue;
                    }
                    Err(error) => Ending::Failed(error),
                }
            } else {
                Ending::Mismatch
            };
            effects.extend(self.complete(Completion { id, word, mask, ending }, false));
        }
        match self.backend.as_mut().map_or(Ok(false), |backend| backend.submit()) {
            Ok(_) => {
                self.unsubmitted.clear();
                Ok(())
            }
            Err(error) if is_passing(&error) => Err(error),
            Err(error) => {
                self.refuse_unsubmitted(&error, effects);
                Ok(())
            }
        }
    }

    /// The kernel takes no calls for the queue any more, so the owners of waits that it does not have are told, as far as
    /// `effects` has room.
    fn refuse_unsubmitted(&mut self, error: &io::Error, effects: &mut Effects<W>) {
        while !effects.is_full() {
            let Some(id) = self.unsubmitted.pop() else { return };
            let Some(slot) = self.slots.get_mut(id as usize) else { continue };
            match std::mem::replace(&mut slot.state, State::Cancelling) {
                State::Armed(waker) => {
                    slot.state = State::Refused(io::Error::new(error.kind(), error.to_string()));
                    effects.push(Effect::Wake(waker));
                }
                other => slot.state = other,
            }
        }
    }

    /// The oldest of the deferred waits, which the kernel is to have now.
    pub(super) fn take_deferred(&mut self) -> Option<(u32, W, NonZeroU32)> {
        let id = self.deferred.pop_front()?;
        let state = &mut self.slots.get_mut(id as usize)?.state;
        match std::mem::replace(state, State::Cancelling) {
            State::Deferred(Deferred { word, mask, waker }) => {
                *state = State::Armed(waker);
                Some((id, word, mask))
            }
            other => {
                debug_assert!(false, "the wait {id} is not deferred");
                *state = other;
                None
            }
        }
    }
}

/// Whether an error of a submission is for want of memory, so that the same call may succeed later.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory | io::ErrorKind::ResourceBusy)
}
