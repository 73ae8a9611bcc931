//! A word that a member changes without end.

use crate::drive;
use crate::format::Header;
use crate::region::Region;
use crate::steps::{Cancel, Machine, Place, Step, Wake, Words, low};
use futex_sys::Deadline;
use futex_tests::without_a_hang;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Sleeps while the word is what it was a moment ago.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Wait(Place);

impl Machine for Wait {
    type Output = ();

    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        Step::sleep(self.0, low(words.load(self.0, Relaxed)))
    }
}

impl Cancel for Wait {
    type Undo = Wake;

    fn cancel(self) -> Wake {
        Wake::new(self.0, 0)
    }
}

/// Runs `body` while a thread changes a word. Fails if `body` takes a minute.
fn while_it_changes(place: Place, body: impl FnOnce(&Region) + Send + 'static) {
    without_a_hang(move || {
        let region = Region::builder().anonymous().unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    region.membership().fetch_add(place, 1, Relaxed);
                }
            });
            body(&region);
            over.store(true, Relaxed);
        });
    });
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(10))
}

/// The story: such a wait never reached the kernel's queue, so it did not see its deadline, and was not counted as a lost race.
#[test]
fn a_blocking_operation_ends_though_its_word_changes_without_end() {
    while_it_changes(Header::CHANGES, |region| {
        let result = drive::block(region.membership(), Wait(Header::CHANGES), Some(soon()));
        // The thread that changes the word may be descheduled. Then the wait sees the deadline.
        assert!(result.as_ref().is_ok_and(Option::is_none) || is_busy(&result), "{result:?}");
    });
}

fn is_busy<T>(result: &io::Result<T>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy)
}

#[cfg(feature = "tokio")]
#[test]
fn an_operation_of_a_task_returns_to_the_runtime_though_its_word_changes_without_end() {
    while_it_changes(Header::CHANGES, |region| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut turns = 0;
            let operation = drive::Operation::new(region.membership(), Wait(Header::CHANGES));
            let watchdog = async {
                // Each turn of the runtime polls the operation once.
                while turns < 1000 {
                    turns += 1;
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                result = operation => assert!(is_busy(&result), "{result:?}"),
                () = watchdog => {}
            }
            assert!(turns > 10, "the operation was over after {turns} turns");
        });
    });
}

#[test]
fn a_stream_of_members_sees_its_deadline_though_the_counter_changes_without_end() {
    while_it_changes(Header::CHANGES, |region| {
        let mut stream = region.watch_members().unwrap();
        assert_eq!(stream.blocking_next_deadline(soon()).unwrap().map(drop), None);
    });
}
