//! Many waits, each on its own word.

use crate::ours::{Config, Kind};
use anyhow::{Context as _, Result, bail, ensure};
use futex_sys::futex::MATCH_ANY;
use futex_sys::uring::{FutexRing, WaitId};
use futex_tokio::{AsyncFutex, SharedMemory, WaitAsync, Word};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::runtime::Runtime;

/// Words of shared memory, side by side.
pub(crate) fn words(count: usize) -> io::Result<Vec<Word>> {
    let memory = SharedMemory::anonymous(4 * count)?;
    (0..count).map(|index| memory.word(4 * index)).collect()
}

/// A current-thread runtime, and futexes of its reactor.
pub(crate) fn futexes(config: Config, count: usize) -> io::Result<(Runtime, Vec<AsyncFutex>)> {
    let runtime = Kind::CurrentThread.runtime()?;
    let reactor = {
        let _entered = runtime.enter();
        config.reactor()?
    };
    let futexes = words(count)?.into_iter().map(|word| AsyncFutex::with_reactor(&reactor, word)).collect();
    Ok((runtime, futexes))
}

/// The same on rings, never freed, so that a question can keep waits on the futexes.
pub(crate) fn kept_futexes(count: usize) -> io::Result<(&'static Runtime, &'static [AsyncFutex])> {
    let (runtime, futexes) = futexes(Config::Uring, count)?;
    Ok((Box::leak(Box::new(runtime)), futexes.leak()))
}

/// Waits that are armed and cancelled one by one. `id` is the number of a word.
pub(crate) trait Population {
    fn arm(&mut self, id: usize) -> Result<()>;

    /// Cancels a wait that is armed.
    fn cancel(&mut self, id: usize) -> Result<()>;
}

/// The waits of the library.
pub(crate) struct Ours<'a> {
    pub(crate) futexes: &'a [AsyncFutex],
    waits: Vec<Option<WaitAsync<'a>>>,
}

impl<'a> Ours<'a> {
    /// None is armed.
    pub(crate) fn new(futexes: &'a [AsyncFutex]) -> Self {
        Self { futexes, waits: futexes.iter().map(|_| None).collect() }
    }

    /// Waits for the end of a wait whose word was woken.
    pub(crate) async fn ended(&mut self, id: usize) -> Result<()> {
        Ok(self.waits[id].take().context("the wait is not armed")?.await?)
    }
}

impl Population for Ours<'_> {
    fn arm(&mut self, id: usize) -> Result<()> {
        let wait = self.waits[id].insert(self.futexes[id].wait_async(0));
        armed(Pin::new(wait).poll(&mut Context::from_waker(Waker::noop())))
    }

    fn cancel(&mut self, id: usize) -> Result<()> {
        self.waits[id] = None;
        Ok(())
    }
}

/// An error if a first poll did not arm the wait.
pub(crate) fn armed(polled: Poll<io::Result<()>>) -> Result<()> {
    match polled {
        Poll::Pending => Ok(()),
        Poll::Ready(Err(error)) => Err(error.into()),
        Poll::Ready(Ok(())) => bail!("a wait was over before anybody woke it"),
    }
}

/// Polls each wait once, to arm it.
pub(crate) fn arm_each(cx: &mut Context<'_>, waits: &mut [WaitAsync<'_>]) -> Result<()> {
    waits.iter_mut().try_for_each(|wait| armed(Pin::new(wait).poll(cx)))
}

/// An error if the wakes did not find every wait.
pub(crate) fn all_woken(wakes: impl Iterator<Item = u32>, count: usize) -> Result<()> {
    let woken = wakes.sum::<u32>();
    ensure!(woken as usize == count, "of {count} waits {woken} were armed");
    Ok(())
}

/// Rings and nothing else: a submission for each wait.
pub(crate) struct Bare {
    rings: Vec<FutexRing>,
    /// Number of waits per ring.
    room: usize,
    pub(crate) words: Vec<Word>,
    /// What its ring calls the latest wait with each number.
    waits: Vec<Option<WaitId>>,
}

impl Bare {
    /// Number of waits per ring of the library.
    pub(crate) const ROOM: usize = 96;

    /// As many rings as `count` waits need.
    pub(crate) fn new(count: usize, room: usize) -> io::Result<Self> {
        let rings = (0..count.div_ceil(room)).map(|_| FutexRing::new()).collect::<io::Result<_>>()?;
        Ok(Self { rings, room, words: words(count)?, waits: vec![None; count] })
    }

    /// Queues a wait on a word, without a submission.
    pub(crate) fn queue(&mut self, id: usize, word: usize) -> Result<()> {
        let ring = &mut self.rings[id / self.room];
        self.waits[id] = Some(ring.arm(id as u32, self.words[word].clone(), 0, MATCH_ANY)?);
        Ok(())
    }

    /// Submits what is queued.
    pub(crate) fn submit(&mut self) -> io::Result<()> {
        self.rings.iter_mut().try_for_each(FutexRing::submit)
    }

    /// Takes `count` completions of the first ring.
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
    fn arm(&mut self, id: usize) -> Result<()> {
        self.queue(id, id)?;
        Ok(self.rings[id / self.room].submit()?)
    }

    fn cancel(&mut self, id: usize) -> Result<()> {
        let wait = self.waits[id].take().context("the wait is not armed")?;
        let ring = &mut self.rings[id / self.room];
        ring.cancel(wait)?;
        // The kernel's own completion of the wait is taken too, so that the ring has its identifier again.
        while ring.next_completion().is_some() {}
        Ok(())
    }
}
