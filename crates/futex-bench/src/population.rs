//! Many armed waits, each on its own word.

use futex_sys::futex::MATCH_ANY;
use futex_sys::uring::{FutexRing, WaitId};
use futex_tokio::{AsyncFutex, Reactor, SharedMemory, WaitAsync, Word};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Words of shared memory, side by side.
pub(crate) fn words(count: usize) -> io::Result<Vec<Word>> {
    let memory = SharedMemory::anonymous(4 * count)?;
    (0..count).map(|index| memory.word(4 * index)).collect()
}

/// Futexes on words of their own.
pub(crate) fn futexes(reactor: &Reactor, count: usize) -> io::Result<Vec<AsyncFutex>> {
    Ok(words(count)?.into_iter().map(|word| AsyncFutex::with_reactor(reactor, word)).collect())
}

/// Futexes that are never freed, so that waits on them can be kept beside them for all rounds of a question.
pub(crate) fn kept_futexes(reactor: &Reactor, count: usize) -> io::Result<&'static [AsyncFutex]> {
    Ok(futexes(reactor, count)?.leak())
}

/// Waits that are armed and given up one by one. `id` is the number of a word.
pub(crate) trait Population {
    fn arm(&mut self, id: usize) -> io::Result<()>;

    /// Gives up a wait that is armed.
    fn cancel(&mut self, id: usize) -> io::Result<()>;
}

/// The library's.
pub(crate) struct Ours<'a> {
    pub(crate) futexes: &'a [AsyncFutex],
    pub(crate) waits: Vec<Option<WaitAsync<'a>>>,
}

impl<'a> Ours<'a> {
    /// None is armed.
    pub(crate) fn new(futexes: &'a [AsyncFutex]) -> Self {
        let mut waits = Vec::new();
        waits.resize_with(futexes.len(), || None);
        Self { futexes, waits }
    }

    /// Waits for the end of a wait whose word was woken.
    pub(crate) async fn ended(&mut self, id: usize) -> io::Result<()> {
        match self.waits[id].take() {
            Some(wait) => wait.await,
            None => Ok(()),
        }
    }
}

impl Population for Ours<'_> {
    fn arm(&mut self, id: usize) -> io::Result<()> {
        let wait = self.waits[id].insert(self.futexes[id].wait_async(0));
        armed(Pin::new(wait).poll(&mut Context::from_waker(Waker::noop())))
    }

    fn cancel(&mut self, id: usize) -> io::Result<()> {
        self.waits[id] = None;
        Ok(())
    }
}

/// An error where a first poll did not arm the wait.
pub(crate) fn armed(polled: Poll<io::Result<()>>) -> io::Result<()> {
    match polled {
        Poll::Pending => Ok(()),
        Poll::Ready(Err(error)) => Err(error),
        Poll::Ready(Ok(())) => Err(io::Error::other("a wait was over before anybody woke it")),
    }
}

/// Polls each future once.
pub(crate) fn poll_each<F: Future + Unpin>(
    cx: &mut Context<'_>,
    futures: &mut [F],
    check: fn(Poll<F::Output>) -> io::Result<()>,
) -> io::Result<()> {
    futures.iter_mut().try_for_each(|future| check(Pin::new(future).poll(cx)))
}

/// An error if a wake did not find every wait.
pub(crate) fn all_woken(woken: u32, count: usize) -> io::Result<()> {
    if woken as usize == count {
        return Ok(());
    }
    Err(io::Error::other(format!("of {count} waits {woken} were armed")))
}

/// Rings and nothing else: a submission for each wait.
pub(crate) struct Bare {
    rings: Vec<FutexRing>,
    /// Waits of a ring.
    room: usize,
    pub(crate) words: Vec<Word>,
    /// What its ring calls the latest wait on each word.
    waits: Vec<Option<WaitId>>,
}

impl Bare {
    /// Waits of one of the library's rings.
    pub(crate) const ROOM: usize = 96;

    /// One ring for as many waits.
    pub(crate) fn new(count: usize) -> io::Result<Self> {
        Self::with_room(count, count)
    }

    /// Rings that have as many waits each as the library's have.
    pub(crate) fn rings(count: usize) -> io::Result<Self> {
        Self::with_room(count, Self::ROOM)
    }

    fn with_room(count: usize, room: usize) -> io::Result<Self> {
        let rings = (0..count.div_ceil(room)).map(|_| FutexRing::new()).collect::<io::Result<_>>()?;
        Ok(Self { rings, room, words: words(count)?, waits: vec![None; count] })
    }

    /// Queues a wait, without a submission.
    pub(crate) fn queue(&mut self, id: usize) -> io::Result<()> {
        self.queue_on(id, id)
    }

    /// Queues a wait on the word of another one.
    pub(crate) fn queue_on(&mut self, id: usize, word: usize) -> io::Result<()> {
        let ring = &mut self.rings[id / self.room];
        self.waits[id] = Some(ring.arm(id as u32, self.words[word].clone(), 0, MATCH_ANY)?);
        Ok(())
    }

    /// Submits what is queued.
    pub(crate) fn submit(&mut self) -> io::Result<()> {
        self.rings.iter_mut().try_for_each(FutexRing::submit)
    }

    /// Takes as many completions of the one ring.
    pub(crate) fn reap(&mut self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            while self.rings[0].next_completion().is_none() {
                self.rings[0].wait()?;
            }
        }
        Ok(())
    }
}

impl Population for Bare {
    fn arm(&mut self, id: usize) -> io::Result<()> {
        self.queue(id)?;
        self.rings[id / self.room].submit()
    }

    fn cancel(&mut self, id: usize) -> io::Result<()> {
        let wait =
            self.waits[id].take().ok_or_else(|| io::Error::other("a wait that is not armed can't be cancelled"))?;
        let ring = &mut self.rings[id / self.room];
        ring.cancel(wait)?;
        // The kernel's own completion of the wait is taken too, so that the ring has its identifier again.
        while ring.next_completion().is_some() {}
        Ok(())
    }
}
