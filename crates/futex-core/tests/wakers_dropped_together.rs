//! Several wakers whose `Drop` panics, dropped together.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "a waker with a table of functions of its own")]

mod common;

use common::{reactor, word};
use futex_core::{Backend, Target, WaitAny};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::process::Command;
use std::task::{Context, RawWaker, RawWakerVTable, Waker};

static ORIGINAL: RawWakerVTable = RawWakerVTable::new(|data| RawWaker::new(data, &CLONE), |_| {}, |_| {}, |_| {});
static CLONE: RawWakerVTable =
    RawWakerVTable::new(|data| RawWaker::new(data, &CLONE), |_| {}, |_| {}, |_| panic!("the waker's drop"));

/// Each wait of a `WaitAny` has a clone of the waker. If the waits can't be armed, all clones are dropped. Regression: the second
/// clone panicked while the first panic unwound, which ended the process.
#[test]
fn wakers_whose_drops_panic_do_not_end_the_process_when_several_waits_fail() {
    const CHILD: &str = "FUTEX_TESTS_SEVERAL_DROPS";
    if std::env::var_os(CHILD).is_none() {
        let test = std::env::current_exe().expect("this program");
        let child = Command::new(test).env(CHILD, "1").output().expect("a child");
        assert!(child.status.success(), "{}: {}", child.status, String::from_utf8_lossy(&child.stderr));
        return;
    }
    let Some(reactor) = reactor(Backend::Thread) else { return };
    reactor.close();
    let words = [word(), word()];
    let target = |word| Target::new(&reactor, word, 0);
    let mut any = pin!(WaitAny::new(words.iter().map(target)));
    // SAFETY: The functions of the tables own nothing.
    let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &ORIGINAL)) };
    let _ = catch_unwind(AssertUnwindSafe(|| any.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()));
}
