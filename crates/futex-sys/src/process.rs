//! The end of another process.

use crate::deadline::Deadline;
use crate::error::{explain, fail, refuse};
use crate::proc_fs;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};
use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The identity of a process: its pid, the time of its start, and its pid namespace.
///
/// The kernel uses the pid of a process again after the process has ended, so a pid alone does not say whether a peer
/// still runs. A peer publishes its `ProcessId` in shared memory. [`open`](ProcessId::open) finds out whether that very
/// process still runs, and watches for its end.
///
/// # Publishing
///
/// The peer stores the four [words](ProcessId::to_words) of its identity with relaxed stores. Then it changes another
/// word, the *state*, with a release store, and wakes the waiters of the state. Other processes load the four words
/// after an acquire load of the state has shown that they are there.
///
/// If a successor stores its own identity in the same place, the state has to say "nobody" meanwhile: a mixture of the
/// words of two processes is taken for a process that has ended.
///
/// # Limits
///
/// Two processes have the same identity if the second one starts within the same clock tick (1/100 s) as the first,
/// after the first has ended, and gets its pid. The kernel gives out all other free pids before it uses one again (by
/// default there are 32,768 or more), so that takes thousands of new processes within a tick, or a privileged process
/// that chooses a pid.
///
/// An identity is valid until the system starts again. It does not survive a checkpoint.
///
/// # Examples
///
/// ```
/// # use futex_sys::{ProcessId, SharedMemory};
/// use std::array;
/// use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
///
/// let memory = SharedMemory::anonymous(4096)?;
/// let state = memory.word(0)?; // 0: nobody, 1: a worker is at work
/// let identity = &memory.as_words()[1..5];
///
/// // The worker publishes itself,
/// for (word, value) in identity.iter().zip(ProcessId::current()?.to_words()) {
///     word.store(value, Relaxed);
/// }
/// state.store(1, Release);
/// state.wake(u32::MAX);
///
/// // and its supervisor, another process, reads that.
/// while state.load(Acquire) == 0 {
///     state.wait(0, None)?;
/// }
/// let worker = ProcessId::from_words(array::from_fn(|index| identity[index].load(Relaxed)))?;
/// let worker = worker.open()?;
/// assert!(!worker.has_ended()?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessId {
    pid: Pid,
    /// Clock ticks (1/100 s) from the start of the system to that of the process.
    birth: u64,
    /// The inode of the pid namespace.
    namespace: NonZeroU32,
}

impl ProcessId {
    /// The identity of the calling process. A child of `fork` has another one; `exec` does not change it.
    ///
    /// # Errors
    ///
    /// `Unsupported` if there is no `/proc`, and in a time namespace other than the initial one: there the times of start
    /// that `/proc` shows are shifted (`time_namespaces(7)`). Others if descriptors or memory ran
    /// out.
    pub fn current() -> io::Result<Self> {
        let namespace = proc_fs::pid_namespace()?;
        proc_fs::check_time_namespace()?;
        let birth = proc_fs::birth("self").map_err(|error| proc_fs::no_birth("self", error))?;
        Ok(Self { pid: getpid(), birth, namespace })
    }

    /// The identity of the process that has this pid now, in the pid namespace of the caller.
    ///
    /// The caller has to know that the pid still belongs to the process that it means. It knows that for its own child
    /// until it reaps (waits for) the child, even if the child has ended. It does not know that for a pid that it has read
    /// in shared memory: publish the [words](Self::to_words) there.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such process. (A thread's identifier is not a process's.) `InvalidInput` for 0 and for
    /// more than `i32::MAX`, which are not pids. `Unsupported` as for [`current`](Self::current), and if there is no
    /// `pidfd_open` (Linux before 5.3, or a sandbox) or `/proc` hides the process (`hidepid`).
    pub fn from_pid(pid: u32) -> io::Result<Self> {
        let refused = || refuse(format!("{pid} is not the pid of a process: pids are between 1 and {}", i32::MAX));
        let checked = to_pid(pid).ok_or_else(refused)?;
        let namespace = proc_fs::pid_namespace()?;
        proc_fs::check_time_namespace()?;

        let gone = || {
            let sentence = format!("there is no process {pid}: it may have ended and been waited for, or be a thread");
            fail(io::ErrorKind::NotFound, sentence)
        };
        let process = Process::open(checked)?;
        let birth = process.birth(checked)?.ok_or_else(gone)?;
        Ok(Self { pid: checked, birth, namespace })
    }

