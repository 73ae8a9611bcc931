//! A ring whose system calls fail loses no wake and does not hang.

use super::*;
use std::sync::Arc;

/// Opens a ring. If that fails, prints the reason and returns `None`, or panics if skips are forbidden.
fn ring() -> Option<FutexRing> {
    match FutexRing::new() {
        Ok(ring) => Some(ring),
        Err(error) => {
            assert!(std::env::var_os("FUTEX_TESTS_FORBID_SKIPS").is_none(), "skips are forbidden: {error}");
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

/// A word whose memory is never freed. Some tests leave a wait in the kernel, which ends some time after its ring is closed. On
/// Linux 6.12 such a wait consumed a wake of another test, because the word of that test had got the memory of the first word.
fn word() -> Word {
    Word::from(&*Box::leak(Box::new(AtomicU32::new(0))))
}

/// Takes all available completions, and returns their tags and endings.
fn completions(ring: &mut FutexRing) -> Vec<(Option<u32>, Ending)> {
    std::iter::from_fn(|| ring.next_completion()).map(|completion| (completion.tag, completion.ending)).collect()
}

#[test]
fn a_wait_that_the_kernel_has_no_memory_for_stays_queued_and_is_armed_by_the_next_call() {
    let Some(mut ring) = ring() else { return };
    let word = word();
    for errno in [Errno::AGAIN, Errno::NOMEM] {
        ring.arm(1, word.clone(), 0, MATCH_ANY).unwrap();
        ring.faults.enter = Some(errno);
        let error = ring.submit().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()));
        assert_eq!((word.wake(1), ring.pending()), (0, 1));
        ring.faults.enter = None;
        ring.submit().unwrap();
        assert_eq!(word.wake(1), 1);
        assert!(matches!(completions(&mut ring)[..], [(Some(1), Ending::Woken)]));
    }
}

#[test]
fn a_wait_that_was_cancelled_before_the_kernel_had_it_swallows_no_wake() {
    let Some(mut ring) = ring() else { return };
    let word = word();
    ring.faults.enter = Some(Errno::NOMEM);
    let id = ring.arm(1, word.clone(), 0, MATCH_ANY).unwrap();
    assert!(ring.submit().is_err());
    let completion = ring.cancel(id).unwrap();
    assert!(completion.tag == Some(1) && matches!(completion.ending, Ending::Cancelled), "{completion:?}");
    assert!(ring.cancel(id).is_err(), "the wait has ended");
    drop(completion);
    assert_eq!((ring.pending(), ring.unreaped()), (0, 1));

    // The next call submits the wait to the kernel, and then cancels it there.
    ring.faults.enter = None;
    ring.arm(2, word.clone(), 0, MATCH_ANY).unwrap();
    ring.submit().unwrap();
    assert_eq!(word.wake(u32::MAX), 1);
    assert!(matches!(completions(&mut ring)[..], [(None, Ending::Cancelled), (Some(2), Ending::Woken)]));
    assert_eq!((ring.pending(), ring.unreaped(), ring.has_unsubmitted()), (0, 0, false));
}

/// 1. A wait is queued and cancelled. After that, only the ring has a handle to the word.
/// 2. The next call submits the wait to the kernel and cancels it there. The caller may hold a lock, so the ring must not drop
///    the word: the word's owner may take the same lock in its destructor.
#[test]
fn the_word_of_a_withdrawn_wait_is_given_to_the_caller() {
    let Some(mut ring) = ring() else { return };
    let (owner, other) = (Arc::new(AtomicU32::new(0)), word());
    let id = ring.arm(1, Word::from(owner.clone()), 0, MATCH_ANY).unwrap();
    drop(ring.cancel(id).unwrap());
    ring.arm(2, other.clone(), 0, MATCH_ANY).unwrap();
    ring.submit().unwrap();
    assert_eq!(Arc::strong_count(&owner), 2);
    let completion = ring.next_completion().unwrap();
    assert!(completion.tag.is_none() && matches!(completion.ending, Ending::Cancelled), "{completion:?}");
    assert_eq!(Arc::strong_count(&owner), 2);
    drop(completion);
    assert_eq!(Arc::strong_count(&owner), 1);
}

/// 1. A wait is queued, and the kernel has no memory for it. The caller cancels the wait.
/// 2. The next call submits the wait. A wake reaches it before the ring has cancelled it (here the cancel fails).
#[test]
fn a_wake_that_finds_a_withdrawn_wait_is_given_to_the_caller() {
    let Some(mut ring) = ring() else { return };
    let word = word();
    ring.faults.enter = Some(Errno::NOMEM);
    let id = ring.arm(1, word.clone(), 0, MATCH_ANY).unwrap();
    assert!(ring.submit().is_err());
    ring.cancel(id).unwrap();
    ring.faults.enter = None;
    ring.faults.cancel = Some(Errno::PERM);
    ring.submit().unwrap();
    assert_eq!(word.wake(1), 1);
    assert!(matches!(completions(&mut ring)[..], [(None, Ending::Woken)]));
    assert_eq!((ring.pending(), ring.unreaped()), (0, 0));
}

#[test]
fn a_withdrawn_wait_that_is_still_in_the_kernel_is_closed_as_possibly_woken() {
    let Some(mut ring) = ring() else { return };
    let word = word();
    let id = ring.arm(1, word.clone(), 0, MATCH_ANY).unwrap();
    ring.submit().unwrap();
    ring.faults.cancel = Some(Errno::PERM);
    assert!(matches!(ring.cancel(id).unwrap().ending, Ending::Cancelled));
    let mut ends = Vec::new();
    ring.close(|completion| ends.push((completion.tag, completion.ending)));
    assert!(matches!(ends[..], [(None, Ending::Lost)]), "{ends:?}");
}

#[test]
fn a_wake_that_finds_a_wait_that_could_not_be_cancelled_is_given_to_the_caller() {
    let Some(mut ring) = ring() else { return };
    let word = word();
    let id = ring.arm(1, word.clone(), 0, MATCH_ANY).unwrap();
    ring.submit().unwrap();
    ring.faults.cancel = Some(Errno::PERM);
    assert!(matches!(ring.cancel(id).unwrap().ending, Ending::Cancelled));
    // The kernel still has the wait, and no caller waits for it: its wake must be passed on.
    assert_eq!(word.wake(1), 1);
    assert!(matches!(completions(&mut ring)[..], [(None, Ending::Woken)]));
}

/// Each completion that the kernel dropped may have been a wake, so the ring must report no wait as cancelled.
#[test]
fn a_ring_that_lost_completions_ends_its_waits_as_possibly_woken_and_takes_no_more() {
    let Some(mut ring) = ring() else { return };
    let word = word();
    for tag in 0..3 {
        ring.arm(tag, word.clone(), 0, MATCH_ANY).unwrap();
    }
    ring.submit().unwrap();
    ring.arm(3, word.clone(), 0, MATCH_ANY).unwrap();

    ring.faults.dropped = true; // a test can't change the kernel's counter
    assert!(ring.has_completions());
    let mut ended = completions(&mut ring);
    ended.sort_by_key(|(tag, _)| *tag);
    assert!(ended.iter().all(|(_, ending)| matches!(ending, Ending::Lost)), "{ended:?}");
    assert_eq!(ended.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), [0, 1, 2, 3].map(Some));
    assert_eq!(word.wake(u32::MAX), 0, "a wait is still in the kernel");
    assert_eq!((ring.pending(), ring.unreaped()), (0, 0), "the ring expects completions that were lost");

    let refusals = [ring.arm(9, word.clone(), 0, MATCH_ANY).map(drop), ring.submit()];
    for refusal in refusals {
        let text = "this io_uring lost completions and takes no more waits: open another one";
        assert_eq!(refusal.unwrap_err().to_string(), text);
    }
}

