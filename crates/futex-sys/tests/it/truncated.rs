//! Words whose page is gone, because another program shortened their file. Only the kernel may access these words: an access of
//! the test would raise `SIGBUS`.

use futex_sys::futex::{self, MATCH_ANY, Scope, WaitvEntry, waitv};
use futex_sys::{SharedMemory, Word};

/// A word beyond the end of its file.
fn stranded() -> Word {
    let file = tempfile::NamedTempFile::new().expect("a file in memory");
    file.as_file().set_len(1 << 20).expect("a file in memory");
    let memory = SharedMemory::open_path(&file).expect("a file in memory");
    assert!(!memory.is_sealed());
    let word = memory.word(1 << 19).expect("a file in memory");
    file.as_file().set_len(4).expect("a file in memory");
    word
}

#[test]
fn a_wait_on_a_page_that_is_gone_is_an_error() {
    let error = futex::wait(&stranded(), Scope::Shared, 0, MATCH_ANY, None).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
}

#[test]
fn a_waitv_on_a_page_that_is_gone_is_an_error() {
    if !crate::waitv::is_here() {
        return;
    }
    let word = stranded();
    let error = waitv(&[WaitvEntry::new(&word, Scope::Shared, 0)], None).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
}

#[test]
fn a_wake_on_a_page_that_is_gone_reaches_nobody() {
    let word = stranded();
    assert_eq!(word.wake(1), 0);
    let error = futex::wake(&word, Scope::Shared, 1).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
    let error = futex::requeue(&word, &crate::support::word(), Scope::Shared, 1, 1).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
    let error = futex::cmp_requeue(&crate::support::word(), 0, &word, Scope::Shared, 1, 1).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
}

#[cfg(feature = "uring")]
#[test]
fn a_ring_reports_a_page_that_is_gone_and_goes_on() {
    use crate::support::{arm, complete, ring};
    use futex_sys::uring::Ending;

    let Some(mut ring) = ring() else { return };
    let word = crate::support::word();
    ring.arm(0, stranded(), 0, MATCH_ANY).unwrap();
    arm(&mut ring, 1, &word); // in the same batch

    let gone = complete(&mut ring);
    let Ending::Failed(error) = gone.ending else { panic!("{gone:?}") };
    assert_eq!((gone.tag, error.raw_os_error()), (Some(0), Some(libc::EFAULT)));

    assert_eq!(word.wake(1), 1);
    assert_eq!(complete(&mut ring).tag, Some(1));
}

#[cfg(feature = "uring")]
#[test]
fn a_wait_that_truncation_strands_can_still_be_cancelled() {
    use crate::support::{arm, ring};
    use futex_sys::uring::Ending;

    let Some(mut ring) = ring() else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let word = SharedMemory::open_path(&file).unwrap().word(1 << 19).unwrap();
    let id = arm(&mut ring, 0, &word);
    file.as_file().set_len(4).unwrap();
    assert_eq!(word.wake(1), 0);
    assert!(matches!(ring.cancel(id).unwrap().ending, Ending::Cancelled));
}
