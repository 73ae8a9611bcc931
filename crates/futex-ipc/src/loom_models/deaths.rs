//! Models in which a member is dead, and another one sweeps while its task or another member goes on.

use super::memory::Memory;
use super::{ATTACHED, BARRIER, CAPACITY, EVENT, ONE, OTHER, RECORDS, RWLOCK, SEMAPHORE, WORD};
use crate::steps::barrier::Arrive;
use crate::steps::member::Mark;
use crate::steps::mutex::{self, Lock, TryLock, Unlock};
use crate::steps::rwlock::Write;
use crate::steps::semaphore::Acquire;
use crate::steps::sweep::Sweep;
use crate::steps::{Role, halves};
use crate::sync::model;
use std::sync::Arc;
use std::sync::atomic::Ordering::Release;

/// The one that locks has not asked the kernel: it finds the word repaired, or the slot marked, by another member. The kernel publishes
/// what the dead process has written to the member that has asked it.
#[test]
fn the_last_commit_is_seen_by_an_owner_that_has_not_asked_the_kernel() {
    model("mutex, a death that another member finds", || {
        let memory = Memory::new(&[(Role::Lock, WORD)]);
        let dying = memory.spawn(0, |member| {
            member.run(Lock::new(WORD));
            member.write(ONE, 7);
            mutex::commit(member, OTHER, 1);
            member.die(Release);
        });
        let sweeping = memory.spawn(1, |member| {
            if let Some(dead) = member.run(Mark::new(0)) {
                member.run(Sweep::new(dead));
            }
        });
        let member = memory.member(1);
        if let Some(locked) = member.run(TryLock::new(WORD)) {
            if locked.died {
                assert_eq!(mutex::current(&member, OTHER), 1, "the last commit is not seen");
                assert_eq!(member.read(ONE), 7);
            }
            member.run(Unlock::new(WORD, locked, true));
        }
        dying.join().unwrap();
        sweeping.join().unwrap();
    });
}

/// The memory of a member that is dead and has one permit, reader or task. Another one sweeps.
fn with_sweep(record: u64, run: impl FnOnce(&Arc<Memory>)) {
    let memory = Memory::new(&[(Role::Counter, EVENT)]);
    let dead = memory.member(0);
    dead.write(RECORDS.of(0), record);
    dead.die(Release);
    let sweeping = memory.spawn(1, |member| {
        let dead = member.run(Mark::new(0)).expect("the member is dead");
        member.run(Sweep::new(dead));
    });
    run(&memory);
    sweeping.join().unwrap();
}

#[test]
fn the_permit_of_a_member_that_is_swept_reaches_a_waiter() {
    model("semaphore, a sweep and a sum", || {
        with_sweep(halves(1, 1), |memory| {
            let member = memory.member(1);
            member.write(CAPACITY, 1);
            member.run(Acquire::new(SEMAPHORE, 1));
        });
    });
}

#[test]
fn a_writer_does_not_wait_for_a_reader_that_is_swept() {
    model("rwlock, a sweep and a writer", || {
        with_sweep(halves(1, 1), |memory| {
            memory.member(1).run(Write::new(RWLOCK));
        });
    });
}

#[test]
fn a_phase_does_not_wait_for_a_task_that_is_swept() {
    model("barrier, a sweep and an arrival", || {
        with_sweep(ATTACHED, |memory| {
            let member = memory.member(1);
            member.write(RECORDS.of(1), ATTACHED);
            member.run(Arrive::new(BARRIER));
        });
    });
}
