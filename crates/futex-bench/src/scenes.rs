//! What `--counts` counts: each operation is a function of its own, by whose name callgrind finds it.

use crate::allocator;
use crate::population::{armed, kept_futexes, words};
use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use futex_core::{Backend, Outcome, Reactor, Target, Wait, WaitAny, Word};
use futex_tokio::AsyncFutex;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// Number of waits that are armed together.
pub(crate) const BATCH: usize = 64;

/// What runs under callgrind.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Scene {
    /// The waiter state machine and the ring: a batch is armed, woken, turned for and polled, then armed and cancelled.
    Core,
    /// A batch of words in one future, which is dropped when it is armed.
    WaitAny,
    /// A whole cycle on Tokio: a wait is armed and woken, and the runtime finds its completion.
    Tokio,
}

impl Scene {
    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Runs it `times` times once everything has its size. Returns how often memory was allocated in these.
    pub(crate) fn play(self, times: u32) -> Result<u64> {
        match self {
            Self::Core => core(times),
            Self::WaitAny => wait_any(times),
            Self::Tokio => tokio(times),
        }
    }
}

fn core(times: u32) -> Result<u64> {
    let reactor = Reactor::builder().backend(Backend::Uring).build()?;
    let words = words(BATCH)?;
    let mut waits = Vec::with_capacity(BATCH);
    repeat(times, || {
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
    })
}

fn wait_any(times: u32) -> Result<u64> {
    let reactor = Reactor::builder().backend(Backend::Uring).build()?;
    let words = words(BATCH)?;
    repeat(times, || {
        let targets = words.iter().map(|word| Target::new(&reactor, word, 0));
        scene_any_poll(pin!(scene_any_new(targets)))?;
        reactor.turn();
        Ok(())
    })
}

fn tokio(times: u32) -> Result<u64> {
    let (runtime, futexes) = kept_futexes(1)?;
    let cycles = async |times| {
        for _ in 0..times {
            cycle_on_tokio(&futexes[0]).await?;
        }
        Ok(())
    };
    runtime.block_on(cycles(1))?;
    counted(|| runtime.block_on(cycles(times)))
}

async fn cycle_on_tokio(futex: &AsyncFutex) -> Result<()> {
    let mut wait = futex.wait_async(0);
    poll_fn(|cx| Poll::Ready(armed(Pin::new(&mut wait).poll(cx)))).await?;
    futex.wake(1);
    Ok(wait.await?)
}

fn repeat(times: u32, mut cycle: impl FnMut() -> Result<()>) -> Result<u64> {
    cycle()?;
    counted(|| (0..times).try_for_each(|_| cycle()))
}

fn counted(work: impl FnOnce() -> Result<()>) -> Result<u64> {
    let (done, _, calls) = allocator::count(work);
    done.map(|()| calls)
}

#[inline(never)]
fn scene_arm(waits: &mut [Wait<'_>]) -> Result<()> {
    poll_each(waits, Poll::is_pending)
}

#[inline(never)]
fn scene_wake(words: &[Word]) -> Result<()> {
    let woken = words.iter().map(|word| word.wake(1) as usize).sum::<usize>();
    ensure!(woken == BATCH, "of {BATCH} waits {woken} were armed");
    Ok(())
}

#[inline(never)]
fn scene_turn(reactor: &Reactor) {
    reactor.turn();
}

#[inline(never)]
fn scene_poll(waits: &mut [Wait<'_>]) -> Result<()> {
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
fn scene_any_poll(wait: Pin<&mut WaitAny<'_>>) -> Result<()> {
    let polled = wait.poll(&mut Context::from_waker(Waker::noop()));
    ensure!(polled.is_pending(), "a wait_any was not armed: {polled:?}");
    Ok(())
}

#[inline(never)]
fn scene_mismatch(reactor: &Reactor, words: &[Word]) -> Result<()> {
    let mut cx = Context::from_waker(Waker::noop());
    for word in words {
        if Pin::new(&mut reactor.wait(word, 1)).poll(&mut cx).is_pending() {
            bail!("a wait was armed though the word differs");
        }
    }
    Ok(())
}

#[inline(always)]
fn poll_each(waits: &mut [Wait<'_>], wanted: fn(&Poll<io::Result<Outcome>>) -> bool) -> Result<()> {
    let mut cx = Context::from_waker(Waker::noop());
    for wait in waits {
        let polled = Pin::new(wait).poll(&mut cx);
        ensure!(wanted(&polled), "a poll returned something else: {polled:?}");
    }
    Ok(())
}
