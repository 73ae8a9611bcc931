//! The barrier: all attached tasks wait for each other, phase after phase. A death detaches the tasks of the member.
//!
//! | place | |
//! |---|---|
//! | phase | number of phases that are over |
//! | event | a counter on which the waiting tasks sleep |
//! | records | per member: the number of attached tasks, and the number of arrivals in a phase |
//!
//! The low half of a record has the number of attached tasks in bits 20 to 31, the number of arrivals in bits 8 to 19, and the low 8
//! bits of the phase of these arrivals. An attached member is at most one phase behind, so these bits suffice.
//!
//! A phase is over when each living member has as many arrivals as attached tasks. Each member counts after it has changed its
//! record, so the last member ends the phase. A sweep changes the event, and then the sleepers count.

use super::slot::is_live;
use super::{Cancel, Machine, Place, Step, Wake, Words, halves, high, low};
use crate::steps::record::Records;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

/// Maximum number of tasks that one member attaches.
pub const MAX_TASKS: u32 = COUNT;

const COUNT: u32 = (1 << 12) - 1;
const PHASE: u64 = 0xff;

/// The places of a barrier.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Barrier {
    /// The number of phases that are over.
    pub phase: Place,
    /// The counter on which tasks sleep.
    pub event: Place,
    /// The records of the members.
    pub records: Records,
}

/// The low half of a record.
#[derive(Clone, Copy)]
struct Record {
    attached: u32,
    arrived: u32,
    phase: u32,
}

impl Record {
    const NONE: Self = Self { attached: 0, arrived: 0, phase: 0 };

    /// The record in a word, for a member of this generation.
    fn of(word: u64, generation: u32) -> Self {
        if high(word) != generation {
            return Self::NONE;
        }
        let low = low(word);
        Self { attached: low >> 20, arrived: low >> 8 & COUNT, phase: low & low_bits(PHASE) }
    }

    fn word(self, generation: u32) -> u64 {
        halves(generation, (self.attached & COUNT) << 20 | (self.arrived & COUNT) << 8 | self.phase)
    }
}

/// Number of attached tasks in the word of a record, and number of those that have arrived in the phase.
pub(crate) fn tasks(word: u64, generation: u32, phase: u64) -> (u32, u32) {
    let record = Record::of(word, generation);
    (record.attached, if record.phase == low_bits(phase) { record.arrived } else { 0 })
}

const fn low_bits(phase: u64) -> u32 {
    low(phase & PHASE)
}

/// How a record changes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Change {
    Attach,
    /// In this phase.
    Arrive(u64),
    /// With the phase in which the task arrived last.
    Detach(Option<u64>),
}

impl Change {
    fn apply(self, record: Record) -> Record {
        let Record { attached, arrived, phase } = record;
        match self {
            Self::Attach if attached == 0 => Record { attached: 1, arrived: 0, phase },
            Self::Attach => Record { attached: attached + 1, ..record },
            Self::Arrive(now) if phase == low_bits(now) => Record { arrived: (arrived + 1).min(COUNT), ..record },
            // Another task has arrived in the next phase, so this phase is over.
            Self::Arrive(now) if phase == low_bits(now.wrapping_add(1)) && arrived > 0 => record,
            Self::Arrive(now) => Record { attached, arrived: 1, phase: low_bits(now) },
            // All zero, so that a member that leaves finds nothing in its record.
            Self::Detach(_) if attached <= 1 => Record::NONE,
            Self::Detach(last) => {
                let stays = last.is_some_and(|last| phase == low_bits(last));
                let arrived = if stays { arrived.saturating_sub(1) } else { arrived };
                Record { attached: attached - 1, arrived, phase }
            }
        }
    }
}

/// Changes the record of this member.
///
/// 1. Load the record.
/// 2. CAS the change (`SeqCst`, one half of a Dekker pair: the member counts the other records next). If it fails: 2 with the value
///    that is there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Alter {
    change: Change,
    seen: Option<u64>,
}

impl Alter {
    fn step<W: Words>(&mut self, records: Records, words: &W) -> Step<()> {
        let me = words.me();
        let place = records.of(me.slot);
        let Some(word) = self.seen else {
            self.seen = Some(words.load(place, Relaxed));
            return Step::Next;
        };
        let changed = self.change.apply(Record::of(word, me.generation)).word(me.generation);
        match words.compare_exchange(place, word, changed, SeqCst) {
            Ok(_) => Step::Done(()),
            Err(other) => {
                self.seen = Some(other);
                Step::Contended
            }
        }
    }
}

/// Checks that all attached tasks have arrived in a phase, and that a task is attached.
///
/// For each slot: load the slot (Acquire). LIVE(g): load the record (`SeqCst`). It counts if it has the generation g.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Count {
    phase: u32,
    slot: u32,
    live: Option<u32>,
    any: bool,
}

