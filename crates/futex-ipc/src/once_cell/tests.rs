use super::*;
use crate::Mutex;
use crate::testing::two_members;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Two handles of two members.
fn handles<T: Value>() -> [OnceCell<T>; 2] {
    two_members().map(|region| OnceCell::open_or_create(&region, "cell").unwrap())
}

#[test]
fn cells_and_futures_may_move_to_another_thread() {
    fn assert_send(_: &impl Send) {}
    static_assertions::assert_impl_all!(OnceCell<u64>: Send, Sync, fmt::Debug);
    let [cell, _other] = handles::<u64>();
    assert_send(&cell.got(Turn::Ready));
    #[cfg(feature = "tokio")]
    assert_send(&cell.get_or_init(|| async { 1 }));
}

#[test]
fn threads_of_two_members_initialise_once() {
    for _ in 0..50 {
        let cells = handles::<[u64; 3]>();
        let initialised = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for cell in cells.iter().chain(&cells) {
                scope.spawn(|| {
                    let value = cell.blocking_get_or_init(|| {
                        initialised.fetch_add(1, Relaxed);
                        [7; 3]
                    });
                    assert_eq!(value.unwrap(), [7; 3]);
                    assert_eq!(cell.get().unwrap(), Some([7; 3]));
                });
            }
        });
        assert_eq!(initialised.load(Relaxed), 1);
    }
}

#[test]
fn a_cell_is_set_once() {
    let [cell, other] = handles::<u64>();
    assert_eq!(other.get().unwrap(), None);
    cell.set(3).unwrap();
    assert_eq!(other.set(4).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(other.get().unwrap(), Some(3));
    assert_eq!(other.try_get_or_init(|| 5).unwrap(), Some(3));
}

#[test]
fn a_call_that_must_not_wait_says_that_another_one_initialises() {
    let [cell, other] = handles::<u64>();
    let value = cell.blocking_get_or_init(|| {
        assert_eq!(other.set(4).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(other.try_get_or_init(|| 5).unwrap(), None);
        let error = other.blocking_get_or_init_deadline(|| 6, Instant::now()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(other.get().unwrap(), None);
        7
    });
    assert_eq!(value.unwrap(), 7);
    assert_eq!(other.try_get_or_init(|| 5).unwrap(), Some(7));
}

#[test]
fn an_initialiser_that_fails_or_panics_is_replaced() {
    let [cell, other] = handles::<u64>();
    let error = cell.blocking_get_or_try_init(|| Err(io::Error::from(io::ErrorKind::Other))).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Other);
    let panics = std::panic::catch_unwind(|| {
        cell.blocking_get_or_init(|| std::panic::resume_unwind(Box::new("a panic that the test wants")))
    });
    assert!(panics.is_err());
    assert_eq!(other.blocking_get_or_try_init(|| Ok::<_, io::Error>(2)).unwrap(), 2);
    assert_eq!(cell.get().unwrap(), Some(2));
}

#[test]
fn an_initialiser_that_is_gone_with_its_member_is_replaced() {
    let [region, other] = two_members();
    let cell = OnceCell::<u64>::create(&region, "cell").unwrap();
    let leaks = OnceCell::<u64>::open(&other, "cell").unwrap();
    std::mem::forget(leaks.try_turn().unwrap().unwrap().unwrap_err());
    assert_eq!(cell.try_get_or_init(|| 1).unwrap(), None);
    drop((leaks, other));
    assert_eq!(cell.try_get_or_init(|| 2).unwrap(), Some(2));
}

#[test]
fn another_kind_or_type_is_refused_with_both_sides_named() {
    let [region, other] = two_members();
    Mutex::create(&region, "mutex", 1_u64).unwrap();
    OnceCell::<u64>::create(&region, "cell").unwrap();
    for (name, part) in [("mutex", "the kind mutex"), ("cell", "\"u64\" version 1 (8 bytes")] {
        let error = OnceCell::<u32>::open(&other, name).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let sentence = error.to_string();
        assert!(sentence.contains(part), "{sentence}");
    }
    assert_eq!(OnceCell::<u64>::create(&other, "cell").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(OnceCell::<u64>::open(&other, "none").unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[cfg(feature = "tokio")]
mod asynchronous {
    use super::*;
    use futex_tests::arm;
    use std::pin::pin;
    use std::sync::Arc;
    use tokio::task::{JoinSet, yield_now};

    #[tokio::test]
    async fn tasks_of_two_members_initialise_once() {
        let cells = handles::<u64>().map(Arc::new);
        let initialised = Arc::new(AtomicU32::new(0));
        let mut tasks = JoinSet::new();
        for cell in cells.iter().chain(&cells) {
            let (cell, initialised) = (cell.clone(), initialised.clone());
            tasks.spawn(async move {
                let init = || async {
                    yield_now().await;
                    initialised.fetch_add(1, Relaxed);
                    7
                };
                cell.get_or_init(init).await.unwrap()
            });
        }
        while let Some(result) = tasks.join_next().await {
            assert_eq!(result.unwrap(), 7);
        }
        assert_eq!(initialised.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn a_cancelled_initialiser_is_replaced_by_one_that_waits() {
        let [cell, other] = handles::<u64>();
        let mut cancelled = Box::pin(cell.get_or_init(std::future::pending));
        arm(&mut cancelled).await;
        let mut next = pin!(other.get_or_init(|| async { 2 }));
        arm(&mut next).await;
        drop(cancelled);
        assert_eq!(next.await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_waiter_that_is_cancelled_after_its_wake_hands_it_on() {
        let [cell, other] = handles::<u64>();
        let fails = || async {
            yield_now().await;
            Err(io::Error::from(io::ErrorKind::Other))
        };
        let mut first = Box::pin(cell.get_or_try_init(fails));
        arm(&mut first).await;
        let mut cancelled = Box::pin(other.get_or_init(|| async { 2 }));
        arm(&mut cancelled).await;
        let mut next = pin!(other.get_or_init(|| async { 3 }));
        arm(&mut next).await;
        // The first one fails, and its unlock wakes the second one.
        assert_eq!(first.await.unwrap_err().kind(), io::ErrorKind::Other);
        drop(cancelled);
        assert_eq!(next.await.unwrap(), 3);
    }
}
