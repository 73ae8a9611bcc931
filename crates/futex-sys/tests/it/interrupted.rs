//! Signals that interrupt a wait.
#![expect(unsafe_code, reason = "std has no signals")]

use crate::support::{mask, skip, until, until_waiters, word};
use futex_sys::futex::{self, MATCH_ANY, Scope, WaitOutcome, WaitvEntry, WaitvOutcome, waitv};
use futex_sys::{Deadline, ProcessId, SharedMemory, Word};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Number of handled signals. Tests that use it hold the lock of [`signals`].
static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn handle(_signal: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// Installs a handler of SIGUSR1 without `SA_RESTART`, for one test at a time.
fn signals() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: All zeroes is a valid `sigaction` with an empty mask and no flags.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: The action is valid, and the handler only adds to an atomic, which signal-safety(7) allows.
    let set = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
    assert_eq!(set, 0);
    guard
}

/// A thread that can receive signals.
struct Target<T> {
    thread: JoinHandle<T>,
    pthread: libc::pthread_t,
}

impl<T: Send + 'static> Target<T> {
    fn spawn(body: impl FnOnce() -> T + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            // SAFETY: `pthread_self` has no obligations.
            sender.send(unsafe { libc::pthread_self() }).expect("the test waits for it");
            body()
        });
        Self { thread, pthread: receiver.recv().expect("the thread sends it") }
    }

    /// Sends a signal. It has no effect if the thread has ended.
    fn signal(&self) {
        // SAFETY: The thread was not joined, so its identifier is valid, even if the thread has ended.
        let _ = unsafe { libc::pthread_kill(self.pthread, libc::SIGUSR1) };
    }

    /// Sends a signal and waits until it was handled.
    fn interrupt(&self) {
        let before = HANDLED.load(Ordering::Relaxed);
        self.signal();
        until("the signal was handled", || HANDLED.load(Ordering::Relaxed) > before);
    }
}

/// Interrupts a wait on `word` a hundred times, wakes it, and returns its result.
fn interrupted<T: Send + 'static>(word: &Word, wait: impl FnOnce(&Word) -> T + Send + 'static) -> T {
    let _signals = signals();
    let target = Target::spawn({
        let word = word.clone();
        move || wait(&word)
    });
    for _ in 0..100 {
        until_waiters(word, Scope::Shared, 1); // so that the signal comes during the wait
        target.interrupt();
    }
    until("the waiter is woken", || word.wake(1) == 1);
    target.thread.join().expect("the waiter")
}

#[test]
fn the_signals_of_these_tests_do_interrupt_a_raw_wait() {
    let _signals = signals();
    let word = word();
    let target = Target::spawn({
        let word = word.clone();
        move || rustix::thread::futex::wait(&word, rustix::thread::futex::Flags::empty(), 0, None)
    });
    until_waiters(&word, Scope::Shared, 1);
    target.interrupt();
    assert_eq!(target.thread.join().unwrap(), Err(rustix::io::Errno::INTR));
}

#[test]
fn a_wait_goes_on_after_a_signal() {
    let outcome = interrupted(&word(), |word| futex::wait(word, Scope::Shared, 0, MATCH_ANY, None).unwrap());
    assert_eq!(outcome, WaitOutcome::Woken);
}

#[test]
fn a_wait_with_a_timeout_goes_on_after_a_signal() {
    let outcome = interrupted(&word(), |word| word.wait(0, Some(Duration::from_secs(3600))).unwrap());
    assert_eq!(outcome, WaitOutcome::Woken);
}

#[test]
fn a_wait_with_a_deadline_or_a_mask_goes_on_after_a_signal() {
    let far = || Instant::now() + Duration::from_secs(3600);
    assert_eq!(interrupted(&word(), move |word| word.wait_deadline(0, far()).unwrap()), WaitOutcome::Woken);
    assert_eq!(interrupted(&word(), |word| word.wait_masked(0, mask(0b100), None).unwrap()), WaitOutcome::Woken);
    let deadline = Some(Deadline::from(far()));
    assert_eq!(interrupted(&word(), move |word| word.wait_masked(0, mask(1), deadline).unwrap()), WaitOutcome::Woken);
}

#[test]
fn waitv_goes_on_after_a_signal() {
    if waitv(&[WaitvEntry::new(&word(), Scope::Shared, 1)], None).map_err(skip).is_err() {
        return;
    }
    let outcome = interrupted(&word(), |word| waitv(&[WaitvEntry::new(word, Scope::Shared, 0)], None).unwrap());
    assert_eq!(outcome, WaitvOutcome::Woken(0));
}

