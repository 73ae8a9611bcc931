//! The uses that the guide shows, each as a test.

use futex_tests::{eventually, on_each_runtime, within};
use futex_tokio::{AsyncFutex, SharedMemory, wait_any};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::timeout;

fn futex() -> AsyncFutex {
    AsyncFutex::new(Arc::new(AtomicU32::new(0))).expect("a futex")
}

/// Changes the word, then wakes.
fn publish(futex: &AsyncFutex, value: u32) {
    futex.word().store(value, Ordering::Release);
    futex.wake_all();
}

#[test]
fn simple_wait_on_a_static_word() {
    on_each_runtime(async || {
        let door: &'static AtomicU32 = Box::leak(Box::new(AtomicU32::new(0)));
        let futex = AsyncFutex::new(door).expect("a futex");
        let guest = tokio::spawn({
            let futex = futex.clone();
            async move {
                while door.load(Ordering::Acquire) == 0 {
                    futex.wait_async(0).await?;
                }
                io::Result::Ok(door.load(Ordering::Acquire))
            }
        });
        // The guest may have armed its wait already or not. Both are right.
        eventually(|| futex.reactor().stats().armed >= 1).await;
        door.store(1, Ordering::Release);
        futex.wake_one();
        assert_eq!(within(guest).await.expect("no panic").expect("no error"), 1);
        // A change that was made before the wait is not missed.
        within(futex.wait_async(0)).await.expect("the word differs");
    });
}

#[test]
fn state_machine_waits_for_a_final_state() {
    const IDLE: u32 = 0;
    const BREWING: u32 = 1;
    const READY: u32 = 2;
    const BROKEN: u32 = 3;

    async fn coffee(machine: &AsyncFutex) -> io::Result<bool> {
        loop {
            match machine.word().load(Ordering::Acquire) {
                READY => return Ok(true),
                BROKEN => return Ok(false),
                state => machine.wait_async(state).await?,
            }
        }
    }

    on_each_runtime(async || {
        for (end, served) in [(READY, true), (BROKEN, false)] {
            let machine = futex();
            let customers: Vec<_> = (0..5)
                .map(|_| {
                    let machine = machine.clone();
                    tokio::spawn(async move { coffee(&machine).await })
                })
                .collect();
            for state in [IDLE, BREWING, IDLE, BREWING, end] {
                publish(&machine, state);
                tokio::task::yield_now().await;
            }
            for customer in customers {
                assert_eq!(within(customer).await.expect("no panic").expect("no error"), served);
            }
        }
    });
}

#[test]
fn producer_and_consumer_lose_no_item_and_do_not_overtake() {
    const ITEMS: u32 = 2_000;
    const ROOM: u32 = 8;

    on_each_runtime(async || {
        // Words 0 and 1 count the items that were put in and taken out. The places follow.
        let memory = SharedMemory::anonymous(4096).expect("memory");
        let [put, taken] = [0, 4].map(|offset| AsyncFutex::new(memory.word(offset).expect("a word")).expect("a futex"));
        let producer = tokio::spawn({
            let (memory, put, taken) = (memory.clone(), put.clone(), taken.clone());
            async move {
                for item in 0..ITEMS {
                    taken.wait_until(|taken| item - taken < ROOM).await?;
                    memory.as_words()[2 + (item % ROOM) as usize].store(item * item, Ordering::Relaxed);
                    publish(&put, item + 1);
                }
                io::Result::Ok(())
            }
        });
        let (mut seen, mut sum) = (0, 0_u64);
        while seen < ITEMS {
            let available = within(put.wait_until(|put| put != seen)).await.expect("no error");
            assert!(available - seen <= ROOM);
            for item in seen..available {
                let value = memory.as_words()[2 + (item % ROOM) as usize].load(Ordering::Relaxed);
                assert_eq!(value, item * item);
                sum += u64::from(value);
            }
            seen = available;
            publish(&taken, seen);
        }
        within(producer).await.expect("no panic").expect("no error");
        assert_eq!(sum, (0..u64::from(ITEMS)).map(|item| item * item).sum());
    });
}

#[test]
fn timeout_ends_a_wait_and_the_next_one_works() {
    on_each_runtime(async || {
        let futex = futex();
        for _ in 0..3 {
            assert!(timeout(Duration::from_millis(1), futex.wait_async(0)).await.is_err());
        }
        eventually(|| futex.reactor().stats().armed_now == 0).await;
        let waiter = tokio::spawn({
            let futex = futex.clone();
            async move { timeout(Duration::from_secs(60), futex.wait_until(|value| value == 1)).await }
        });
        publish(&futex, 1);
        let value = within(waiter).await.expect("no panic").expect("in time").expect("no error");
        assert_eq!(value, 1);
    });
}