impl Count {
    fn new(phase: u64) -> Self {
        Self { phase: low_bits(phase), slot: 0, live: None, any: false }
    }

    fn step<W: Words>(&mut self, records: Records, words: &W) -> Step<bool> {
        match self.live.take() {
            None => {
                let word = words.slot(self.slot, Acquire);
                if is_live(word, high(word)) {
                    self.live = Some(high(word));
                    return Step::Next;
                }
            }
            Some(generation) => {
                let Record { attached, arrived, phase } =
                    Record::of(words.load(records.of(self.slot), SeqCst), generation);
                if attached > 0 && (phase != self.phase || arrived < attached) {
                    return Step::Done(false);
                }
                self.any |= attached > 0;
            }
        }
        self.slot += 1;
        if self.slot < words.slots() { Step::Next } else { Step::Done(self.any) }
    }
}

/// Attaches a task, so that each phase waits for it. A phase that is about to end may still end without it. The output is false if
/// [`MAX_TASKS`] tasks of this member are attached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Attach {
    place: Barrier,
    alter: Alter,
}

impl Attach {
    /// Begins to attach.
    #[must_use]
    pub const fn new(place: Barrier) -> Self {
        Self { place, alter: Alter { change: Change::Attach, seen: None } }
    }
}

impl Machine for Attach {
    type Output = bool;

    fn step<W: Words>(&mut self, words: &W) -> Step<bool> {
        let is_full = |word| Record::of(word, words.me().generation).attached == MAX_TASKS;
        if self.alter.seen.is_some_and(is_full) {
            return Step::Done(false);
        }
        self.alter.step(self.place.records, words).map(|()| true)
    }
}

/// Arrives, and waits until the phase is over. The output is true for the task that ended the phase.
///
/// 1. Load the phase (Acquire), p.
/// 2. Add an arrival of p to the record (`SeqCst`). If another task of this member has arrived in p + 1, p is over, and its arrival
///    stays.
/// 3. Load the event (Acquire), then the phase (Acquire). Not p: done.
/// 4. Count (`SeqCst`). All have arrived: CAS the phase p → p + 1 (acquire and release). If it fails, another task was faster: done.
///    Otherwise event += 1 (Release), wake all, done.
/// 5. Sleep on the event, with the value of 3. Then 3.
///
/// The arrival of a task that is cancelled after 2 stays.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Arrive {
    place: Barrier,
    phase: u64,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Phase,
    Alter(Alter),
    Event,
    Again(u32),
    Count(u32, Count),
    End,
    Bump,
    Wake,
}

impl Arrive {
    /// Begins to arrive.
    #[must_use]
    pub const fn new(place: Barrier) -> Self {
        Self { place, phase: 0, at: At::Phase }
    }

    /// The phase of the arrival, if the task has arrived. A cancelled task passes it to [`Detach`].
    #[must_use]
    pub fn arrival(&self) -> Option<u64> {
        (!matches!(self.at, At::Phase | At::Alter(_))).then_some(self.phase)
    }
}

impl Machine for Arrive {
    type Output = bool;

    fn step<W: Words>(&mut self, words: &W) -> Step<bool> {
        let Barrier { phase, event, records } = self.place;
        let (next, step) = match &mut self.at {
            At::Phase => {
                self.phase = words.load(phase, Acquire);
                (At::Alter(Alter { change: Change::Arrive(self.phase), seen: None }), Step::Next)
            }
            At::Alter(alter) => match alter.step(records, words) {
                Step::Done(()) => (At::Event, Step::Next),
                step => return step.map(|()| false),
            },
            At::Event => (At::Again(low(words.load(event, Acquire))), Step::Next),
            At::Again(seen) => {
                if words.load(phase, Acquire) != self.phase {
                    return Step::Done(false);
                }
                (At::Count(*seen, Count::new(self.phase)), Step::Next)
            }
            At::Count(seen, count) => match count.step(records, words) {
                Step::Done(true) => (At::End, Step::Next),
                Step::Done(false) => {
                    let expected = *seen;
                    (At::Event, Step::sleep(event, expected))
                }
                step => return step,
            },
            At::End => {
                let next = self.phase.wrapping_add(1);
                if words.compare_exchange(phase, self.phase, next, AcqRel).is_err() {
                    return Step::Done(false);
                }
                (At::Bump, Step::Next)
            }
            At::Bump => {
                words.fetch_add(event, 1, Release);
                (At::Wake, Step::Next)
            }
            At::Wake => {
                words.wake(event, u32::MAX);
                return Step::Done(true);
            }
        };
        self.at = next;
        step
    }

