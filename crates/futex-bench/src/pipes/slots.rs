//! The library: slots in shared memory, which tasks on either side take in turn.

use super::control::Control;
use super::message::{AHEAD, message};
use super::opened::{Consume, Opened};
use super::slot::{EMPTY, FULL, Slot};
use crate::hull::Hull;
use crate::ours::Config;
use futex_tokio::{AsyncFutex, Reactor, SharedMemory};
use std::cell::Cell;
use std::hint::black_box;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};

/// Which task takes which slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// A producer's slots are a ring that one task on either side goes round, so messages stay in order.
    InOrder,
    /// Each slot has a task on either side, as in the example `slot_pipe`.
    TaskPerSlot,
}

impl Order {
    /// Number of slots per producer.
    fn slots(self) -> usize {
        match self {
            Self::InOrder => AHEAD,
            Self::TaskPerSlot => 32, // `slot_pipe` has 64 for its two producers
        }
    }

    /// Number of slots in a row that each task goes round.
    fn slots_per_task(self) -> usize {
        match self {
            Self::InOrder => self.slots(),
            Self::TaskPerSlot => 1,
        }
    }
}

/// Slots that a task on either side goes round.
struct Ring(Vec<Slot>);

impl Ring {
    /// All rings of one producer.
    fn all(reactor: &Reactor, memory: &SharedMemory, order: Order, producer: usize) -> io::Result<Vec<Self>> {
        let first = producer * order.slots();
        let firsts = (first..first + order.slots()).step_by(order.slots_per_task());
        firsts.map(|first| Self::new(reactor, memory, first..first + order.slots_per_task())).collect()
    }

    fn new(reactor: &Reactor, memory: &SharedMemory, slots: Range<usize>) -> io::Result<Self> {
        slots.map(|index| Slot::new(reactor, memory, index)).collect::<io::Result<_>>().map(Self)
    }

    /// Takes messages, as long as waiting works.
    async fn take(self, tally: Rc<Tally>) -> io::Result<()> {
        loop {
            for slot in &self.0 {
                slot.becomes(FULL).await?;
                for word in slot.words() {
                    black_box(word.load(Ordering::Relaxed));
                }
                slot.hand_over(EMPTY);
                tally.count();
            }
        }
    }

    /// Sends the messages whose numbers `next` tells, as soon as they are wanted.
    async fn send(self, next: Rc<Cell<u32>>, wanted: AsyncFutex) -> io::Result<()> {
        loop {
            for slot in &self.0 {
                slot.becomes(EMPTY).await?;
                let number = next.replace(next.get() + 1);
                wanted.wait_until(|wanted| wanted > number).await?;
                for (word, value) in slot.words().iter().zip(message(number)) {
                    word.store(value, Ordering::Relaxed);
                }
                slot.hand_over(FULL);
            }
        }
    }
}

/// How many messages are to come.
#[derive(Default)]
struct Tally {
    left: Cell<usize>,
    done: Notify,
}

impl Tally {
    fn count(&self) {
        self.left.set(self.left.get().wrapping_sub(1));
        if self.left.get() == 0 {
            self.done.notify_one();
        }
    }
}

pub(super) fn open(config: Config, order: Order, producers: usize) -> io::Result<Opened> {
    let control = Control::create(Slot::memory(order.slots() * producers))?;
    let hull = || Ok(Hull { stdin: control.fd()?, stdout: None, name: String::new() });
    let hulls = (0..producers).map(|_| hull()).collect::<io::Result<_>>()?;
    let reactor = config.reactor()?;
    let mut rings = Vec::new();
    for producer in 0..producers {
        rings.extend(Ring::all(&reactor, &control.memory, order, producer)?);
    }
    Ok(Opened { control, hulls, consume: Box::new(move || Ok(consume(rings))) })
}

fn consume(rings: Vec<Ring>) -> Consume {
    let (local, tally) = (LocalSet::new(), Rc::<Tally>::default());
    let mut tasks = JoinSet::new();
    for ring in rings {
        tasks.spawn_local_on(ring.take(tally.clone()), &local);
    }
    Box::new(move |executor, count| {
        tally.left.set(count);
        executor.block_on(local.run_until(async {
            tokio::select! {
                () = tally.done.notified() => Ok(()),
                failed = first_end(&mut tasks) => failed,
            }
        }))
    })
}

/// Sends through every slot that is this producer's.
pub(super) async fn produce(config: Config, order: Order, hull: Hull, producer: usize) -> io::Result<()> {
    let control = Control::from_fd(hull.stdin)?;
    let reactor = config.reactor()?;
    let wanted = AsyncFutex::with_reactor(&reactor, &control.wanted);
    let next = Rc::new(Cell::new(0));
    let (local, mut tasks) = (LocalSet::new(), JoinSet::new());
    for ring in Ring::all(&reactor, &control.memory, order, producer)? {
        tasks.spawn_local_on(ring.send(next.clone(), wanted.clone()), &local);
    }
    local.run_until(first_end(&mut tasks)).await
}

/// How the first task ends, which none does unless waiting fails.
async fn first_end(tasks: &mut JoinSet<io::Result<()>>) -> io::Result<()> {
    tasks.join_next().await.map_or(Ok(()), |ended| ended.map_err(io::Error::other)?)
}
