//! Children of `fork`, and the values that they have from their parents.
#![expect(unsafe_code, reason = "fork")]

use crate::support::child::Process;
use crate::support::{sandbox, skip, until};
use futex_sys::__private::{Origin, PerProcess};
use futex_sys::SharedMemory;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, mpsc};
use std::thread;

/// Runs `child` in a fork of this process, and returns its result, which has at most seven bits.
///
/// The child has none of the other threads of this process, and their locks stay locked there. glibc keeps the allocator usable.
pub(crate) fn forked(child: impl FnOnce() -> u8) -> u8 {
    // SAFETY: The child runs only the closure, which is written for a fork of a process with threads, and then `_exit`, which
    // runs no exit handlers of this process.
    match unsafe { libc::fork() } {
        -1 => panic!("cannot fork: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: `alarm` has no obligations. SIGALRM ends a child that hangs, and then the test fails.
            unsafe { libc::alarm(20) };
            let bits = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(0x80);
            // SAFETY: `_exit` has no obligations.
            unsafe { libc::_exit(bits.into()) }
        }
        pid => {
            let mut status = 0;
            // SAFETY: The status may be written, and the child belongs to this process and is not reaped yet.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            assert!(libc::WIFEXITED(status), "the child was killed: {status:#x}");
            u8::try_from(libc::WEXITSTATUS(status)).expect("an exit status has eight bits")
        }
    }
}

/// Packs booleans into bits: `true` at index n sets bit n.
pub(crate) fn bits(all: &[bool]) -> u8 {
    all.iter().enumerate().fold(0, |bits, (index, &set)| bits | u8::from(set) << index)
}

#[test]
fn an_origin_distinguishes_a_fork_from_its_parent() {
    let parent = Origin::here();
    assert!(parent.is_here());
    let seen = forked(|| {
        let foreign = !parent.is_here();
        let child = Origin::here();
        let native = child.is_here() && Origin::here().is_here();
        bits(&[foreign, native, !parent.is_here()])
    });
    assert_eq!(seen, 0b111);
    assert!(parent.is_here() && Origin::here().is_here());
}

#[test]
fn an_origin_distinguishes_a_grandchild_from_its_parent_and_its_grandparent() {
    let first = Origin::here();
    let seen = forked(|| {
        let second = Origin::here();
        let of_grandchild = forked(|| {
            let third = Origin::here();
            bits(&[!first.is_here(), !second.is_here(), third.is_here()])
        });
        bits(&[of_grandchild == 0b111, second.is_here()])
    });
    assert_eq!(seen, 0b11);
}

/// Forks while another thread executes the first `Origin::here` of this process.
pub(crate) fn fork_within_the_first_origin() {
    static IS_INSIDE: AtomicBool = AtomicBool::new(false);

    extern "C" fn stay(_signal: libc::c_int) {
        IS_INSIDE.store(true, Ordering::Release);
        loop {
            // SAFETY: `pause` has no obligations, and signal-safety(7) allows it.
            unsafe { libc::pause() };
        }
    }

    // SAFETY: All zeroes is a valid `sigaction` with an empty mask and no flags.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = stay as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: The action is valid, and the handler stores to an atomic and sleeps.
    assert_eq!(unsafe { libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut()) }, 0);
    thread::spawn(|| {
        let wipe_on_fork = u32::try_from(libc::MADV_WIPEONFORK).expect("advice is positive");
        sandbox::trap_if(libc::SYS_madvise, 2, wipe_on_fork);
        Origin::here()
    });
    until("the thread is inside", || IS_INSIDE.load(Ordering::Acquire));

    let seen = forked(|| bits(&[Origin::here().is_here()]));
    assert_eq!(seen, 1);
    assert!(Origin::here().is_here());
}

#[test]
fn a_fork_gets_an_origin_while_another_thread_is_getting_the_first_one() {
    // Regression: the first caller made the page behind a lock. In the child, the lock stayed locked by a thread that the child
    // did not have.
    if !sandbox::is_supported() {
        return skip("no seccomp filters for this processor");
    }
    let memory = SharedMemory::anonymous(4096).unwrap();
    let status = Process::start("fork-within-the-first-origin", &memory).end();
    assert!(status.success(), "{status}");
}

