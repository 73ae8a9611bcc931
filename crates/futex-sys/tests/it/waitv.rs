//! `futex::waitv`.

use crate::support::{assert_refused, mask, skip, until, until_waiters, waiters, word};
use futex_sys::futex::{self, MAX_WAITV, Scope, WaitvEntry, WaitvOutcome, waitv};
use futex_sys::{Deadline, Word};
use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Returns true if `futex_waitv` is available. It is missing before Linux 5.16 and in some sandboxes.
pub(crate) fn is_here() -> bool {
    let word = word();
    let probe = waitv(&[WaitvEntry::new(&word, Scope::Shared, 1)], None);
    probe.map_err(|error| skip(format!("no futex_waitv: {error}"))).is_ok()
}

/// Starts a thread that waits on all of `words`, which are zero. The thread is queued when this function returns.
fn blocked(words: &[Word], scope: Scope) -> JoinHandle<WaitvOutcome> {
    let thread = thread::spawn({
        let words = words.to_vec();
        move || {
            let entries: Vec<_> = words.iter().map(|word| WaitvEntry::new(word, scope, 0)).collect();
            waitv(&entries, None).expect("waitv")
        }
    });
    // The kernel queues the entries in order, so all are queued when the last one is. The last word may occur more than once.
    let last = words.last().expect("a word");
    let times = words.iter().filter(|word| word.as_ptr() == last.as_ptr()).count();
    until_waiters(last, scope, u32::try_from(times).expect("few"));
    thread
}

#[test]
fn waitv_reports_which_word_was_woken() {
    if !is_here() {
        return;
    }
    let words: [Word; 5] = std::array::from_fn(|_| word());
    for (index, word) in words.iter().enumerate() {
        let thread = blocked(&words, Scope::Shared);
        assert_eq!(word.wake(1), 1);
        assert_eq!(thread.join().unwrap(), WaitvOutcome::Woken(index));
        assert!(words.iter().all(|word| waiters(word, Scope::Shared) == 0), "a wait was left behind");
    }
}

#[test]
fn waitv_takes_the_documented_number_of_words() {
    if !is_here() {
        return;
    }
    let words: Vec<_> = (0..MAX_WAITV).map(|_| word()).collect();
    let thread = blocked(&words, Scope::Shared);
    assert_eq!(words[MAX_WAITV - 1].wake(1), 1);
    assert_eq!(thread.join().unwrap(), WaitvOutcome::Woken(MAX_WAITV - 1));
}

#[test]
fn waitv_refuses_no_words_and_too_many() {
    let word = word();
    let entry = WaitvEntry::new(&word, Scope::Shared, 0);
    for n in [0, MAX_WAITV + 1] {
        let text = format!("futex_waitv takes 1 to 128 words, not {n}: wait in groups");
        assert_refused(waitv(&vec![entry; n], None), io::ErrorKind::InvalidInput, &text);
    }
}

#[test]
fn waitv_does_not_wait_if_any_word_differs() {
    if !is_here() {
        return;
    }
    let (first, last) = (word(), word());
    for expected in [[0, 1], [1, 0], [1, 1]] {
        let entries =
            [WaitvEntry::new(&first, Scope::Shared, expected[0]), WaitvEntry::new(&last, Scope::Shared, expected[1])];
        assert_eq!(waitv(&entries, None).unwrap(), WaitvOutcome::Mismatch);
        assert_eq!((first.wake(1), last.wake(1)), (0, 0));
    }
}

#[test]
fn waitv_ends_at_its_deadline_and_not_before() {
    if !is_here() {
        return;
    }
    let words = [word(), word()];
    let entries: Vec<_> = words.iter().map(|word| WaitvEntry::new(word, Scope::Private, 0)).collect();
    let start = Instant::now();
    let deadline = Deadline::after(Duration::from_millis(30));
    assert_eq!(waitv(&entries, Some(deadline)).unwrap(), WaitvOutcome::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(30));
    assert_eq!(waitv(&entries, Some(deadline)).unwrap(), WaitvOutcome::TimedOut);
}

#[test]
fn the_highest_of_several_woken_words_is_reported_and_all_are_counted() {
    if !is_here() {
        return;
    }
    // One word occurs twice, so that one call wakes both entries before the thread runs.
    let (twice, other) = (word(), word());
    let thread = blocked(&[twice.clone(), other, twice.clone()], Scope::Shared);
    assert_eq!(twice.wake(u32::MAX), 2);
    assert_eq!(thread.join().unwrap(), WaitvOutcome::Woken(2));
}

#[test]
fn a_masked_wake_reaches_waitv_whatever_the_mask() {
    if !is_here() {
        return;
    }
    let words = [word(), word()];
    let thread = blocked(&words, Scope::Shared);
    assert_eq!(words[0].wake_masked(1, mask(1 << 31)), 1);
    assert_eq!(thread.join().unwrap(), WaitvOutcome::Woken(0));
}

#[test]
fn a_private_control_word_can_sit_beside_shared_words() {
    if !is_here() {
        return;
    }
    let (shared, control) = (word(), word());
    let wait = |shared: Word, control: Word| {
        let entries = [WaitvEntry::new(&shared, Scope::Shared, 0), WaitvEntry::new(&control, Scope::Private, 0)];
        waitv(&entries, None).expect("waitv")
    };
    for round in 0..2 {
        let thread = thread::spawn({
            let (shared, control) = (shared.clone(), control.clone());
            move || wait(shared, control)
        });
        until_waiters(&control, Scope::Private, 1);
        assert_eq!(control.wake(1), 0, "a shared wake reached the private entry");
        let (of, scope) = if round == 0 { (&shared, Scope::Shared) } else { (&control, Scope::Private) };
        assert_eq!(futex::wake(of, scope, 1).unwrap(), 1);
        assert_eq!(thread.join().unwrap(), WaitvOutcome::Woken(round));
    }
}

#[test]
fn a_wake_between_the_check_and_waitv_is_kept() {
    if !is_here() {
        return;
    }
    let words = [word(), word()];
    for round in 0..2_000_u32 {
        let waiter = {
            let words = words.clone();
            thread::spawn(move || {
                let entries: Vec<_> = words.iter().map(|word| WaitvEntry::new(word, Scope::Shared, round)).collect();
                waitv(&entries, None).expect("waitv")
            })
        };
        let changed = &words[round as usize % 2];
        changed.store(round + 1, std::sync::atomic::Ordering::Release);
        let count = changed.wake(1);
        until("the wait has ended", || waiter.is_finished());
        let expected = match count {
            0 => WaitvOutcome::Mismatch,
            _ => WaitvOutcome::Woken(round as usize % 2),
        };
        assert_eq!(waiter.join().unwrap(), expected);
        words[(round as usize + 1) % 2].store(round + 1, std::sync::atomic::Ordering::Release);
    }
}

#[test]
fn the_debug_output_of_an_entry_has_its_expected_value() {
    let word = word();
    let text = format!("{:?}", WaitvEntry::new(&word, Scope::Shared, 77));
    assert!(text.contains("expected: 77"), "{text}");
}