#[test]
fn completions_that_overflowed_are_fetched_although_the_kernel_takes_no_entry() {
    const WAITS: u32 = 3 * CQ_ENTRIES;
    let Some(mut ring) = ring() else { return };
    let word = word();
    for tag in 0..WAITS {
        ring.arm(tag, word.clone(), 0, MATCH_ANY).unwrap();
    }
    ring.submit().unwrap();
    assert_eq!(word.wake(u32::MAX), WAITS);
    ring.arm(WAITS, word.clone(), 0, MATCH_ANY).unwrap();
    ring.faults.enter = Some(Errno::NOMEM);
    assert!(ring.submit().is_err());
    let ended = completions(&mut ring);
    assert!(ended.iter().map(|(tag, _)| *tag).eq((0..WAITS).map(Some)));
    assert_eq!(ring.pending(), 1);
}

/// The race that [`FutexRing::await_posting`] describes. (Measured with a bare ring: about once in a hundred rounds in which the
/// steps were forced to overlap.)
#[test]
fn a_completion_that_overflows_while_a_full_queue_is_emptied_is_not_left_behind() {
    let Some(mut ring) = ring() else { return };
    let word = word();
    for tag in 0..=CQ_ENTRIES {
        ring.arm(tag, word.clone(), 0, MATCH_ANY).unwrap();
    }
    ring.submit().unwrap();
    ring.faults.late = Some(word.clone());
    assert_eq!(word.wake(CQ_ENTRIES), CQ_ENTRIES);
    let ended = completions(&mut ring);
    assert!(ended.iter().map(|(tag, _)| *tag).eq((0..=CQ_ENTRIES).map(Some)), "{}", ended.len());
}
