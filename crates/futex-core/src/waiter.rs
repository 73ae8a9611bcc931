//! Waits, generic over the kernel, to build futures and streams of.

use crate::backend::FutexWord;
use crate::engine::{Armed, Engine};
use crate::errors::closed;
use crate::shard::Request;
use crate::state::Verdict;
use std::io;
use std::task::{Context, Poll, Waker, ready};

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A wake was consumed, or, rarely, may have been.
    Woken,
    /// The word did not have the expected value.
    Mismatch,
}

/// One wait at a time. See [`crate::Waiter`].
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
        if self.armed.is_some() {
            return self.poll_armed(cx);
        }
        if request.word.value() != request.expected {
            return Poll::Ready(Ok(Outcome::Mismatch));
        }
        self.arm(engine, request, cx)
    }

    #[inline(never)] // so that the first poll of a word that differs stays small
    fn arm(&mut self, engine: &Engine<W>, request: &Request<'_, W>, cx: &mut Context<'_>) -> Poll<io::Result<Outcome>> {
        let mut over = false;
        let result =
            engine.arm(std::slice::from_ref(request), std::iter::once(cx.waker().clone()), |armed, is_over| {
                self.armed = Some(armed);
                over = is_over;
            });
        if let Err(error) = result {
            self.cancel();
            return Poll::Ready(Err(error));
        }
        if over { self.poll_armed(cx) } else { Poll::Pending }
    }

    #[inline(never)] // as above
    fn poll_armed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Outcome>> {
        let Some(armed) = &mut self.armed else { return Poll::Pending }; // not reached
        let verdict = ready!(armed.poll(cx.waker()));
        self.armed = None;
        Poll::Ready(outcome(verdict?))
    }

    pub(crate) fn cancel(&mut self) {
        self.armed = None;
    }
}

/// Several waits, of which the first that is over ends all. See [`crate::WaitAny`].
pub(crate) struct RawWaitAny<W: FutexWord> {
    /// In the order of the targets. Empty while nothing is armed.
    armed: Vec<Option<Armed<W>>>,
}

impl<W: FutexWord> RawWaitAny<W> {
    pub(crate) const fn new() -> Self {
        Self { armed: Vec::new() }
    }

    pub(crate) fn is_armed(&self) -> bool {
        !self.armed.is_empty()
    }

    /// `targets` are used only while nothing is armed.
    pub(crate) fn poll_wait<'a>(
        &mut self,
        targets: impl ExactSizeIterator<Item = (&'a Engine<W>, Request<'a, W>)> + Clone,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(usize, Outcome)>> {
        if !self.is_armed() {
            let differs = |(_, request): (_, Request<'_, W>)| request.word.value() != request.expected;
            if let Some(index) = targets.clone().position(differs) {
                return Poll::Ready(Ok((index, Outcome::Mismatch)));
            }
            match self.arm(targets, cx.waker()) {
                Ok(false) => return Poll::Pending,
                Ok(true) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        for (index, armed) in self.armed.iter_mut().enumerate() {
            let Some(armed) = armed else { continue };
            let Poll::Ready(verdict) = armed.poll(cx.waker()) else { continue };
            self.cancel(); // each of the others hands on a wake that it has consumed
            return Poll::Ready(verdict.and_then(outcome).map(|outcome| (index, outcome)));
        }
        Poll::Pending
    }

    /// Arms all waits. Returns true if one is over already.
    fn arm<'a>(
        &mut self,
        targets: impl ExactSizeIterator<Item = (&'a Engine<W>, Request<'a, W>)>,
        waker: &Waker,
    ) -> io::Result<bool> {
        let mut over = false;
        let mut left: Vec<_> = targets.enumerate().collect();
        let mut armed: Vec<_> = left.iter().map(|_| None).collect();
        while let Some(&(_, (engine, _))) = left.first() {
            let (group, others): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|(_, (other, _))| std::ptr::eq(*other, engine));
            let requests: Vec<_> = group.iter().map(|(_, (_, request))| *request).collect();
            let wakers = vec![waker.clone(); requests.len()];
            let mut indices = group.iter().map(|(index, _)| *index);
            engine.arm(&requests, wakers.into_iter(), |wait, is_over| {
                if let Some(index) = indices.next() {
                    armed[index] = Some(wait);
                    over |= is_over;
                }
            })?;
            left = others;
        }
        self.armed = armed;
        Ok(over)
    }

    pub(crate) fn cancel(&mut self) {
        self.armed.clear();
    }
}

fn outcome(verdict: Verdict) -> io::Result<Outcome> {
    match verdict {
        Verdict::Woken => Ok(Outcome::Woken),
        Verdict::Mismatch => Ok(Outcome::Mismatch),
        Verdict::Failed(error) => Err(error),
        Verdict::Closed => Err(closed()),
    }
}
