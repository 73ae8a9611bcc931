//! The text of errors: one sentence with its cause, which no printer shows twice.

use futex_core::Backend;
use futex_sys::futex::{MAX_WAITV, Scope, WaitvEntry, waitv};
use futex_tests::block_on;
use futex_tokio::{AsyncFutex, ParseBackendError, Reactor, SharedMemory, Target, wait_any};
use std::error::Error;
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use tokio::runtime::Builder;

/// Returns the output of a printer that shows an error and the chain of its sources.
fn printed(error: &(dyn Error + 'static)) -> Vec<String> {
    std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string).collect()
}

/// Checks the kind of an error, and that its text reads well. `cause` is the kernel's error number, if the kernel was called.
#[track_caller]
fn reads_well<T: Debug>(result: io::Result<T>, kind: io::ErrorKind, cause: Option<i32>) {
    let error = result.expect_err("the call must fail");
    let sentence = error.to_string();
    assert_eq!(error.kind(), kind, "{sentence}");
    assert_eq!(printed(&error), [&*sentence], "the error has a source that repeats a part of it");
    let payload = error.get_ref().unwrap_or_else(|| panic!("the error has only a number and no sentence: {sentence}"));
    assert_eq!(format!("{payload:?}"), sentence);
    assert_eq!(format!("{error:?}"), format!("Custom {{ kind: {kind:?}, error: {sentence} }}"));
    // The sentence begins with the operation, not with a number or a kind.
    assert!(sentence.split(' ').count() > 4 && !sentence.starts_with(&kind.to_string()), "{sentence}");
    assert!(!sentence.contains(": :") && !sentence.contains('\n'), "{sentence}");
    if let Some(number) = cause {
        let cause = io::Error::from_raw_os_error(number).to_string();
        assert_eq!(sentence.matches(&cause).count(), 1, "the cause must occur once: {sentence}");
        assert!(sentence.ends_with(&format!(": {cause}")), "{sentence}");
    } else {
        assert!(!sentence.contains("os error"), "{sentence}");
    }
}

fn word() -> Arc<AtomicU32> {
    Arc::new(AtomicU32::new(0))
}

#[test]
fn errors_of_memory_read_well() {
    use io::ErrorKind::{AlreadyExists, InvalidInput, NotFound};

    let name = format!("/futex-tests-errors-{}", std::process::id());
    for bad in ["", "/", "no/good", "/a/b", "a\0b", &"x".repeat(300)] {
        assert!(SharedMemory::create(bad, 4096).is_err(), "{bad:?}");
    }
    reads_well(SharedMemory::create("a/b", 4096), InvalidInput, None);
    reads_well(SharedMemory::open(&name), NotFound, Some(libc::ENOENT));
    reads_well(SharedMemory::unlink(&name), NotFound, Some(libc::ENOENT));
    let memory = SharedMemory::create(&name, 4096).expect("memory");
    reads_well(SharedMemory::create(&name, 4096), AlreadyExists, Some(libc::EEXIST));
    SharedMemory::unlink(&name).expect("it exists");
    for offset in [1, 2, 4093, 4096, usize::MAX] {
        reads_well(memory.word(offset), InvalidInput, None);
    }
    reads_well(SharedMemory::open_path("/nonexistent"), NotFound, Some(libc::ENOENT));
    reads_well(SharedMemory::anonymous(0), InvalidInput, None);
    reads_well(SharedMemory::from_fd(File::open("/dev/null").expect("it exists").into()), InvalidInput, None);
}

#[test]
fn errors_of_waits_and_reactors_read_well() {
    use io::ErrorKind::{BrokenPipe, InvalidInput, Unsupported};

    reads_well(Reactor::current(), Unsupported, None);
    reads_well(AsyncFutex::new(word()), Unsupported, None);
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async { reads_well(AsyncFutex::new(word()), Unsupported, None) });

    let core = futex_core::Reactor::builder().backend(Backend::Thread).build().expect("a reactor");
    core.close();
    let shared = futex_core::Word::from(word());
    reads_well(block_on(core.wait(&shared, 0)), BrokenPipe, None);
    reads_well(block_on(futex_core::WaitAny::new([futex_core::Target::new(&core, &shared, 0)])), BrokenPipe, None);
    reads_well(block_on(futex_core::WaitAny::new([])), InvalidInput, None);
    reads_well(block_on(wait_any::<Target<'_>>([])), InvalidInput, None);

    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let futex = runtime.block_on(async { AsyncFutex::new(word()) }).expect("a futex");
    drop(runtime);
    reads_well(block_on(futex.wait_async(0)), BrokenPipe, None);
    reads_well(block_on(futex.wait_async_owned(0)), BrokenPipe, None);
    reads_well(block_on(futex.wait_until(|value| value == 1)), BrokenPipe, None);
    reads_well(block_on(wait_any([(&futex, 0)])), BrokenPipe, None);

    let word = AtomicU32::new(0);
    let too_many: Vec<_> = (0..=MAX_WAITV).map(|_| WaitvEntry::new(&word, Scope::Private, 0)).collect();
    reads_well(waitv(&too_many, None), InvalidInput, None);
    reads_well(waitv(&[], None), InvalidInput, None);
}

#[test]
fn errors_about_a_truncated_page_read_well_and_have_their_cause() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(1 << 20).expect("a file");
    let word = SharedMemory::open_path(&file).expect("memory").word(1 << 19).expect("a word");
    file.as_file().set_len(4).expect("a file");
    let kind = io::Error::from_raw_os_error(libc::EFAULT).kind();
    reads_well(word.waiters(), kind, Some(libc::EFAULT));
}

#[test]
fn the_error_for_an_unknown_backend_reads_well_with_its_own_type_and_as_an_io_error() {
    let error: ParseBackendError = "epoll".parse::<Backend>().expect_err("`epoll` is not a backend");
    assert_eq!(format!("{error:?}"), error.to_string());
    assert_eq!(printed(&error), [error.to_string()]);
    reads_well(Err::<(), _>(error.into()), io::ErrorKind::InvalidInput, None);
}
