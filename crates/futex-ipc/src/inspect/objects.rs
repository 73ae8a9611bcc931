//! The objects of a region, as their words show them.

use super::reader::{MOST_RECORDS, MemberId, Reader, offset_of_low_half};
use crate::directory::{Entry, Kind};
use crate::steps::condvar::W as CONDVAR_W;
use crate::steps::event::{SET, W as EVENT_W};
use crate::steps::mutex::{C, INC, owner, predecessor_word};
use crate::steps::record::{Records, STRIDE};
use crate::steps::semaphore::{W as SEMAPHORE_W, available, permits};
use crate::steps::{Place, barrier, high, low};
use crate::{barrier as barriers, condvar, mutex, once_cell, rwlock, semaphore};
use std::fmt;
use std::io;

/// An object of a region, from [`Inspection`](super::Inspection).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// The name of the object.
    pub name: String,
    /// Number of the kind in the format.
    pub kind_number: u32,
    /// The kind. `None` for one that this version does not know.
    pub kind: Option<Kind>,
    /// The name of the type of the values, as [`Value::NAME`](crate::Value::NAME).
    pub type_name: String,
    /// The version of the type, as [`Value::VERSION`](crate::Value::VERSION).
    pub type_version: u32,
    /// Size of a value in bytes.
    pub value_size: u32,
    /// The place of the object, in bytes from the start of the region.
    pub offset: usize,
    /// Length of the object in bytes.
    pub len: usize,
    /// The state of the object.
    pub state: ObjectState,
    pub(super) sleeps: Vec<(usize, SleepPurpose)>,
}

/// The state of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ObjectState {
    /// A mutex.
    Mutex(LockState),
    /// A read-write lock.
    #[non_exhaustive]
    RwLock {
        /// The lock of the writers. Its holder writes, or waits for the readers.
        writer: LockState,
        /// Number of readers of each member that has some.
        readers: Vec<Share>,
    },
    /// A semaphore.
    #[non_exhaustive]
    Semaphore {
        /// Number of permits, available or not.
        capacity: u32,
        /// Number of permits that are available. After a death it may be too low, until a waiter corrects it.
        available: u32,
        /// True if a member may wait for permits.
        may_have_waiters: bool,
        /// The lock of the waiter at the front of the queue. The others wait for this lock.
        turnstile: LockState,
        /// Number of permits of each member that has some. A member that is about to acquire permits is counted with them already.
        permits: Vec<Share>,
    },
    /// An event, of either kind.
    #[non_exhaustive]
    Event {
        /// True if the event is set.
        is_set: bool,
        /// True if a member may wait.
        may_have_waiters: bool,
    },
    /// A once cell.
    #[non_exhaustive]
    OnceCell {
        /// True if the cell has its value.
        is_initialized: bool,
        /// The lock of the member that initialises the cell.
        initializer: LockState,
    },
    /// A barrier.
    #[non_exhaustive]
    Barrier {
        /// Number of phases that are over.
        phase: u64,
        /// The tasks of each member that has attached some.
        tasks: Vec<Tasks>,
    },
    /// A condition variable.
    #[non_exhaustive]
    Condvar {
        /// True if a member may wait.
        may_have_waiters: bool,
    },
    /// The kind is not known, or the object is too short for it, or the region is damaged so that reading it would take too long.
    Unknown,
}

/// The state of a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LockState {
    /// The member that has the lock. If it is dead, or not a [member](super::Inspection::member) any more, the next locker takes the
    /// lock over.
    pub holder: Option<MemberId>,
    /// True if a member may wait for the lock.
    pub may_have_waiters: bool,
    /// True if an owner died while it had the lock, and no later owner has settled that.
    pub predecessor_died: bool,
    /// The last owner that died while it had the lock.
    pub predecessor: Option<MemberId>,
}

/// The permits or readers of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Share {
    /// The member.
    pub member: MemberId,
    /// Number of permits, or of readers.
    pub count: u32,
}

