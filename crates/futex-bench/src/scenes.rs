//! What `--counts` counts: every operation as a function of its own, by whose name callgrind finds it.

use crate::allocator;
use crate::executor::{Executor, Kind};
use crate::ours::Config;
use crate::population::{armed, words};
use futex_core::{Backend, Outcome, Reactor, Target, Wait, WaitAny, Word};
use futex_tokio::AsyncFutex;
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// Waits that are armed together.
pub(crate) const BATCH: usize = 64;

type Polled = Poll<io::Result<Outcome>>;

/// What is run under callgrind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// The waiter state machine and the ring: a batch is armed, woken, turned for and polled, then armed and cancelled.
    Core,
    /// As many words of one future, which is dropped when it is armed.
    Any,
    /// A whole cycle on Tokio: a wait is armed and woken, and the runtime finds its completion.
    Tokio,
}

impl Scene {
    pub(crate) const ALL: [Self; 3] = [Self::Core, Self::Any, Self::Tokio];

    /// Runs it, and tells how often memory was allocated once all was warm.
    pub(crate) fn play(self, times: u32) -> io::Result<()> {
        let allocated = match self {
            Self::Core => core(times),
            Self::Any => any(times),
            Self::Tokio => tokio(times),
        }?;
        println!("{allocated}");
        Ok(())
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Core => "core",
            Self::Any => "wait_any",
            Self::Tokio => "tokio",
        })
    }
}

fn core(times: u32) -> io::Result<u64> {
    let reactor = Reactor::builder().backend(Backend::Uring).build()?;
    let words = words(BATCH)?;
    let mut waits = Vec::with_capacity(BATCH);
    let mut cycle = || {
        waits.extend(words.iter().map(|word| reactor.wait(word, 0)));
        scene_arm(&mut waits)?;
        scene_wake(&words)?;
        scene_turn(&reactor);
        scene_poll(&mut waits)?;
        waits.clear();

        waits.extend(words.iter().map(|word| reactor.wait(word, 0)));
        poll_each(&mut waits, Poll::is_pending)?;
        scene_cancel(&mut waits);
        reactor.turn();

        scene_mismatch(&reactor, &words)
    };
    cycle()?; // everything has its size
    let (done, allocated) = allocator::count(|| (0..times).try_for_each(|_| cycle()));
    done.map(|()| allocated.calls)
}

fn any(times: u32) -> io::Result<u64> {
    let reactor = Reactor::builder().backend(Backend::Uring).build()?;
    let words = words(BATCH)?;
    let cycle = || {
        let targets = words.iter().map(|word| Target::new(&reactor, word, 0));
        scene_any_poll(pin!(scene_any_new(targets)))?;
        reactor.turn();
        io::Result::Ok(())
    };
    cycle()?;
    let (done, allocated) = allocator::count(|| (0..times).try_for_each(|_| cycle()));
    done.map(|()| allocated.calls)
}

fn tokio(times: u32) -> io::Result<u64> {
    let executor = Executor::new(Kind::CurrentThread)?;
    executor.block_on(async {
        let word = words(1)?.remove(0);
        let futex = AsyncFutex::with_reactor(&Config::URING.reactor()?, word);
        cycle_on_tokio(&futex).await?;
        let begin = allocator::begin();
        for _ in 0..times {
            cycle_on_tokio(&futex).await?;
        }
        Ok(begin.end().calls)
    })
}

async fn cycle_on_tokio(futex: &AsyncFutex) -> io::Result<()> {
    let mut wait = futex.wait_async(0);
    poll_fn(|cx| Poll::Ready(armed(Pin::new(&mut wait).poll(cx)))).await?;
    futex.wake(1);
    wait.await
}

#[inline(never)]
fn scene_arm(waits: &mut [Wait<'_>]) -> io::Result<()> {
    poll_each(waits, Poll::is_pending)
}

#[inline(never)]
fn scene_wake(words: &[Word]) -> io::Result<()> {
    match words.iter().map(|word| word.wake(1) as usize).sum::<usize>() {
        BATCH => Ok(()),
        woken => Err(io::Error::other(format!("of {BATCH} waits {woken} were armed"))),
    }
}

#[inline(never)]
fn scene_turn(reactor: &Reactor) {
    reactor.turn();
}

#[inline(never)]
fn scene_poll(waits: &mut [Wait<'_>]) -> io::Result<()> {
    poll_each(waits, |polled| matches!(polled, Poll::Ready(Ok(Outcome::Woken))))
}

#[inline(never)]
fn scene_cancel(waits: &mut Vec<Wait<'_>>) {
    waits.clear();
}

#[inline(never)]
fn scene_any_new<'a>(targets: impl Iterator<Item = Target<'a>>) -> WaitAny<'a> {
    WaitAny::new(targets)
}

#[inline(never)]
fn scene_any_poll(wait: Pin<&mut WaitAny<'_>>) -> io::Result<()> {
    right(&wait.poll(&mut Context::from_waker(Waker::noop())), Poll::is_pending)
}

#[inline(never)]
fn scene_mismatch(reactor: &Reactor, words: &[Word]) -> io::Result<()> {
    let mut cx = Context::from_waker(Waker::noop());
    for word in words {
        if Pin::new(&mut reactor.wait(word, 1)).poll(&mut cx).is_pending() {
            return Err(io::Error::other("a wait was armed though the word differs"));
        }
    }
    Ok(())
}

#[inline(always)]
fn poll_each(waits: &mut [Wait<'_>], wanted: fn(&Polled) -> bool) -> io::Result<()> {
    let mut cx = Context::from_waker(Waker::noop());
    for wait in waits {
        right(&Pin::new(wait).poll(&mut cx), wanted)?;
    }
    Ok(())
}

#[inline(always)]
fn right<T: fmt::Debug>(polled: &Poll<T>, wanted: fn(&Poll<T>) -> bool) -> io::Result<()> {
    if wanted(polled) {
        return Ok(());
    }
    Err(io::Error::other(format!("a wait is not where it should be: {polled:?}")))
}