#[test]
fn several_words_with_select() {
    on_each_runtime(async || {
        let (mail, alarm) = (futex(), futex());
        let mut served = Vec::new();
        let (mut mails, mut alarms) = (0, 0);
        for (futex, value) in [(&mail, 1), (&alarm, 1), (&mail, 2), (&mail, 3), (&alarm, 2)] {
            let publisher = tokio::spawn({
                let futex = futex.clone();
                async move { publish(&futex, value) }
            });
            within(async {
                tokio::select! {
                    value = mail.wait_until(|value| value != mails) => {
                        mails = value.expect("no error");
                        served.push("mail");
                    }
                    value = alarm.wait_until(|value| value != alarms) => {
                        alarms = value.expect("no error");
                        served.push("alarm");
                    }
                }
            })
            .await;
            publisher.await.expect("no panic");
        }
        assert_eq!(served, ["mail", "alarm", "mail", "mail", "alarm"]);
        assert_eq!((mails, alarms), (3, 2));
    });
}

#[test]
fn event_loop_handles_each_event_once_although_wakes_coalesce() {
    const EVENTS: u32 = 5_000;
    on_each_runtime(async || {
        // The counter starts near its end, so that it overflows.
        let first = u32::MAX - EVENTS / 2;
        let events = futex();
        events.word().store(first, Ordering::Release);
        let source = std::thread::spawn({
            let word = events.word().clone();
            move || {
                for _ in 0..EVENTS {
                    word.fetch_add(1, Ordering::Release);
                    word.wake(1);
                }
            }
        });
        let (mut last, mut handled, mut rounds) = (first, 0, 0);
        while handled < EVENTS {
            let latest = within(events.wait_until(|latest| latest != last)).await.expect("no error");
            handled += latest.wrapping_sub(last);
            last = latest;
            rounds += 1;
        }
        source.join().expect("no panic");
        assert_eq!((handled, last), (EVENTS, first.wrapping_add(EVENTS)));
        assert!(rounds <= EVENTS);
    });
}

#[test]
fn a_closed_reactor_can_be_replaced_by_a_new_one() {
    /// Waits for a change. If the reactor is closed meanwhile, continues with a new one.
    async fn patiently(futex: &mut AsyncFutex) -> io::Result<u32> {
        loop {
            match futex.wait_until(|value| value != 0).await {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => *futex = AsyncFutex::new(futex.word())?,
                end => return end,
            }
        }
    }

    on_each_runtime(async || {
        let original = futex();
        let waiter = tokio::spawn({
            let mut futex = original.clone();
            async move { patiently(&mut futex).await }
        });
        eventually(|| original.reactor().stats().armed >= 1).await;
        original.reactor().close();
        let fresh = futex_tokio::Reactor::current().expect("a reactor");
        eventually(|| fresh.stats().armed >= 1).await;
        publish(&original, 6);
        assert_eq!(within(waiter).await.expect("no panic").expect("no error"), 6);
    });
}

/// A wait for a change of several counters can't use their sum, which may stay the same. So there is a wait on each counter.
#[test]
fn batch_over_several_counters_sees_each_change() {
    const COUNTERS: usize = 6;
    const CHANGES: u32 = 300;

    async fn changed(counters: &[AsyncFutex], seen: &mut [u32]) -> io::Result<Vec<usize>> {
        let waits: Vec<_> = counters.iter().zip(seen.iter().copied()).collect();
        wait_any(&waits).await?;
        let mut changed = Vec::new();
        for (index, (counter, seen)) in counters.iter().zip(seen).enumerate() {
            let value = counter.word().load(Ordering::Acquire);
            if value != *seen {
                *seen = value;
                changed.push(index);
            }
        }
        Ok(changed)
    }

    on_each_runtime(async || {
        let memory = SharedMemory::anonymous(4096).expect("memory");
        let counters: Vec<_> = (0..COUNTERS)
            .map(|index| AsyncFutex::new(memory.word(64 * index).expect("a word")).expect("a futex"))
            .collect();
        let mut seen = [0; COUNTERS];
        // One counter increases and one decreases. Their sum stays the same, and both changes are seen.
        counters[0].word().store(1, Ordering::Release);
        counters[1].word().store(u32::MAX, Ordering::Release);
        assert_eq!(within(changed(&counters, &mut seen)).await.expect("no error"), [0, 1]);
        seen = [0; COUNTERS];
        for counter in &counters {
            counter.word().store(0, Ordering::Release);
        }

        let writers: Vec<_> = counters
            .iter()
            .map(|counter| {
                let counter = counter.clone();
                tokio::spawn(async move {
                    for value in 1..=CHANGES {
                        publish(&counter, value);
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        while seen != [CHANGES; COUNTERS] {
            within(changed(&counters, &mut seen)).await.expect("no error");
        }
        for writer in writers {
            within(writer).await.expect("no panic");
        }
        eventually(|| counters[0].reactor().stats().armed_now == 0).await;
    });
}
