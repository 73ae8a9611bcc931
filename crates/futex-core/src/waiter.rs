//! One wait at a time, to build futures and streams of.

use crate::backend::FutexWord;
use crate::engine::{Armament, Armed, Engine, closed};
use crate::shard::Request;
use crate::state::Verdict;
use std::io;
use std::task::{Context, Poll, ready};

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A wake was consumed, or, rarely, may have been.
    Woken,
    /// The word did not have the expected value.
    Mismatch,
}

/// A waiter, generic over the kernel. See [`crate::Waiter`].
pub(crate) struct RawWaiter<W: FutexWord> {
    armed: Option<Armed<W>>,
}

impl<W: FutexWord> RawWaiter<W> {
    pub(crate) const fn new() -> Self {
        Self { armed: None }
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.armed.is_some()
    }

    #[inline]
    pub(crate) fn poll_wait(
        &mut self,
        engine: &Engine<W>,
        request: &Request<'_, W>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Outcome>> {
        if self.armed.is_none() && request.word.value() != request.expected {
            return Poll::Ready(Ok(Outcome::Mismatch));
        }
        self.poll_armed(engine, request, cx)
    }

    #[cold]
    fn poll_armed(
        &mut self,
        engine: &Engine<W>,
        request: &Request<'_, W>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Outcome>> {
        let verdict = if let Some(armed) = &self.armed {
            let verdict = ready!(armed.poll(cx.waker()));
            self.armed = None;
            verdict?
        } else {
            match engine.arm(request, cx.waker())? {
                Armament::Over(verdict) => verdict,
                Armament::Armed { armed, .. } => {
                    self.armed = Some(armed);
                    return Poll::Pending;
                }
            }
        };
        Poll::Ready(match verdict {
            Verdict::Woken => Ok(Outcome::Woken),
            Verdict::Mismatch => Ok(Outcome::Mismatch),
            Verdict::Failed(error) => Err(error),
            Verdict::Closed => Err(closed()),
        })
    }

    pub(crate) fn cancel(&mut self) {
        if let Some(armed) = self.armed.take() {
            armed.abandon();
        }
    }
}

impl<W: FutexWord> Drop for RawWaiter<W> {
    fn drop(&mut self) {
        self.cancel();
    }
}
