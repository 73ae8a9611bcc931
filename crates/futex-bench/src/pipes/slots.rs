//! The library: slots in shared memory, a task for each on either side.

use super::{Consume, Control, MESSAGE, Opened, message};
use crate::links::Hull;
use crate::ours;
use futex_tokio::{AsyncFutex, Backend, Reactor, SharedMemory};
use std::cell::Cell;
use std::hint::black_box;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};

const SLOTS: usize = 64;
/// Bytes of a slot, and of what is in front of them: a cache line.
const LINE: usize = 64;

const EMPTY: u32 = 0;
const FULL: u32 = 1;

struct Slot {
    state: AsyncFutex,
    memory: SharedMemory,
    first: usize,
}

impl Slot {
    fn new(reactor: &Reactor, memory: &SharedMemory, index: usize) -> io::Result<Self> {
        let offset = LINE * (1 + index);
        let state = AsyncFutex::with_reactor(reactor, memory.word(offset)?);
        Ok(Self { state, memory: memory.clone(), first: offset / 4 + 1 })
    }

    fn words(&self) -> &[AtomicU32] {
        &self.memory.as_words()[self.first..][..MESSAGE]
    }

    async fn becomes(&self, wanted: u32) -> io::Result<()> {
        self.state.wait_until(|state| state == wanted).await.map(drop)
    }

    /// Changes the state, then wakes.
    fn hand_over(&self, state: u32) {
        self.state.word().store(state, Ordering::Release);
        self.state.wake_one();
    }
}

/// Who takes the messages, and how many are to come.
#[derive(Default)]
struct Tally {
    left: Cell<usize>,
    done: Notify,
}

pub(super) fn open(backend: Backend, producers: usize) -> io::Result<Opened> {
    let control = Control::create(LINE * (1 + SLOTS))?;
    let hull = || {
        let name = producers.to_string(); // it has to know which slots are its own
        Ok(Hull { stdin: control.fd()?, stdout: None, name })
    };
    let hulls = (0..producers).map(|_| hull()).collect::<io::Result<_>>()?;
    let reactor = ours::reactor(backend, false)?;
    let slots = (0..SLOTS).map(|index| Slot::new(&reactor, &control.memory, index)).collect::<io::Result<Vec<_>>>()?;
    Ok(Opened { control, hulls, consume: Box::new(move || Ok(consume(slots))) })
}

fn consume(slots: Vec<Slot>) -> Consume {
    let (tasks, tally) = (LocalSet::new(), Rc::<Tally>::default());
    for slot in slots {
        let tally = tally.clone();
        tasks.spawn_local(async move {
            while slot.becomes(FULL).await.is_ok() {
                for word in slot.words() {
                    black_box(word.load(Ordering::Relaxed));
                }
                slot.hand_over(EMPTY);
                tally.left.set(tally.left.get().wrapping_sub(1));
                if tally.left.get() == 0 {
                    tally.done.notify_one();
                }
            }
        });
    }
    Box::new(move |executor, count| {
        tally.left.set(count);
        executor.block_on(tasks.run_until(tally.done.notified()));
        Ok(())
    })
}

/// Sends through every slot that is this producer's, with one task a slot.
pub(super) async fn produce(backend: Backend, hull: Hull, producer: usize) -> io::Result<()> {
    let producers = hull.name.parse().map_err(io::Error::other)?;
    let control = Control::from_fd(hull.stdin)?;
    let reactor = ours::reactor(backend, false)?;
    let wanted = AsyncFutex::with_reactor(&reactor, &control.wanted);
    let next = Rc::new(Cell::new(0));
    let mut tasks = JoinSet::new();
    let local = LocalSet::new();
    for index in (producer..SLOTS).step_by(producers) {
        let slot = Slot::new(&reactor, &control.memory, index)?;
        let (wanted, next) = (wanted.clone(), next.clone());
        let send = async move {
            loop {
                slot.becomes(EMPTY).await?;
                let number = next.replace(next.get() + 1);
                wanted.wait_until(|wanted| wanted > number).await?;
                for (word, value) in slot.words().iter().zip(message(number)) {
                    word.store(value, Ordering::Relaxed);
                }
                slot.hand_over(FULL);
            }
        };
        tasks.spawn_local_on(send, &local);
    }
    let first = local.run_until(tasks.join_next()).await;
    first.map_or(Ok(()), |ended| ended.map_err(io::Error::other)?)
}
