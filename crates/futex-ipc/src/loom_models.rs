//! Models of the memory orderings: threads run the steps over memory in which a load may see old values.
//!
//! Each thread stands for a member. Data that a lock guards are words too, with relaxed accesses, so that a missing ordering shows
//! as an old value. The explorer checks kills. The models of [`deaths`] have one death.

mod deaths;
mod memory;

use self::memory::{Member, Memory};
use crate::steps::barrier::{Arrive, Barrier, Detach};
use crate::steps::condvar::{Notify, Prepare};
use crate::steps::event::{Reset, SET, Set, SetOne, Wait, WaitOne};
use crate::steps::member::Mark;
use crate::steps::mutex::{self, Lock, Unlock};
use crate::steps::once::{Finish, Get, Once, Turn};
use crate::steps::record::Records;
use crate::steps::rwlock::{EndRead, Read, RwLock, Write};
use crate::steps::semaphore::{Acquire, Grow, Release, Semaphore, TryAcquire, available};
use crate::steps::sweep::Sweep;
use crate::steps::{Place, Role, halves};
use crate::sync::model;
use std::sync::atomic::Ordering::Relaxed;

const WORD: Place = Place(0);
const EVENT: Place = Place(2);
/// Data.
const ONE: Place = Place(3);
const OTHER: Place = Place(4);
const TURNSTILE: Place = Place(5);
const RECORDS: Records = Records(Place(7));
const CAPACITY: Place = Place(9);

const RWLOCK: RwLock = RwLock { word: WORD, event: EVENT, records: RECORDS };
const SEMAPHORE: Semaphore =
    Semaphore { state: WORD, event: EVENT, turnstile: TURNSTILE, records: RECORDS, capacity: CAPACITY };
const ONCE: Once = Once { word: WORD, done: EVENT };
const BARRIER: Barrier = Barrier { phase: WORD, event: EVENT, records: RECORDS };
/// A record of a member with one task at the barrier.
const ATTACHED: u64 = halves(1, 1 << 20);

