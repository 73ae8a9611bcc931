//! An operation that need not wait, and for which no other one waits, makes no system call.
//!
//! The operations run in a thread in which the kernel ends the process at any other system call than those of the memory allocator.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use futex_ipc::{AutoEvent, Barrier, Condvar, ManualEvent, Mutex, OnceCell, Region, RwLock, Semaphore};
use futex_tests::{in_its_own_process, until};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

/// A group of operations, with a name for the message of a failure.
type Operation = (&'static str, Box<dyn Fn() + Send>);

/// From now on, the kernel ends the process when this thread makes a system call. It may allocate memory, write to standard error,
/// and read the clock (on some machines that is a system call).
fn forbid_system_calls() {
    let allocator = [libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_madvise];
    let mut rules: BTreeMap<_, _> = allocator.into_iter().map(|call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_clock_gettime, Vec::new());
    let to_stderr = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 2).unwrap();
    rules.insert(libc::SYS_write, vec![SeccompRule::new(vec![to_stderr]).unwrap()]);
    let (other, listed) = (SeccompAction::KillProcess, SeccompAction::Allow);
    let filter = SeccompFilter::new(rules, other, listed, std::env::consts::ARCH.try_into().unwrap()).unwrap();
    apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

/// Runs the operations twice: without the filter, so that what is made once is there, and with it.
#[track_caller]
fn without_system_calls(operations: Vec<Operation>) {
    static IS_DONE: AtomicBool = AtomicBool::new(false);
    let thread = std::thread::spawn(move || {
        operations.iter().for_each(|(_, run)| run());
        forbid_system_calls();
        for (name, run) in &operations {
            // In one write, which is allowed.
            let _ = std::io::stderr().write_all(format!("next: {name}\n").as_bytes());
            run();
        }
        IS_DONE.store(true, Release);
        // The end of a thread needs system calls. The process ends without it.
        loop {
            std::hint::spin_loop();
        }
    });
    until(|| {
        assert!(!thread.is_finished(), "an operation failed");
        IS_DONE.load(Acquire)
    });
}

fn operation(name: &'static str, run: impl Fn() + Send + 'static) -> Operation {
    (name, Box::new(run))
}

/// The objects of a member, while another member is there that does nothing.
fn operations() -> Vec<Operation> {
    let region = Region::builder().anonymous().unwrap();
    // It has to live as long as the process.
    std::mem::forget(Region::builder().from_fd(region.share().unwrap()).unwrap());
    let mutex = Mutex::create(&region, "mutex", [1_u64; 5]).unwrap();
    let rwlock = RwLock::create(&region, "rwlock", [1_u64; 5]).unwrap();
    let semaphore = Semaphore::create(&region, "semaphore", 3).unwrap();
    let manual = ManualEvent::create(&region, "manual").unwrap();
    let automatic = AutoEvent::create(&region, "automatic").unwrap();
    let cell = OnceCell::<u64>::create(&region, "cell").unwrap();
    let barrier = Barrier::create(&region, "barrier").unwrap();
    let condvar = Condvar::create(&region, "condvar").unwrap();
    let mut stream = region.watch_members().unwrap();
    while stream.try_next().unwrap().is_some() {}
    let far = || Instant::now() + Duration::from_secs(60);
    vec![
        operation("a mutex", move || {
            let mut guard = mutex.blocking_lock().unwrap();
            guard[0] += 1;
            guard.commit();
            assert!(!mutex.try_lock().unwrap().unwrap().predecessor_died());
            mutex.blocking_update(|value| value[0] += 1).unwrap();
            drop(mutex.blocking_lock_deadline(far()).unwrap());
        }),
        operation("a read-write lock", move || {
            let first = rwlock.blocking_read().unwrap();
            let second = rwlock.try_read().unwrap().unwrap();
            drop((first, second));
            drop(rwlock.blocking_read_deadline(far()).unwrap());
            rwlock.blocking_write().unwrap().commit();
            drop(rwlock.try_write().unwrap().unwrap());
            drop(rwlock.blocking_write_deadline(far()).unwrap());
            rwlock.blocking_update(|value| value[0] += 1).unwrap();
        }),
        operation("a semaphore", move || {
            let one = semaphore.blocking_acquire().unwrap();
            let two = semaphore.try_acquire_many(2).unwrap().unwrap();
            drop((one, two));
            drop(semaphore.blocking_acquire_many_deadline(3, far()).unwrap());
            semaphore.add_permits(1).unwrap();
            semaphore.try_acquire().unwrap().unwrap().forget();
            assert_eq!([semaphore.available_permits().unwrap(), semaphore.capacity().unwrap()], [3, 3]);
        }),
        operation("an event with manual reset", move || {
            assert!(manual.set().unwrap());
            manual.blocking_wait().unwrap();
            manual.blocking_wait_deadline(far()).unwrap();
            assert!(manual.is_set().unwrap() && manual.reset().unwrap());
        }),
        operation("an event with automatic reset", move || {
            automatic.set().unwrap();
            automatic.blocking_wait().unwrap();
            automatic.set().unwrap();
            assert!(automatic.is_set().unwrap() && automatic.try_wait().unwrap());
        }),
        operation("a cell", move || {
            assert_eq!(cell.blocking_get_or_init(|| 7).unwrap(), 7);
            assert_eq!(cell.get().unwrap(), Some(7));
        }),
        operation("a barrier", move || {
            // Another task has not arrived, so the phase does not end.
            let [mut first, second] = [(); 2].map(|()| barrier.attach().unwrap());
            assert!(first.try_arrive_and_wait().unwrap().is_none());
            drop((first, second));
        }),
        operation("a condition variable", move || {
            condvar.notify_one().unwrap();
            condvar.notify_all().unwrap();
        }),
        operation("the member", move || {
            assert!(region.me().unwrap().is_me());
            assert_eq!(region.stats().rechecks_that_found, 0);
        }),
    ]
}

#[test]
fn an_operation_that_need_not_wait_makes_no_system_call() {
    in_its_own_process("an_operation_that_need_not_wait_makes_no_system_call", || without_system_calls(operations()));
}

/// Otherwise the other test proves nothing.
#[test]
#[should_panic(expected = "next: a bare wake")]
fn a_wake_of_nobody_is_a_system_call_that_this_test_detects() {
    in_its_own_process("a_wake_of_nobody_is_a_system_call_that_this_test_detects", || {
        let memory = futex_sys::SharedMemory::anonymous(4096).unwrap();
        let word = memory.word(0).unwrap();
        without_system_calls(vec![operation("a bare wake", move || assert_eq!(word.wake_all(), 0))]);
    });
}

#[cfg(feature = "tokio")]
#[test]
fn the_first_poll_of_a_task_that_need_not_wait_makes_no_system_call() {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn ready<T>(future: impl Future<Output = std::io::Result<T>>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.unwrap(),
            Poll::Pending => panic!("the operation waits"),
        }
    }

    in_its_own_process("the_first_poll_of_a_task_that_need_not_wait_makes_no_system_call", || {
        let region = Region::builder().anonymous().unwrap();
        let mutex = Mutex::create(&region, "mutex", 1_u64).unwrap();
        let rwlock = RwLock::create(&region, "rwlock", 1_u64).unwrap();
        let semaphore = Semaphore::create(&region, "semaphore", 3).unwrap();
        let manual = ManualEvent::create(&region, "manual").unwrap();
        let automatic = AutoEvent::create(&region, "automatic").unwrap();
        let cell = OnceCell::<u64>::create(&region, "cell").unwrap();
        without_system_calls(vec![
            operation("a mutex", move || {
                ready(mutex.lock()).commit();
                ready(mutex.update(|value| *value += 1));
            }),
            operation("a read-write lock", move || {
                drop(ready(rwlock.read()));
                ready(rwlock.write()).commit();
            }),
            operation("a semaphore", move || drop(ready(semaphore.acquire_many(3)))),
            operation("an event with manual reset", move || {
                manual.set().unwrap();
                ready(manual.wait());
            }),
            operation("an event with automatic reset", move || {
                automatic.set().unwrap();
                ready(automatic.wait());
            }),
            operation("a cell", move || assert_eq!(ready(cell.get_or_init(async || 7)), 7)),
        ]);
    });
}