    #[cfg(test)]
    fn renumber(&mut self, f: &mut dyn FnMut(Place, u64) -> u64) {
        if let At::Again(seen) | At::Count(seen, _) = &mut self.at {
            *seen = low(f(self.place.event, (*seen).into()));
        }
    }
}

impl Cancel for Arrive {
    type Undo = Wake;

    /// It does nothing: each wake is for all waiters.
    fn cancel(self) -> Wake {
        Wake::new(self.place.event, 0)
    }
}

/// Detaches a task. If the phase of its arrival is not over, takes the arrival back.
///
/// 1. Take the task from the record (`SeqCst`).
/// 2. Load the phase (Acquire), p. Count (`SeqCst`). Not all have arrived: done.
/// 3. As 4 of [`Arrive`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Detach {
    place: Barrier,
    at: Detaching,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Detaching {
    Alter(Alter),
    Phase,
    Count(u64, Count),
    End(u64),
    Bump,
    Wake,
}

impl Detach {
    /// Begins to detach a task, with the result of [`Arrive::arrival`] of its last arrival.
    #[must_use]
    pub const fn new(place: Barrier, arrival: Option<u64>) -> Self {
        Self { place, at: Detaching::Alter(Alter { change: Change::Detach(arrival), seen: None }) }
    }
}

impl Machine for Detach {
    type Output = ();

    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        let Barrier { phase, event, records } = self.place;
        self.at = match &mut self.at {
            Detaching::Alter(alter) => match alter.step(records, words) {
                Step::Done(()) => Detaching::Phase,
                step => return step,
            },
            Detaching::Phase => {
                let now = words.load(phase, Acquire);
                Detaching::Count(now, Count::new(now))
            }
            Detaching::Count(now, count) => match count.step(records, words) {
                Step::Done(true) => Detaching::End(*now),
                step => return step.map(drop),
            },
            Detaching::End(now) => {
                if words.compare_exchange(phase, *now, now.wrapping_add(1), AcqRel).is_err() {
                    return Step::Done(());
                }
                Detaching::Bump
            }
            Detaching::Bump => {
                words.fetch_add(event, 1, Release);
                Detaching::Wake
            }
            Detaching::Wake => {
                words.wake(event, u32::MAX);
                return Step::Done(());
            }
        };
        Step::Next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(not(loom))]
    use crate::run::run;

    /// After a task has arrived and detached, its phase still waits for the other task of the member.
    #[test]
    fn a_task_that_detaches_takes_its_arrival_along() {
        let two = Record { attached: 2, arrived: 0, phase: 3 };
        let one_arrived = Change::Arrive(4).apply(two);
        let Record { attached, arrived, .. } = Change::Detach(Some(4)).apply(one_arrived);
        assert_eq!((attached, arrived), (1, 0));
        let Record { attached, arrived, .. } = Change::Detach(None).apply(one_arrived);
        assert_eq!((attached, arrived), (1, 1));
    }

    /// The story: a task that attached while a phase ended, and arrived in this phase too late, overwrote the arrival of another task of
    /// its member in the next phase. That other task slept forever.
    #[cfg(not(loom))]
    #[test]
    fn a_late_arrival_keeps_that_of_another_task_in_the_next_phase() {
        let regions = crate::testing::two_members();
        let [ours, theirs] = regions.each_ref().map(|region| &**region.membership());
        let first = ours.layout().objects();
        let place = Barrier { phase: Place(first), event: Place(first + 1), records: Records(Place(first + 2)) };
        let attach = |member| assert_eq!(run(member, Attach::new(place)), Some(true));
        let until_sleep = |member| {
            let mut arrive = Arrive::new(place);
            while !matches!(arrive.step(member), Step::Sleep(_)) {}
            arrive
        };

        attach(theirs);
        attach(ours);
        let they = until_sleep(theirs);
        let mut early = Arrive::new(place);
        while early.at != At::End {
            assert_eq!(early.step(ours), Step::Next);
        }
        attach(ours);
        let mut late = Arrive::new(place);
        assert_eq!(late.step(ours), Step::Next); // it loads the phase
        assert_eq!((run(ours, early), run(theirs, they)), (Some(true), Some(false)));
        let [early, they] = [ours, theirs].map(until_sleep);
        assert_eq!(run(ours, late), Some(false), "its phase is over");
        assert_eq!(run(ours, Arrive::new(place)), Some(true), "an arrival was lost");
        assert_eq!((run(ours, early), run(theirs, they)), (Some(false), Some(false)));
    }

    #[test]
    fn a_record_is_a_word_and_back() {
        let word = Record { attached: 4095, arrived: 17, phase: 255 }.word(9);
        let Record { attached, arrived, phase } = Record::of(word, 9);
        assert_eq!((attached, arrived, phase), (4095, 17, 255));
        assert_eq!(Record::of(word, 8).attached, 0);
    }
}
