use super::guard::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLockReadGuard, RwLockWriteGuard};
use super::*;
use crate::steps::Words;
use crate::steps::mutex::C;
use crate::testing::{another_member, two_members};
use crate::{Member, Mutex};
use futex_tests::{until, without_a_hang};
#[cfg(feature = "tokio")]
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::yield_now;
use std::time::Instant;

/// Two handles of two members.
fn handles<T: Value + Copy>(value: T) -> [RwLock<T>; 2] {
    two_members().map(|region| RwLock::open_or_create(&region, "lock", value).unwrap())
}

#[test]
fn guards_and_handles_may_move_to_another_thread() {
    use static_assertions::assert_impl_all;
    assert_impl_all!(RwLock<u64>: Send, Sync, fmt::Debug);
    assert_impl_all!(RwLockReadGuard<'static, u64>: Send, Sync, fmt::Debug);
    assert_impl_all!(RwLockWriteGuard<'static, u64>: Send, Sync, fmt::Debug);
    assert_impl_all!(OwnedRwLockReadGuard<u64>: Send, Sync);
    assert_impl_all!(OwnedRwLockWriteGuard<u64>: Send, Sync);
}

#[test]
fn threads_of_two_members_never_read_beside_a_writer() {
    const ROUNDS: u64 = 1000;
    let locks = handles([0_u64; 3]);
    // The upper half counts the writers that are inside, the lower one the readers.
    let inside = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for lock in &locks {
            scope.spawn(|| {
                for i in 0..ROUNDS {
                    let mut guard = lock.blocking_write().unwrap();
                    assert_eq!(inside.fetch_add(1 << 16, Relaxed), 0);
                    guard.iter_mut().for_each(|part| *part += 1);
                    if i % 16 == 0 {
                        yield_now();
                    }
                    inside.fetch_sub(1 << 16, Relaxed);
                    guard.commit();
                }
            });
            scope.spawn(|| {
                let mut last = 0;
                while last < 2 * ROUNDS {
                    let guard = lock.blocking_read().unwrap();
                    assert!(inside.fetch_add(1, Relaxed) < 1 << 16);
                    assert!(guard[0] >= last && *guard == [guard[0]; 3], "{guard:?} after {last}");
                    last = guard[0];
                    inside.fetch_sub(1, Relaxed);
                }
            });
        }
    });
    assert_eq!(*locks[0].try_read().unwrap().unwrap(), [2 * ROUNDS; 3]);
}

#[test]
fn readers_of_two_members_are_inside_at_the_same_time_and_keep_a_writer_out() {
    let [lock, other] = handles(5_u64);
    let first = lock.try_read().unwrap().unwrap();
    let second = other.blocking_read().unwrap();
    assert_eq!((*first, *second), (5, 5));
    assert!(lock.try_write().unwrap().is_none());
    drop(first);
    assert!(lock.try_write().unwrap().is_none());
    drop(second);
    let writer = lock.try_write().unwrap().unwrap();
    assert!(other.try_read().unwrap().is_none());
    assert!(other.try_write().unwrap().is_none());
    drop(writer);
    assert!(other.try_write().unwrap().is_some());
}

#[test]
fn a_value_changes_only_by_a_commit() {
    let [lock, other] = handles(1_u64);
    let read = |lock: &RwLock<u64>| *lock.try_read().unwrap().unwrap();
    *lock.blocking_write().unwrap() = 2;
    assert_eq!(read(&other), 1);
    let mut guard = lock.blocking_write().unwrap();
    *guard = 3;
    guard.checkpoint();
    *guard = 4;
    drop(guard);
    assert_eq!(read(&other), 3);
    assert_eq!(other.blocking_update(|value| std::mem::replace(value, 5)).unwrap(), 3);
    let panics = std::panic::catch_unwind(|| {
        lock.blocking_update(|value| {
            *value = 6;
            std::panic::resume_unwind(Box::new("a panic that the test wants"));
        })
    });
    assert!(panics.is_err());
    assert_eq!(read(&lock), 5);
}