#[test]
fn a_fork_gets_a_fresh_value_although_another_thread_held_the_lock() {
    // With a plain static, the child would wait for ever for a thread that it does not have.
    static NUMBER: PerProcess<Mutex<u32>> = PerProcess::new();

    let parents = NUMBER.get();
    let (locked, is_locked) = mpsc::channel();
    let (release, is_released) = mpsc::channel::<()>();
    let holder = thread::spawn(move || {
        let mut number = NUMBER.get().lock().unwrap();
        *number = 7;
        locked.send(()).unwrap();
        let _ = is_released.recv();
    });
    is_locked.recv().unwrap();

    let seen = forked(|| {
        let childs = NUMBER.get();
        let is_fresh = |number: &Mutex<u32>| number.try_lock().is_ok_and(|number| *number == 0);
        let of_child = [parents.try_lock().is_err(), is_fresh(childs), !ptr::eq(childs, parents)];
        *childs.lock().unwrap() = 8;
        let of_grandchild = forked(|| bits(&[is_fresh(NUMBER.get()), !ptr::eq(NUMBER.get(), childs)]));
        bits(&[of_child == [true; 3], of_grandchild == 0b11, *NUMBER.get().lock().unwrap() == 8])
    });
    assert_eq!(seen, 0b111);

    drop(release);
    holder.join().unwrap();
    assert!(ptr::eq(NUMBER.get(), parents));
    assert_eq!(*NUMBER.get().lock().unwrap(), 7);
}

#[test]
fn threads_that_race_for_the_value_of_their_process_get_the_same() {
    const ROUNDS: usize = 200;
    static MADE: AtomicUsize = AtomicUsize::new(0);
    static DROPPED: AtomicUsize = AtomicUsize::new(0);

    struct Counted;

    impl Default for Counted {
        fn default() -> Self {
            MADE.fetch_add(1, Ordering::Relaxed);
            thread::yield_now(); // so that other threads make a value meanwhile
            Self
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }

    for _ in 0..ROUNDS {
        let cell: &'static PerProcess<Counted> = Box::leak(Box::default());
        let barrier = Barrier::new(4);
        let gotten = thread::scope(|scope| {
            let threads = [(); 4].map(|()| {
                scope.spawn(|| {
                    barrier.wait();
                    ptr::from_ref(cell.get()).addr()
                })
            });
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(gotten, [gotten[0]; 4]);
    }
    let (made, dropped) = (MADE.load(Ordering::Relaxed), DROPPED.load(Ordering::Relaxed));
    assert_eq!(made - dropped, ROUNDS, "{made} were made and {dropped} dropped");
}

#[cfg(feature = "uring")]
#[test]
fn a_forked_child_is_refused_and_leaves_its_parents_ring_alone() {
    use crate::support::{arm, complete, ring, word};
    use futex_sys::futex::MATCH_ANY;
    use futex_sys::uring::Ending;

    let Some(mut ring) = ring() else { return };
    let [word, second] = [word(), word()];
    let id = arm(&mut ring, 0, &word);
    arm(&mut ring, 1, &second);
    assert_eq!(second.wake(1), 1); // the parent has a completion, which the child must not take

    let mut ring = Some(ring);
    let seen = forked(|| {
        let mut copy = ring.take().expect("a copy of the ring");
        let refused = |result: std::io::Result<()>| {
            result.is_err_and(|error| {
                error.kind() == std::io::ErrorKind::Unsupported
                    && error.to_string()
                        == "this io_uring belongs to the process that this one was forked from: open another one here"
            })
        };
        let all = [
            refused(copy.arm(2, word.clone(), 0, MATCH_ANY).map(drop)),
            refused(copy.cancel(id).map(drop)),
            refused(copy.submit()),
            refused(copy.wait()),
            copy.next_completion().is_none(),
            copy.pending() == 2,
        ];
        let mut closed = 0;
        copy.close(|_| closed += 1);
        drop(copy);
        bits(&[all.iter().all(|&right| right), closed == 0])
    });
    assert_eq!(seen, 0b11);

    // The waits of the parent are unchanged.
    let mut ring = ring.take().expect("the fork took its own copy");
    let completion = complete(&mut ring);
    assert!(completion.tag == Some(1) && matches!(completion.ending, Ending::Woken), "{completion:?}");
    assert_eq!(word.wake(1), 1);
    let completion = complete(&mut ring);
    assert!(completion.tag == Some(0) && matches!(completion.ending, Ending::Woken), "{completion:?}");
}

#[cfg(feature = "uring")]
#[test]
fn a_forked_child_can_open_a_ring_of_its_own() {
    use crate::support::{ring, word};
    use futex_sys::futex::MATCH_ANY;
    use futex_sys::uring::{Ending, FutexRing};

    if ring().is_none() {
        return;
    }
    let seen = forked(|| {
        let Ok(mut ring) = FutexRing::new() else { return 0 };
        let word = word();
        let armed = ring.arm(0, word.clone(), 0, MATCH_ANY).is_ok() && ring.submit().is_ok();
        let woken = word.wake(1) == 1 && ring.wait().is_ok();
        let ending = ring.next_completion().map(|completion| completion.ending);
        bits(&[armed, woken, matches!(ending, Some(Ending::Woken))])
    });
    assert_eq!(seen, 0b111);
}