/// The tasks of a member at a barrier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Tasks {
    /// The member.
    pub member: MemberId,
    /// Number of tasks that are attached.
    pub attached: u32,
    /// Number of tasks that have arrived in this phase.
    pub arrived: u32,
}

/// The purpose of a sleep on a word of a region. Its `Display` follows the word “waits”.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum SleepPurpose {
    /// To lock a mutex.
    Lock,
    /// To read or to write, while another member writes.
    ReadOrWrite,
    /// As the writer, for the readers to end.
    Readers,
    /// For permits, at the front of the queue.
    Permits,
    /// For permits, behind the front of the queue.
    Turn,
    /// For an event to be set.
    Set,
    /// For the value of a once cell.
    Value,
    /// For the other tasks to arrive at a barrier.
    Arrivals,
    /// For a notification of a condition variable.
    Notification,
    /// To add an object to the region.
    Directory,
    /// For a change of the members.
    Members,
}

impl fmt::Display for SleepPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lock => "for the lock",
            Self::ReadOrWrite => "to read or write",
            Self::Readers => "for the readers to end",
            Self::Permits => "for permits, as the first",
            Self::Turn => "for permits, behind the first",
            Self::Set => "for the event",
            Self::Value => "for the value",
            Self::Arrivals => "for the others to arrive",
            Self::Notification => "for a notification",
            Self::Directory => "to add an object",
            Self::Members => "for a change of the members",
        })
    }
}

impl LockState {
    fn of(word: u64, predecessor: u64) -> Self {
        let id = |word| owner(word).map(|member| MemberId { slot: member.slot, generation: member.generation });
        Self {
            holder: id(word),
            may_have_waiters: word & C != 0,
            predecessor_died: word & INC != 0,
            predecessor: id(predecessor),
        }
    }
}

/// The state of an object, and the words on which members sleep, by their index in the object.
type Known = (ObjectState, Vec<(u32, SleepPurpose)>);

/// A slot that is LIVE, and its generation.
pub(super) type Live = (u32, u32);

/// Reads one object after the other.
pub(super) struct Look<'a> {
    reader: Reader<'a>,
    live: &'a [Live],
    /// Number of words of records that may still be read.
    budget: usize,
    buffer: Vec<u64>,
}

impl<'a> Look<'a> {
    pub(super) fn new(reader: Reader<'a>, live: &'a [Live]) -> Self {
        Self { reader, live, budget: MOST_RECORDS, buffer: Vec::new() }
    }

    pub(super) fn at(&mut self, entry: &Entry) -> io::Result<ObjectInfo> {
        let kind = Kind::from_number(entry.kind);
        let known = match kind {
            Some(kind) => self.state(kind, entry)?,
            None => None,
        };
        let (state, sleeps) = known.unwrap_or((ObjectState::Unknown, Vec::new()));
        let sleep = |(index, purpose): (u32, _)| (offset_of_low_half(Place(entry.base.0 + index)), purpose);
        Ok(ObjectInfo {
            name: entry.name.clone(),
            kind_number: entry.kind,
            kind,
            type_name: entry.type_name.clone(),
            type_version: entry.type_version,
            value_size: entry.size,
            offset: entry.base.0 as usize * 8,
            len: entry.len as usize * 8,
            state,
            sleeps: sleeps.into_iter().map(sleep).collect(),
        })
    }