    /// The pid. If the process has ended, another one may have it by now.
    #[must_use]
    pub fn pid(self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The identity as words for shared memory: the pid; the lower and then the upper 32 bits of the time of the start,
    /// in clock ticks (1/100 s) since the system started, which is field 22 of `/proc/PID/stat`; the number of the pid
    /// namespace, which is in the link `/proc/self/ns/pid`.
    ///
    /// They are never all zero. A peer in another language writes and reads the same words.
    #[must_use]
    pub fn to_words(self) -> [u32; 4] {
        let (low, high) = (self.birth as u32, (self.birth >> 32) as u32);
        [self.pid(), low, high, self.namespace.get()]
    }

    /// The identity that these [words](Self::to_words) stand for.
    ///
    /// Any words may be given, also those of memory that a peer writes to. [`open`](Self::open) finds out whether they
    /// belong to a process that runs.
    ///
    /// # Errors
    ///
    /// `InvalidData` if no process has such words. Before a peer publishes itself in new memory, all four are zero.
    pub fn from_words(words: [u32; 4]) -> io::Result<Self> {
        let [pid, low, high, namespace] = words;
        let wrong = |what: &str| {
            let sentence = format!("the words {words:?} are not the identity of a process, {what}");
            Err(fail(io::ErrorKind::InvalidData, sentence))
        };
        if words == [0; 4] {
            return wrong("as none was published there yet: read them after the peer has said that they are there");
        }
        let Some(pid) = to_pid(pid) else { return wrong("because the first is not a pid") };
        let Some(namespace) = NonZeroU32::new(namespace) else {
            return wrong("because the last is not a pid namespace");
        };
        let birth = u64::from(high) << 32 | u64::from(low);
        if birth > i64::MAX as u64 {
            return wrong("because the second and the third are not the time of a start");
        }
        Ok(Self { pid, birth, namespace })
    }

    /// Opens a pidfd of the process to watch for its end. It is not an error if the process has ended.
    ///
    /// # Errors
    ///
    /// An error says nothing about whether the process runs. `Unsupported` if the process was published in another pid
    /// namespace than that of the caller, and if there is no `/proc` or no `pidfd_open`, as for [`from_pid`](Self::from_pid). To
    /// notice the end of such a peer, let it change a word regularly, and wait with a timeout. Others if no descriptors or
    /// no memory are left.
    pub fn open(self) -> io::Result<Process> {
        proc_fs::check_pid_namespace(self.namespace)?;
        proc_fs::check_time_namespace()?;

        let process = Process::open(self.pid)?;
        // The birth that was read belongs to the process of the pidfd: see `birth`. If it is not the published one, the
        // pid was used again, so the published process has ended.
        if process.birth(self.pid)? == Some(self.birth) {
            return Ok(process);
        }
        Ok(Process { pidfd: None })
    }
}

fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// A process whose end can be waited for (`pidfd_open(2)`). From [`ProcessId::open`].
///
/// A process has ended when all of its threads have, whatever the cause. A process that has ended and was not reaped
/// yet (a *zombie*) counts as ended. A stopped process does not.
///
/// # Examples
///
/// ```
/// # use futex_sys::ProcessId;
/// use std::process::Command;
/// use std::time::Duration;
///
/// let mut child = Command::new("sleep").arg("1000").spawn()?;
/// let process = ProcessId::from_pid(child.id())?.open()?;
/// assert!(!process.wait(Some(Duration::from_millis(1)))?);
///
/// child.kill()?;
/// assert!(process.wait(None)?);
/// child.wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Process {
    /// `None` if the process had ended when it was opened.
    pidfd: Option<OwnedFd>,
}