#[test]
fn writes_of_an_owner_are_seen_by_the_next_owner() {
    model("mutex, two owners", || {
        let memory = Memory::new(&[(Role::Lock, WORD)]);
        let threads = [0, 1].map(|slot| {
            memory.spawn(slot, |member| {
                let locked = member.run(Lock::new(WORD));
                member.write(ONE, member.read(ONE) + 1);
                assert!(member.run(Unlock::new(WORD, locked, true)));
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(memory.member(0).read(ONE), 2);
    });
}

/// The value has two copies. The member dies without an unlock, after its commit. The next owner may load the earlier number, because
/// here the kernel orders nothing, but it never loads a new number with an old copy.
#[test]
fn a_commit_before_a_death_is_seen_by_the_next_owner() {
    model("mutex, a death after a commit", || {
        let memory = Memory::new(&[(Role::Lock, WORD)]);
        let dying = memory.spawn(0, |member| {
            member.run(Lock::new(WORD));
            member.write(ONE, 7);
            mutex::commit(member, OTHER, 1);
            member.die(Relaxed);
        });
        let member = memory.member(1);
        if let Some(dead) = member.run(Mark::new(0)) {
            member.run(Sweep::new(dead));
            let locked = member.run(Lock::new(WORD));
            assert!(locked.died);
            if mutex::current(&member, OTHER) == 1 {
                assert_eq!(member.read(ONE), 7);
            }
        }
        dying.join().unwrap();
    });
}

#[test]
fn a_released_permit_reaches_a_waiter() {
    model("semaphore, two holders", || {
        let memory = Memory::new(&[]);
        memory.member(0).write(WORD, 1);
        memory.member(0).write(CAPACITY, 1);
        let threads = [0, 1].map(|slot| {
            memory.spawn(slot, |member| {
                member.run(Acquire::new(SEMAPHORE, 1));
                member.write(ONE, member.read(ONE) + 1);
                member.run(Release::new(SEMAPHORE, 1));
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(memory.member(0).read(ONE), 2);
    });
}

/// The sum of the records must find the permit of a dead member while the other permit is released. The release must see W, or the sum
/// must see the record after the release.
#[test]
fn a_permit_of_a_dead_member_reaches_a_waiter() {
    model("semaphore, a release and a sum", || {
        let memory = Memory::new(&[]);
        memory.member(0).write(CAPACITY, 2);
        memory.member(0).write(RECORDS.of(0), halves(1, 1));
        let releasing = memory.spawn(0, |member| member.run(Release::new(SEMAPHORE, 1)));
        memory.member(1).run(Acquire::new(SEMAPHORE, 2));
        releasing.join().unwrap();
    });
}

/// The member that adds a permit sees W, or the waiting one sees the capacity.
#[test]
fn an_added_permit_reaches_a_waiter() {
    model("semaphore, a permit is added", || {
        let memory = Memory::new(&[]);
        let growing = memory.spawn(0, |member| assert!(member.run(Grow::new(SEMAPHORE, 1))));
        memory.member(1).run(Acquire::new(SEMAPHORE, 1));
        growing.join().unwrap();
    });
}

/// The permit of a dead member returns, and a forgotten permit does not. The sum of the records must not find both.
#[test]
fn a_forgotten_permit_does_not_return() {
    model("semaphore, a permit is forgotten", || {
        let memory = Memory::new(&[]);
        memory.member(0).write(CAPACITY, 2);
        memory.member(0).write(RECORDS.of(0), halves(1, 1));
        let forgetting = memory.spawn(0, |member| member.run(Release::forget(SEMAPHORE, 1)));
        let member = memory.member(1);
        member.run(Acquire::new(SEMAPHORE, 1));
        forgetting.join().unwrap();
        assert_eq!(available(member.read(WORD)), 0);
        assert!(!member.run(TryAcquire::new(SEMAPHORE, 1)));
    });
}

#[test]
fn a_reader_sees_all_writes_of_a_writer_or_none() {
    model("rwlock, a reader and a writer", || {
        let memory = Memory::new(&[]);
        let writing = memory.spawn(0, |member| {
            let locked = member.run(Write::new(RWLOCK));
            member.write(ONE, 1);
            member.write(OTHER, 1);
            assert!(member.run(Unlock::new(WORD, locked, true)));
        });
        let member = memory.member(1);
        member.run(Read::new(RWLOCK));
        let seen = (member.read(ONE), member.read(OTHER));
        member.run(EndRead::new(RWLOCK));
        writing.join().unwrap();
        assert!(seen == (0, 0) || seen == (1, 1), "{seen:?}");
    });
}

/// The writes of a reader come before those of the next writer.
#[test]
fn a_writer_sees_the_writes_of_earlier_readers() {
    model("rwlock, a writer behind a reader", || {
        let memory = Memory::new(&[]);
        let reading = memory.spawn(0, |member| {
            member.run(Read::new(RWLOCK));
            let seen = member.read(ONE);
            member.write(OTHER, 1 + seen);
            member.run(EndRead::new(RWLOCK));
        });
        let member = memory.member(1);
        let locked = member.run(Write::new(RWLOCK));
        // Either the reader came first, and all of its writes are seen, or it comes later.
        let seen = member.read(OTHER);
        member.write(ONE, 1);
        assert!(member.run(Unlock::new(WORD, locked, true)));
        reading.join().unwrap();
        assert_eq!(member.read(OTHER), if seen == 1 { 1 } else { 2 });
    });
}

#[test]
fn the_value_of_a_cell_is_seen_by_all_users() {
    model("once, two users", || {
        let memory = Memory::new(&[]);
        let threads = [0, 1].map(|slot| {
            memory.spawn(slot, |member| {
                if let Turn::Initialise(locked) = member.run(Get::new(ONCE)) {
                    assert_eq!(member.read(ONE), 0);
                    member.write(ONE, 7);
                    member.run(Finish::new(ONCE, locked));
                }
                assert_eq!(member.read(ONE), 7);
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn writes_before_a_set_are_seen_after_the_wait() {
    model("event", || {
        let memory = Memory::new(&[]);
        let setting = memory.spawn(0, |member| {
            member.write(ONE, 7);
            member.run(Set::new(WORD));
        });
        let member = memory.member(1);
        member.run(Wait::new(WORD));
        assert_eq!(member.read(ONE), 7);
        setting.join().unwrap();
    });
    model("automatic event", || {
        let memory = Memory::new(&[]);
        let setting = memory.spawn(0, |member| {
            member.write(ONE, 7);
            member.run(SetOne::new(WORD));
        });
        let member = memory.member(1);
        member.run(WaitOne::new(WORD));
        assert_eq!(member.read(ONE), 7);
        setting.join().unwrap();
    });
}

/// The event is set already when a member writes and sets it. If the other member takes the event and does not see the write, it
/// finds the event set once more.
#[test]
fn writes_before_a_second_set_are_seen() {
    model("event that is set", || {
        let memory = Memory::new(&[]);
        memory.member(0).write(WORD, SET);
        let setting = memory.spawn(0, |member| {
            member.write(ONE, 7);
            member.run(Set::new(WORD));
        });
        let member = memory.member(1);
        member.run(Reset::new(WORD));
        if member.read(ONE) != 7 {
            member.run(Wait::new(WORD));
            assert_eq!(member.read(ONE), 7);
        }
        setting.join().unwrap();
    });
    model("automatic event that is set", || {
        let memory = Memory::new(&[]);
        memory.member(0).write(WORD, SET);
        let setting = memory.spawn(0, |member| {
            member.write(ONE, 7);
            member.run(SetOne::new(WORD));
        });
        let member = memory.member(1);
        member.run(WaitOne::new(WORD));
        if member.read(ONE) != 7 {
            member.run(WaitOne::new(WORD));
            assert_eq!(member.read(ONE), 7);
        }
        setting.join().unwrap();
    });
}

#[test]
fn writes_before_a_barrier_are_seen_after_it() {
    model("barrier, two arrive", || {
        let memory = Memory::new(&[]);
        let arrive = |member: &Member, own, others| {
            member.write(own, 7);
            member.run(Arrive::new(BARRIER));
            assert_eq!(member.read(others), 7);
        };
        for slot in [0, 1] {
            memory.member(0).write(RECORDS.of(slot), ATTACHED);
        }
        let arriving = memory.spawn(0, move |member| arrive(member, ONE, OTHER));
        arrive(&memory.member(1), OTHER, ONE);
        arriving.join().unwrap();
    });
}

/// The member that detaches finds that the other one has arrived, or the other one finds itself alone.
#[test]
fn a_member_that_detaches_ends_the_phase() {
    model("barrier, one arrives and one detaches", || {
        let memory = Memory::new(&[]);
        for slot in [0, 1] {
            memory.member(0).write(RECORDS.of(slot), ATTACHED);
        }
        let detaching = memory.spawn(0, |member| member.run(Detach::new(BARRIER, None)));
        memory.member(1).run(Arrive::new(BARRIER));
        detaching.join().unwrap();
    });
}

#[test]
fn a_changed_condition_is_seen_by_a_waiter() {
    model("condvar", || {
        let memory = Memory::new(&[]);
        let giving = memory.spawn(0, |member| {
            let locked = member.run(Lock::new(WORD));
            member.write(ONE, 7);
            member.run(Unlock::new(WORD, locked, true));
            member.run(Notify::one(EVENT));
        });
        let member = memory.member(1);
        let mut locked = member.run(Lock::new(WORD));
        while member.read(ONE) != 7 {
            let wait = member.run(Prepare::new(EVENT));
            member.run(Unlock::new(WORD, locked, true));
            member.run(wait);
            locked = member.run(Lock::new(WORD));
        }
        member.run(Unlock::new(WORD, locked, true));
        giving.join().unwrap();
    });
}
