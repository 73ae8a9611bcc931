//! The memory and the futex of the models.

use crate::steps::member::{LIVE, slot_word};
use crate::steps::{Machine, Member as Identity, Place, Role, Sleep, Step, Words, halves, low};
use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, fence, thread};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{self, Acquire, Relaxed, SeqCst};

const CELLS: usize = 10;
const MEMBERS: usize = 2;
/// The words that are records, for the locks that have some.
const RECORDS: std::ops::Range<usize> = 7..7 + MEMBERS;

/// An object, the table of members, and the kernel.
pub(super) struct Memory {
    cells: [AtomicU64; CELLS],
    slots: [AtomicU64; MEMBERS],
    locks: [AtomicBool; MEMBERS],
    /// The places on which members sleep, first come, first served.
    sleepers: Mutex<VecDeque<(Place, u32)>>,
    woken: Condvar,
    roles: &'static [(Role, Place)],
}

impl Memory {
    /// An object with attached records.
    pub(super) fn new(roles: &'static [(Role, Place)]) -> Arc<Self> {
        Arc::new(Self {
            cells: std::array::from_fn(|i| AtomicU64::new(if RECORDS.contains(&i) { halves(1, 0) } else { 0 })),
            slots: std::array::from_fn(|_| AtomicU64::new(slot_word(1, LIVE))),
            locks: std::array::from_fn(|_| AtomicBool::new(true)),
            sleepers: Mutex::new(VecDeque::new()),
            woken: Condvar::new(),
            roles,
        })
    }

    pub(super) fn member(self: &Arc<Self>, slot: u32) -> Member {
        Member { memory: self.clone(), slot, pending: Cell::new(false) }
    }

    /// Starts a thread that is a member.
    pub(super) fn spawn(
        self: &Arc<Self>,
        slot: u32,
        body: impl FnOnce(&Member) + Send + 'static,
    ) -> thread::JoinHandle<()> {
        let memory = self.clone();
        thread::spawn(move || body(&memory.member(slot)))
    }
}

/// A member, which is one thread.
pub(super) struct Member {
    memory: Arc<Memory>,
    slot: u32,
    /// True if the last change was `SeqCst`, and no load came after it.
    ///
    /// Loom treats a `SeqCst` access like an access with acquire and release. Only its fences are sequentially consistent. So the model
    /// has a fence between a change and a load if both are `SeqCst`. The fence orders more accesses than it should. If one of the two is
    /// weaker, there is no fence.
    pending: Cell<bool>,
}

impl Member {
    /// Runs an operation, as a driver that blocks.
    pub(super) fn run<M: Machine>(&self, mut machine: M) -> M::Output {
        loop {
            match machine.step(self) {
                Step::Next | Step::Busy => {}
                Step::Contended => thread::yield_now(),
                Step::Sleep(Sleep { place, expected, .. }) => {
                    if self.sleep(place, expected) {
                        machine.woken();
                    }
                }
                Step::Done(output) => return output,
            }
        }
    }

    /// Like `FUTEX_WAIT`: compares and queues under a lock, with a full barrier. Returns true after a wake.
    fn sleep(&self, place: Place, expected: u32) -> bool {
        let mut sleepers = self.memory.sleepers.lock().unwrap();
        fence(SeqCst);
        if low(self.cell(place).load(Relaxed)) != expected {
            return false;
        }
        sleepers.push_back((place, self.slot));
        while sleepers.iter().any(|&(_, slot)| slot == self.slot) {
            sleepers = self.memory.woken.wait(sleepers).unwrap();
        }
        true
    }

    fn cell(&self, place: Place) -> &AtomicU64 {
        &self.memory.cells[place.0 as usize]
    }

    /// Writes data.
    pub(super) fn write(&self, place: Place, value: u64) {
        self.cell(place).store(value, Relaxed);
    }

    /// Reads data.
    pub(super) fn read(&self, place: Place) -> u64 {
        self.cell(place).load(Relaxed)
    }

    /// Ends as a process that is killed: the kernel frees the lock of its slot.
    ///
    /// With Release, the kernel publishes what the process has written to the member that asks for the lock.
    pub(super) fn die(&self, order: Ordering) {
        self.memory.locks[self.slot as usize].store(false, order);
    }

    fn changed(&self, order: Ordering) {
        self.pending.set(order == SeqCst);
    }
}

impl Words for Member {
    fn load(&self, place: Place, order: Ordering) -> u64 {
        if order == SeqCst && self.pending.take() {
            fence(SeqCst);
        }
        self.cell(place).load(order)
    }

    fn store(&self, place: Place, value: u64, order: Ordering) {
        self.cell(place).store(value, order);
    }

    fn compare_exchange(&self, place: Place, current: u64, new: u64, order: Ordering) -> Result<u64, u64> {
        let replaced = self.cell(place).compare_exchange(current, new, order, Relaxed);
        if replaced.is_ok() {
            self.changed(order);
        }
        replaced
    }

    fn fetch_add(&self, place: Place, n: u64, order: Ordering) -> u64 {
        let before = self.cell(place).fetch_add(n, order);
        self.changed(order);
        before
    }

    fn wake(&self, place: Place, n: u32) -> u32 {
        fence(SeqCst);
        let mut sleepers = self.memory.sleepers.lock().unwrap();
        let mut woken = 0;
        sleepers.retain(|&(there, _)| {
            let wakes = there == place && woken < n;
            woken += u32::from(wakes);
            !wakes
        });
        self.memory.woken.notify_all();
        woken
    }

    fn slot(&self, slot: u32, order: Ordering) -> u64 {
        self.memory.slots[slot as usize].load(order)
    }

    fn replace_slot(&self, slot: u32, current: u64, new: u64) -> Result<u64, u64> {
        self.memory.slots[slot as usize].compare_exchange(current, new, Ordering::AcqRel, Relaxed)
    }

    fn is_locked(&self, slot: u32) -> bool {
        self.memory.locks[slot as usize].load(Acquire)
    }

    fn slots(&self) -> u32 {
        u32::try_from(MEMBERS).unwrap()
    }

    fn me(&self) -> Identity {
        Identity { slot: self.slot, generation: 1 }
    }

    fn swept(&self, index: u32) -> Option<(Role, Place)> {
        self.memory.roles.get(index as usize).copied()
    }
}