impl Process {
    /// The process that has this pid now.
    fn open(pid: Pid) -> io::Result<Self> {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { pidfd: Some(pidfd) }),
            // There is none, or a thread of another process has the number by now. The kernel says ENOENT for that, and
            // before Linux 6.15 EINVAL.
            Err(Errno::SRCH | Errno::NOENT | Errno::INVAL) => Ok(Self { pidfd: None }),
            Err(errno) => Err(proc_fs::no_pidfd(pid.as_raw_nonzero(), errno)),
        }
    }

    /// The birth of the process, or `None` if it has ended and was reaped. `pid` is for messages.
    ///
    /// 1. `/proc` says which number it has for the process of the pidfd.
    /// 2. The birth of that number is read. If the process was reaped in between, it may be that of another process.
    /// 3. `/proc` says that the process of the pidfd still has the number, so it had it in step 2.
    fn birth(&self, pid: Pid) -> io::Result<Option<u64>> {
        let Some(pidfd) = self.pidfd() else { return Ok(None) };
        let Some(number) = proc_fs::number(pidfd)? else { return Ok(None) };
        let birth = proc_fs::birth(number);
        if proc_fs::number(pidfd)? != Some(number) {
            return Ok(None);
        }
        match birth {
            Ok(birth) => Ok(Some(birth)),
            // Linux before 5.5 does not say that the number is gone.
            Err(_) if self.has_ended()? => Ok(None),
            Err(error) => Err(proc_fs::no_birth(pid.as_raw_nonzero(), error)),
        }
    }

    /// Returns true if the process has ended.
    ///
    /// # Errors
    ///
    /// Those of `poll(2)`. None is known to happen unless `RLIMIT_NOFILE` is zero.
    pub fn has_ended(&self) -> io::Result<bool> {
        self.wait(Some(Duration::ZERO))
    }

    /// Blocks the thread until the process has ended, or until `timeout` has passed; without a timeout, for as long as the
    /// process runs. Returns true if the process has ended. Signals do not interrupt it.
    ///
    /// # Errors
    ///
    /// Those of [`has_ended`](Self::has_ended).
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let Some(pidfd) = &self.pidfd else { return Ok(true) };
        let deadline = timeout.map(Deadline::after);
        loop {
            let remaining = deadline.map(Deadline::remaining);
            match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], remaining.as_ref()) {
                Ok(ready) => return Ok(ready != 0),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(explain(errno, "cannot poll the pidfd of a process")),
            }
        }
    }

    /// The pidfd, which polls readable once the process has ended. `None` if it had ended already when it was opened.
    ///
    /// It is for an event loop: use it with `poll` and `epoll` only. It is closed on `exec`.
    #[must_use]
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(|pidfd| pidfd.as_fd())
    }

    /// The [`pidfd`](Self::pidfd) itself. Dropping it closes it.
    #[must_use]
    pub fn into_pidfd(self) -> Option<OwnedFd> {
        self.pidfd
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("pidfd", &self.pidfd)
            .field("has_ended", &self.has_ended().unwrap_or(false))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn sleeper() -> (Child, Pid) {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_child(&child);
        (child, pid)
    }

    #[test]
    fn a_process_that_is_reaped_after_it_was_opened_has_no_birth_any_more() {
        let (mut child, pid) = sleeper();
        let process = Process::open(pid).unwrap();
        let birth = process.birth(pid).unwrap();
        assert!(birth.is_some());
        child.kill().unwrap();
        assert!(process.wait(None).unwrap());
        assert_eq!(process.birth(pid).unwrap(), birth, "a zombie has the birth that it had");
        child.wait().unwrap();
        assert_eq!(process.birth(pid).unwrap(), None);
    }

    #[test]
    fn a_timeout_beyond_the_clock_means_practically_never() {
        let (mut child, pid) = sleeper();
        let process = Process::open(pid).unwrap();
        let killer = std::thread::spawn(move || {
            child.kill().unwrap();
            child.wait().unwrap();
        });
        assert!(process.wait(Some(Duration::MAX)).unwrap());
        killer.join().unwrap();
    }
}
