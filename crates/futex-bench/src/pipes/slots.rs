//! The library: slots in shared memory, which tasks on either side take in turn.

use super::control::{AHEAD, Control, MESSAGE, Opened, message};
use crate::hull::Hull;
use crate::ours::Config;
use anyhow::Result;
use futex_tokio::{AsyncFutex, Reactor, SharedMemory};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::coop::consume_budget;
use tokio::task::{JoinSet, LocalSet};

/// Which task takes which slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// A producer's slots are a ring that one task on either side goes round, so messages stay in order.
    InOrder,
    /// Each slot has a task on either side, as in the example `slot_pipe`.
    TaskPerSlot,
}

impl Order {
    /// The slots of one producer, by the task that goes round them.
    fn rings(self, reactor: &Reactor, memory: &SharedMemory, producer: usize) -> Result<Vec<Vec<Slot>>> {
        let (tasks, per_task) = match self {
            Self::InOrder => (1, AHEAD),
            Self::TaskPerSlot => (32, 1), // `slot_pipe` has 64 slots for its two producers
        };
        let first = producer * AHEAD;
        let ring =
            |task| (0..per_task).map(|slot| Slot::new(reactor, memory, first + task * per_task + slot)).collect();
        (0..tasks).map(ring).collect()
    }
}

/// Number of bytes in a slot, and in front of the first: a cache line.
const LINE: usize = 64;

/// The states of a slot. Only the producer waits for `EMPTY`, and only the consumer for `FULL`.
const EMPTY: u32 = 0;
const FULL: u32 = 1;
/// Set beside the state by a side that waits for the other one.
const WAITING: u32 = 1 << 31;

/// A slot in shared memory: its state word, and a message behind it.
struct Slot {
    state: AsyncFutex,
    memory: SharedMemory,
    first: usize,
}

impl Slot {
    fn new(reactor: &Reactor, memory: &SharedMemory, index: usize) -> Result<Self> {
        let offset = LINE * (1 + index);
        let state = AsyncFutex::with_reactor(reactor, memory.word(offset)?);
        Ok(Self { state, memory: memory.clone(), first: offset / 4 + 1 })
    }

    /// The message. The state says which side may use it.
    fn words(&self) -> &[AtomicU32] {
        &self.memory.as_words()[self.first..][..MESSAGE]
    }

    /// Waits until the other side hands the slot over.
    ///
    /// No wake is lost, and no wake is made if nobody waits. Say A waits in here, and B is in `hand_over`. Either
    ///
    /// 1. B's swap comes before A's exchange. The exchange fails, because the value is another, and A loads again. Or
    /// 2. B's swap comes after it. Then B sees the bit, and wakes after the swap. The kernel compares the word again when it
    ///    puts A to sleep, in one step: before the swap A sleeps, and the wake finds it; after the swap it does not sleep.
    ///
    /// A wait that returns for another reason finds its own bit, and waits again without setting it. A wait that is dropped
    /// leaves the bit behind. That costs one needless wake, and the swap clears it.
    async fn becomes(&self, wanted: u32) -> Result<()> {
        loop {
            // If there is always a message, the other tasks of this thread still have to run.
            consume_budget().await;
            // Ordering: Acquire, the partner is the swap of `hand_over`. A's exchange in between does not hide it.
            let state = self.state.word().load(Ordering::Acquire);
            if state & !WAITING == wanted {
                return Ok(());
            }
            // Ordering: Relaxed. The bit publishes nothing, and an exchange or swap always sees the latest value.
            let (word, marked) = (self.state.word(), state | WAITING);
            let mark = || word.compare_exchange(state, marked, Ordering::Relaxed, Ordering::Relaxed);
            if state == marked || mark().is_ok() {
                self.state.wait_async(marked).await?;
            }
        }
    }

    /// Changes the state, and wakes the other side if it waits: see [`becomes`](Slot::becomes).
    fn hand_over(&self, state: u32) {
        // Ordering: Release, so that a side that sees the state sees the message. The partner is the load of `becomes`.
        if self.state.word().swap(state, Ordering::Release) & WAITING != 0 {
            self.state.wake_one();
        }
    }
}

/// Number of messages that are still to come.
#[derive(Default)]
struct Tally {
    left: Cell<usize>,
    done: Notify,
}

pub(super) fn open(config: Config, order: Order, control: &Control, producers: usize) -> Result<Opened> {
    let hulls = (0..producers).map(|_| Hull::of([&control.memory])).collect::<Result<_>>()?;
    let reactor = config.reactor()?;
    let (local, mut tasks, tally) = (LocalSet::new(), JoinSet::new(), Rc::<Tally>::default());
    for producer in 0..producers {
        for ring in order.rings(&reactor, &control.memory, producer)? {
            tasks.spawn_local_on(take(ring, tally.clone()), &local);
        }
    }
    let consume = Box::new(move |runtime: &Runtime, count| {
        tally.left.set(count);
        runtime.block_on(local.run_until(async {
            tokio::select! {
                () = tally.done.notified() => Ok(()),
                failed = first_end(&mut tasks) => failed,
            }
        }))
    });
    Ok((consume, hulls))
}

/// Takes messages as long as waiting works.
async fn take(ring: Vec<Slot>, tally: Rc<Tally>) -> Result<()> {
    for slot in ring.iter().cycle() {
        slot.becomes(FULL).await?;
        for word in slot.words() {
            black_box(word.load(Ordering::Relaxed));
        }
        slot.hand_over(EMPTY);
        tally.left.set(tally.left.get().wrapping_sub(1));
        if tally.left.get() == 0 {
            tally.done.notify_one();
        }
    }
    Ok(())
}

/// Sends through every slot of this producer.
pub(super) async fn produce(config: Config, order: Order, control: &Control, producer: usize) -> Result<()> {
    let reactor = config.reactor()?;
    let wanted = AsyncFutex::with_reactor(&reactor, &control.wanted);
    let next = Rc::new(Cell::new(0));
    let (local, mut tasks) = (LocalSet::new(), JoinSet::new());
    for ring in order.rings(&reactor, &control.memory, producer)? {
        tasks.spawn_local_on(send(ring, next.clone(), wanted.clone()), &local);
    }
    local.run_until(first_end(&mut tasks)).await
}

/// Sends the messages from number `next` on, as soon as they are wanted.
async fn send(ring: Vec<Slot>, next: Rc<Cell<u32>>, wanted: AsyncFutex) -> Result<()> {
    for slot in ring.iter().cycle() {
        slot.becomes(EMPTY).await?;
        let number = next.replace(next.get() + 1);
        wanted.wait_until(|wanted| wanted > number).await?;
        for (word, value) in slot.words().iter().zip(message(number)) {
            word.store(value, Ordering::Relaxed);
        }
        slot.hand_over(FULL);
    }
    Ok(())
}

/// The end of the first task. None ends unless waiting fails.
async fn first_end(tasks: &mut JoinSet<Result<()>>) -> Result<()> {
    tasks.join_next().await.map_or(Ok(()), |ended| ended?)
}