#[test]
fn a_deadline_ends_the_wait_of_a_reader_and_of_a_writer() {
    let [lock, other] = handles(0_u64);
    let reader = lock.try_read().unwrap().unwrap();
    let error = other.blocking_write_deadline(Instant::now()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    // The writer that gave up keeps no reader out.
    drop(other.try_read().unwrap().unwrap());
    drop(reader);
    let writer = lock.try_write().unwrap().unwrap();
    let error = other.blocking_read_deadline(Instant::now()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    drop(writer);
    drop(other.blocking_read_deadline(Instant::now()).unwrap());
    drop(other.blocking_write_deadline(Instant::now()).unwrap());
}

#[test]
fn what_a_member_leaks_ends_with_the_member() {
    let [region, other] = two_members();
    let lock = RwLock::create(&region, "lock", 7_u64).unwrap();
    let leaks = RwLock::<u64>::open(&other, "lock").unwrap();
    std::mem::forget(leaks.try_read().unwrap().unwrap());
    assert!(lock.try_write().unwrap().is_none());
    drop((leaks, other));
    assert_eq!(*lock.try_write().unwrap().unwrap(), 7);
}

#[test]
fn the_next_ones_are_told_of_a_writer_that_is_gone_until_one_settles_it() {
    let [region, other] = two_members();
    let lock = RwLock::create(&region, "lock", 7_u64).unwrap();
    assert_eq!(lock.try_read().unwrap().unwrap().predecessor(), None);
    assert_eq!(lock.try_write().unwrap().unwrap().predecessor(), None);
    let gone = other.me().unwrap();
    let leaks = RwLock::<u64>::open(&other, "lock").unwrap();
    std::mem::forget(leaks.try_write().unwrap().unwrap());
    drop((leaks, other));
    // The slot of the member is free. It keeps the information until another member takes the slot.
    let is_it = |member: Option<Member>| {
        let member = member.unwrap();
        (member.slot(), member.generation(), member.is_alive()) == (gone.slot(), gone.generation(), false)
    };
    let guard = lock.try_read().unwrap().unwrap();
    assert!(guard.predecessor_died() && is_it(guard.predecessor()));
    drop(guard);
    let guard = lock.try_write().unwrap().unwrap();
    assert!(guard.predecessor_died() && is_it(guard.predecessor()));
    drop(guard);
    let mut guard = lock.try_write().unwrap().unwrap();
    assert!(guard.predecessor_died());
    guard.settle();
    drop(guard);
    let guard = lock.try_write().unwrap().unwrap();
    assert!(!guard.predecessor_died() && guard.predecessor().is_none());
    drop(guard);
    let guard = lock.try_read().unwrap().unwrap();
    assert!(!guard.predecessor_died() && guard.predecessor().is_none());
    drop(guard);
}

#[test]
fn a_dead_writer_whose_slot_has_another_member_is_not_named() {
    let region = Region::builder().members(2).anonymous().unwrap();
    let lock = RwLock::create(&region, "lock", 7_u64).unwrap();
    let other = another_member(&region);
    let leaks = RwLock::<u64>::open(&other, "lock").unwrap();
    std::mem::forget(leaks.try_write().unwrap().unwrap());
    drop((leaks, other));
    let _next = another_member(&region);
    let guard = lock.try_read().unwrap().unwrap();
    assert!(guard.predecessor_died() && guard.predecessor().is_none());
    drop(guard);
    let guard = lock.try_write().unwrap().unwrap();
    assert!(guard.predecessor_died() && guard.predecessor().is_none());
}

#[test]
fn a_record_of_an_earlier_member_of_the_slot_does_not_count() {
    let region = Region::builder().members(2).anonymous().unwrap();
    let other = another_member(&region);
    let lock = RwLock::create(&region, "lock", 7_u64).unwrap();
    let slot = other.membership().me().slot;
    let leaks = RwLock::<u64>::open(&other, "lock").unwrap();
    std::mem::forget(leaks.try_read().unwrap().unwrap());
    drop((leaks, other));
    let third = another_member(&region);
    assert_eq!(third.membership().me().slot, slot);
    let again = RwLock::<u64>::open(&third, "lock").unwrap();
    drop(lock.try_write().unwrap().unwrap());
    let reader = again.try_read().unwrap().unwrap();
    assert!(lock.try_write().unwrap().is_none());
    drop(reader);
    assert!(lock.try_write().unwrap().is_some());
}

#[test]
fn another_kind_or_type_is_refused_with_both_sides_named() {
    let [region, other] = two_members();
    Mutex::create(&region, "mutex", 1_u64).unwrap();
    RwLock::create(&region, "lock", 1_u64).unwrap();
    for (name, part) in [("mutex", "the kind mutex"), ("lock", "\"u64\" version 1 (8 bytes")] {
        let error = RwLock::<u32>::open(&other, name).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let sentence = error.to_string();
        assert!(sentence.contains(part), "{sentence}");
    }
    assert_eq!(RwLock::create(&other, "lock", 1_u64).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(RwLock::<u64>::open(&other, "none").unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[cfg(feature = "tokio")]
mod asynchronous {
    use super::*;
    use futex_tests::arm;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use tokio::task::{JoinSet, yield_now};

    #[tokio::test]
    async fn tasks_of_two_members_count_to_the_sum() {
        let mut tasks = JoinSet::new();
        let locks = handles(0_u64).map(Arc::new);
        for lock in locks.iter().chain(&locks) {
            let lock = lock.clone();
            tasks.spawn(async move {
                for i in 0..1000 {
                    let mut guard = lock.clone().write_owned().await.unwrap();
                    *guard += 1;
                    if i % 7 == 0 {
                        yield_now().await;
                    }
                    guard.commit();
                    let guard = lock.read().await.unwrap();
                    let value = *guard;
                    if i % 5 == 0 {
                        yield_now().await;
                    }
                    assert_eq!(*guard, value);
                }
            });
        }
        while let Some(result) = tasks.join_next().await {
            result.unwrap();
        }
        assert_eq!(*locks[0].read().await.unwrap(), 4000);
    }

    #[tokio::test]
    async fn a_writer_waits_for_a_reader_and_keeps_the_next_one_out() {
        let [lock, other] = handles(0_u64);
        let reader = lock.read().await.unwrap();
        let mut write = pin!(other.write());
        arm(&mut write).await;
        assert!(lock.try_read().unwrap().is_none(), "a writer waits");
        let mut second = pin!(lock.read());
        arm(&mut second).await;
        drop(reader);
        let mut guard = write.await.unwrap();
        *guard = 1;
        arm(&mut second).await;
        guard.commit();
        assert_eq!(*second.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_cancelled_writer_lets_those_read_that_waited_behind_it() {
        let [lock, other] = handles(0_u64).map(Arc::new);
        let reader = lock.read().await.unwrap();
        let mut readers = JoinSet::new();
        let mut write = Box::pin(other.write());
        arm(&mut write).await;
        for lock in [&lock, &other, &other] {
            let lock = lock.clone();
            readers.spawn(async move { *lock.read().await.unwrap() });
        }
        // The tasks run until they wait.
        yield_now().await;
        drop(write);
        while let Some(result) = readers.join_next().await {
            assert_eq!(result.unwrap(), 0);
        }
        drop(reader);
        assert!(lock.try_write().unwrap().is_some());
    }

    #[tokio::test]
    async fn a_reader_that_is_cancelled_after_its_wake_hands_it_on() {
        let [lock, other] = handles(0_u64);
        let guard = lock.write().await.unwrap();
        let mut cancelled = Box::pin(other.read());
        arm(&mut cancelled).await;
        let mut next = pin!(other.read());
        arm(&mut next).await;
        drop(guard);
        // The unlock woke the first one.
        drop(cancelled);
        assert_eq!(*next.await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_cancelled_section_commits_nothing() {
        let [lock, _other] = handles(1_u64);
        let mut section = Box::pin(async {
            let mut guard = lock.write().await.unwrap();
            *guard = 2;
            std::future::pending::<()>().await;
            guard.commit();
        });
        arm(&mut section).await;
        drop(section);
        assert_eq!(*lock.read().await.unwrap(), 1);
        lock.update(|value| *value = 3).await.unwrap();
        assert_eq!(*lock.read().await.unwrap(), 3);
    }

    #[tokio::test]
    async fn an_uncontended_operation_finishes_with_its_first_poll() {
        let [lock, _other] = handles(1_u64);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(pin!(lock.read()).poll(&mut cx), Poll::Ready(Ok(_))));
        assert!(matches!(pin!(lock.write()).poll(&mut cx), Poll::Ready(Ok(_))));
    }
}

/// A member that left while it had a leaked guard freed its slot without a sweep. Its word named a member that was not LIVE any
/// more, but those that slept on it were not woken.
#[test]
fn a_member_that_leaves_with_a_leaked_guard_leaves_the_lock_to_others() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let ours = RwLock::create(&region, "lock", 1_u64).unwrap();
        let [reader, writer] = [(); 2].map(|()| another_member(&region));
        let leak_a_reader = RwLock::<u64>::open(&reader, "lock").unwrap();
        std::mem::forget(leak_a_reader.blocking_read().unwrap());
        std::thread::scope(|scope| {
            let written = scope.spawn(|| ours.blocking_write().map(|mut guard| *guard = 2));
            until(|| ours.try_read().is_ok_and(|guard| guard.is_none()));
            drop((leak_a_reader, reader));
            written.join().unwrap().unwrap();
        });
        let leak_a_writer = RwLock::<u64>::open(&writer, "lock").unwrap();
        std::mem::forget(leak_a_writer.blocking_write().unwrap());
        std::thread::scope(|scope| {
            let locked = scope.spawn(|| ours.blocking_write().map(|guard| guard.predecessor_died()));
            until(|| region.membership().load(ours.place.word, Relaxed) & C != 0);
            drop((leak_a_writer, writer));
            assert!(locked.join().unwrap().unwrap());
        });
    });
}