    /// `None` if the object does not have what its kind needs.
    fn state(&mut self, kind: Kind, entry: &Entry) -> io::Result<Option<Known>> {
        /// An upper bound for the number of words of the fixed part of an object.
        const FIXED: u32 = 32;
        let mut words = [0; FIXED as usize];
        let len = entry.len.min(FIXED);
        self.reader.fill(entry.base, &mut words[..len as usize])?;
        let word = |index: u32| words.get(index as usize).copied().unwrap_or(0);
        let lock = |index| LockState::of(word(index), word(predecessor_word(Place(index)).0));
        let needs = match kind {
            Kind::Mutex | Kind::OnceCell | Kind::RwLock => 3,
            Kind::Semaphore => semaphore::TURNSTILE + 2,
            Kind::Barrier => 2,
            Kind::ManualEvent | Kind::AutoEvent | Kind::Condvar => 1,
        };
        if len < needs {
            return Ok(None);
        }
        Ok(Some(match kind {
            Kind::Mutex => (ObjectState::Mutex(lock(mutex::LOCK)), vec![(mutex::LOCK, SleepPurpose::Lock)]),
            Kind::RwLock => {
                let Some(readers) = self.shares(entry)? else { return Ok(None) };
                let sleeps = vec![(rwlock::LOCK, SleepPurpose::ReadOrWrite), (rwlock::EVENT, SleepPurpose::Readers)];
                (ObjectState::RwLock { writer: lock(rwlock::LOCK), readers }, sleeps)
            }
            Kind::Semaphore => {
                let Some(of_members) = self.shares(entry)? else { return Ok(None) };
                let state = ObjectState::Semaphore {
                    capacity: permits(word(semaphore::CAPACITY)),
                    available: available(word(semaphore::STATE)),
                    may_have_waiters: word(semaphore::STATE) & SEMAPHORE_W != 0,
                    turnstile: lock(semaphore::TURNSTILE),
                    permits: of_members,
                };
                (state, vec![(semaphore::EVENT, SleepPurpose::Permits), (semaphore::TURNSTILE, SleepPurpose::Turn)])
            }
            Kind::ManualEvent | Kind::AutoEvent => {
                let (is_set, may_have_waiters) = (word(0) & SET != 0, word(0) & EVENT_W != 0);
                (ObjectState::Event { is_set, may_have_waiters }, vec![(0, SleepPurpose::Set)])
            }
            Kind::OnceCell => {
                let (is_initialized, initializer) = (word(once_cell::DONE) == 1, lock(once_cell::LOCK));
                let state = ObjectState::OnceCell { is_initialized, initializer };
                (state, vec![(once_cell::LOCK, SleepPurpose::Value)])
            }
            Kind::Barrier => {
                let phase = word(barriers::PHASE);
                let Some(records) = self.records(entry)? else { return Ok(None) };
                let tasks = |(member, word): (MemberId, u64)| {
                    let (attached, arrived) = barrier::tasks(word, member.generation, phase);
                    (attached > 0).then_some(Tasks { member, attached, arrived })
                };
                let state = ObjectState::Barrier { phase, tasks: records.into_iter().filter_map(tasks).collect() };
                (state, vec![(barriers::EVENT, SleepPurpose::Arrivals)])
            }
            Kind::Condvar => {
                let may_have_waiters = word(condvar::WORD) & CONDVAR_W != 0;
                (ObjectState::Condvar { may_have_waiters }, vec![(condvar::WORD, SleepPurpose::Notification)])
            }
        }))
    }

    /// The counts of the members whose count is not 0.
    fn shares(&mut self, entry: &Entry) -> io::Result<Option<Vec<Share>>> {
        let share = |(member, word)| (low(word) > 0).then_some(Share { member, count: low(word) });
        Ok(self.records(entry)?.map(|records| records.into_iter().filter_map(share).collect()))
    }

    /// The records that count. `None` if the object has no records, or if the budget is used up.
    fn records(&mut self, entry: &Entry) -> io::Result<Option<Vec<(MemberId, u64)>>> {
        let Some(Records(first)) = entry.records else { return Ok(None) };
        // The slots are in ascending order.
        let Some(&(last, _)) = self.live.last() else { return Ok(Some(Vec::new())) };
        // The entry was checked: there is a record for each slot.
        let len = (last * STRIDE + 1) as usize;
        let Some(left) = self.budget.checked_sub(len) else { return Ok(None) };
        self.budget = left;
        self.buffer.resize(len, 0);
        self.reader.fill(first, &mut self.buffer)?;
        let of = |&(slot, generation): &Live| {
            let word = self.buffer.get((slot * STRIDE) as usize).copied()?;
            (high(word) == generation).then_some((MemberId { slot, generation }, word))
        };
        Ok(Some(self.live.iter().filter_map(of).collect()))
    }
}