#[cfg(feature = "uring")]
#[test]
fn a_ring_waits_on_after_a_signal() {
    use crate::support::{arm, ring};
    use futex_sys::uring::Ending;

    let Some(mut ring) = ring() else { return };
    let ending = interrupted(&word(), move |word| {
        arm(&mut ring, 0, word);
        ring.wait().unwrap();
        ring.next_completion().unwrap().ending
    });
    assert!(matches!(ending, Ending::Woken), "{ending:?}");
}

/// A timer that sends SIGUSR1 to the calling thread a thousand times per second, like a profiler, until it is dropped.
struct Timer(libc::timer_t);

impl Timer {
    fn start() -> Self {
        // SAFETY: All zeroes is a valid `sigevent`, and a valid `itimerspec`.
        let (mut event, mut spec): (libc::sigevent, libc::itimerspec) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGUSR1;
        // SAFETY: `gettid` has no obligations.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        spec.it_interval.tv_nsec = 1_000_000;
        spec.it_value.tv_nsec = 1_000_000;
        let mut timer = std::ptr::null_mut();
        // SAFETY: The event is valid, and the timer may be written.
        assert_eq!(unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) }, 0);
        // SAFETY: The timer was just made, and the times are valid.
        assert_eq!(unsafe { libc::timer_settime(timer, 0, &raw const spec, std::ptr::null_mut()) }, 0);
        Self(timer)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: `start` made the timer, and nothing else deletes it.
        let _ = unsafe { libc::timer_delete(self.0) };
    }
}

#[test]
fn memory_is_made_under_a_profilers_timer() {
    // On some kernels a signal ends a `fallocate` and the kernel frees its pages again. There, one call for all of this memory
    // would never succeed. `reserved::memory_is_reserved_with_and_without_fallocate` simulates such a kernel.
    const LEN: usize = 256 << 20;

    let _signals = signals();
    let _timer = Timer::start();
    let before = HANDLED.load(Ordering::Relaxed);
    let memory = SharedMemory::anonymous(LEN).unwrap();
    assert!(rustix::fs::fstat(&memory).unwrap().st_blocks * 512 >= i64::try_from(LEN).unwrap());
    assert!(HANDLED.load(Ordering::Relaxed) > before, "no signal came while the memory was made");
}

#[test]
fn signals_do_not_move_a_deadline() {
    let _signals = signals();
    let word = word();
    let start = Instant::now();
    let target = Target::spawn({
        let word = word.clone();
        move || {
            futex::wait(&word, Scope::Shared, 0, MATCH_ANY, Some(Deadline::after(Duration::from_millis(200)))).unwrap()
        }
    });
    // Signals arrive without end. A wait that restarted its timeout after each signal would not end.
    while !target.thread.is_finished() {
        assert!(start.elapsed() < Duration::from_secs(30), "the signals moved the deadline");
        target.signal();
        thread::yield_now();
    }
    assert_eq!(target.thread.join().unwrap(), WaitOutcome::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(200));
}

/// Interrupts a sleeping call on a thread a hundred times, and ends the call by `end`. Returns the result of the call.
fn interrupted_asleep<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static, end: impl FnOnce()) -> T {
    let _signals = signals();
    let (sender, tid) = mpsc::channel();
    let target = Target::spawn(move || {
        sender.send(rustix::thread::gettid()).expect("the test waits for it");
        call()
    });
    let stat = format!("/proc/self/task/{}/stat", tid.recv().expect("the thread sends it").as_raw_nonzero());
    for _ in 0..100 {
        until("the thread sleeps", || {
            let stat = std::fs::read_to_string(&stat).expect("a running thread");
            stat[stat.rfind(')').expect("a name")..].starts_with(") S")
        });
        target.interrupt();
    }
    end();
    target.thread.join().expect("the thread")
}

#[test]
fn waiting_for_the_end_of_a_process_goes_on_after_a_signal() {
    for timeout in [None, Some(Duration::from_secs(3600))] {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let process = ProcessId::from_pid(child.id()).unwrap().open().unwrap();
        let has_ended = interrupted_asleep(move || process.wait(timeout).unwrap(), || child.kill().unwrap());
        assert!(has_ended);
        child.wait().unwrap();
    }
}

#[test]
fn receiving_memory_goes_on_after_a_signal() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let memory = SharedMemory::anonymous(4096).unwrap();
    let received = interrupted_asleep(move || SharedMemory::receive(theirs).unwrap(), || memory.send(&ours).unwrap());
    assert!(received.word(0).unwrap().same_word(&memory.word(0).unwrap()));
}
