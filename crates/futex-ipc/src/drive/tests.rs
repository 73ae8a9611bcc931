//! The drivers, with machines of the tests.

use crate::drive;
use crate::format::Header;
use crate::region::Region;
use crate::steps::{Cancel, Machine, Place, Step, Wake, Words, low};
use futex_sys::Deadline;
use futex_tests::without_a_hang;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const WORD: Place = Header::CHANGES;

/// Sleeps while a word is what it was a moment ago. It is its own hostile member: it changes the word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Wait;

impl Machine for Wait {
    type Output = ();

    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        Step::sleep(WORD, low(words.fetch_add(WORD, 1, Relaxed)))
    }
}

impl Cancel for Wait {
    type Undo = Wake;

    fn cancel(self) -> Wake {
        Wake::new(WORD, 0)
    }
}

/// Is busy until it is not told to try again. The output is the number of times that it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Busy {
    retries: u32,
    goes_on: bool,
}

impl Machine for Busy {
    type Output = u32;

    fn step<W: Words>(&mut self, _: &W) -> Step<u32> {
        if std::mem::replace(&mut self.goes_on, true) { Step::Done(self.retries) } else { Step::Busy }
    }

    fn retry(&mut self) -> bool {
        self.retries += 1;
        self.goes_on = false;
        true
    }
}

impl Cancel for Busy {
    type Undo = Wake;

    fn cancel(self) -> Wake {
        Wake::new(WORD, 0)
    }
}

#[test]
fn an_operation_tries_twice_more_before_it_sleeps() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        assert_eq!(drive::block(region.membership(), Busy::default(), None).unwrap(), Some(2));
        #[cfg(feature = "tokio")]
        assert_eq!(futex_tests::block_on(drive::operate(region.membership(), Busy::default)).unwrap(), 2);
    });
}

fn is_busy(result: &io::Result<impl Sized>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy)
}

/// The story: such a sleep never reaches the kernel's queue, so it does not see the deadline. It was not counted as a lost race, and
/// the call never returned.
#[test]
fn a_blocking_operation_ends_though_its_word_changes_before_each_sleep() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let soon = Deadline::after(Duration::from_millis(1));
        let result = drive::block(region.membership(), Wait, Some(soon));
        assert!(is_busy(&result), "{result:?}");
    });
}

#[cfg(feature = "tokio")]
#[test]
fn an_operation_of_a_task_returns_to_the_runtime_though_its_word_changes_before_each_sleep() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut turns = 0;
            tokio::select! {
                biased;
                result = drive::operate(region.membership(), || Wait) => {
                    assert!(is_busy(&result), "{result:?}");
                    assert!(turns > 500, "the operation was over after {turns} turns");
                }
                // Each turn of the runtime polls the operation once. On the backends with threads, each sleep takes a turn.
                () = async {
                    while turns < 5000 {
                        turns += 1;
                        tokio::task::yield_now().await;
                    }
                } => {}
            }
        });
    });
}

/// The story: `poll_proceed` of Tokio wakes a task without budget only after the task has returned to the scheduler. A lock in an
/// executor that blocks inside the task was never polled again, although the mutex was free.
#[cfg(feature = "tokio")]
#[test]
fn an_executor_that_blocks_inside_a_task_without_budget_gets_a_lock() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let mutex = crate::Mutex::create(&region, "mutex", 5_u64).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let task = runtime.spawn(async move {
            while tokio::task::coop::has_budget_remaining() {
                tokio::task::coop::consume_budget().await;
            }
            *futex_tests::block_on(mutex.lock()).unwrap()
        });
        assert_eq!(runtime.block_on(task).unwrap(), 5);
    });
}

#[cfg(feature = "tokio")]
#[test]
fn outside_a_runtime_an_operation_fails_only_if_it_has_to_wait() {
    without_a_hang(|| {
        let [region, other] = crate::testing::two_members();
        let mutex = crate::Mutex::create(&region, "mutex", 5_u64).unwrap();
        let theirs = crate::Mutex::<u64>::open(&other, "mutex").unwrap();
        let guard = futex_tests::block_on(mutex.lock()).unwrap();
        assert_eq!(futex_tests::block_on(theirs.lock()).unwrap_err().kind(), io::ErrorKind::Unsupported);
        drop(guard);
        assert_eq!(*futex_tests::block_on(theirs.lock()).unwrap(), 5);
    });
}
