//! The identity of a process, and waiting for its end.

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

/// The identity of a process: its pid, its start time, and its pid namespace.
///
/// The kernel reuses the pid of a process that has ended, so a pid alone does not show whether a peer still runs. A peer
/// publishes its `ProcessId` in shared memory. Another process calls [`open`](ProcessId::open) to check whether exactly that
/// process still runs, and to watch for its end.
///
/// # Publishing
///
/// 1. The peer stores the four [words](ProcessId::to_words) of its identity, with relaxed stores.
/// 2. The peer changes another word, the *state*, with a release store, and wakes the waiters of the state.
/// 3. Other processes load the state with acquire loads. When the state has changed, they load the four words.
///
/// Before a successor stores its own identity in the same place, it must reset the state. Otherwise another process may load
/// a mixture of both identities. [`open`](ProcessId::open) treats the mixture as the identity of a process that has ended.
///
/// # Limits
///
/// Two processes have the same identity if the second process gets the pid of the first, and both start within one clock tick
/// (1/100 s). The kernel assigns all other free pids first (by default there are 32,768 or more). So this happens only if
/// thousands of processes start within a tick, or if a privileged process chooses a pid.
///
/// An identity is valid until the system is rebooted. After checkpoint and restore, an identity is no longer valid.
///
/// # Examples
///
/// ```
/// # use futex_sys::{ProcessId, SharedMemory};
/// use std::array;
/// use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
///
/// let memory = SharedMemory::anonymous(4096)?;
/// let state = memory.word(0)?; // 0: no worker, 1: a worker is published
/// let identity = &memory.as_words()[1..5];
///
/// // The worker publishes itself.
/// for (word, value) in identity.iter().zip(ProcessId::current()?.to_words()) {
///     word.store(value, Relaxed);
/// }
/// state.store(1, Release);
/// state.wake(u32::MAX);
///
/// // The supervisor, another process, loads the identity.
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
    /// Start time of the process, in clock ticks (1/100 s) since boot.
    birth: u64,
    /// Inode of the pid namespace.
    namespace: NonZeroU32,
}

impl ProcessId {
    /// Returns the identity of the calling process. A child of `fork` has another identity. `exec` keeps the identity.
    ///
    /// # Errors
    ///
    /// `Unsupported` if there is no `/proc`, and in a time namespace other than the initial one, because `/proc` shows shifted
    /// start times there (`time_namespaces(7)`). Other kinds if the process has no descriptors or no memory left.
    pub fn current() -> io::Result<Self> {
        let namespace = proc_fs::pid_namespace()?;
        proc_fs::check_time_namespace()?;
        let birth = proc_fs::birth("self").map_err(|error| proc_fs::no_birth("self", error))?;
        Ok(Self { pid: getpid(), birth, namespace })
    }

    /// Returns the identity of the process that now has this pid, in the pid namespace of the caller.
    ///
    /// The caller must be sure that the pid still belongs to the intended process. The pid of a child is safe until the caller
    /// reaps (waits for) the child, even after the child has ended. A pid from shared memory is not safe: publish the
    /// [words](Self::to_words) instead.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such process (the identifier of a thread is not a pid). `InvalidInput` for 0 and for more
    /// than `i32::MAX`, which are not pids. `Unsupported` in the cases of [`current`](Self::current), and also if there is no
    /// `pidfd_open` (Linux before 5.3, or a sandbox) or if `/proc` hides the process (`hidepid`).
    pub fn from_pid(pid: u32) -> io::Result<Self> {
        let refused = || refuse(format!("{pid} is not the pid of a process: pids are between 1 and {}", i32::MAX));
        let checked = to_pid(pid).ok_or_else(refused)?;
        let namespace = proc_fs::pid_namespace()?;
        proc_fs::check_time_namespace()?;

        let gone = || {
            let sentence =
                format!("there is no process {pid}: it may have ended and been reaped, or {pid} is a thread");
            fail(io::ErrorKind::NotFound, sentence)
        };
        let process = Process::open(checked)?;
        let birth = process.birth(checked)?.ok_or_else(gone)?;
        Ok(Self { pid: checked, birth, namespace })
    }

    /// Returns the pid. If the process has ended, another process may have the same pid by now.
    #[must_use]
    pub fn pid(self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Converts the identity into four words for shared memory:
    ///
    /// 1. the pid,
    /// 2. the lower 32 bits of the start time in clock ticks (1/100 s) since boot, field 22 of `/proc/PID/stat`,
    /// 3. the upper 32 bits of the start time,
    /// 4. the number of the pid namespace, in the link `/proc/self/ns/pid`.
    ///
    /// The words are never all zero. A peer in another language can store and load the same words.
    #[must_use]
    pub fn to_words(self) -> [u32; 4] {
        let (low, high) = (self.birth as u32, (self.birth >> 32) as u32);
        [self.pid(), low, high, self.namespace.get()]
    }

    /// Converts four [words](Self::to_words) into an identity.
    ///
    /// Any values are safe here, also values that an untrusted peer wrote. [`open`](Self::open) checks whether they belong to a
    /// running process.
    ///
    /// # Errors
    ///
    /// `InvalidData` if no process can have these words, for instance if all four are zero, because the peer has not
    /// published itself yet.
    pub fn from_words(words: [u32; 4]) -> io::Result<Self> {
        let [pid, low, high, namespace] = words;
        let wrong = |what: &str| {
            let sentence = format!("the words {words:?} are not the identity of a process, {what}");
            Err(fail(io::ErrorKind::InvalidData, sentence))
        };
        if words == [0; 4] {
            return wrong(
                "because none was published yet: load the words after the peer has reported that it stored them",
            );
        }
        let Some(pid) = to_pid(pid) else { return wrong("because the first is not a pid") };
        let Some(namespace) = NonZeroU32::new(namespace) else {
            return wrong("because the last is not a pid namespace");
        };
        let birth = u64::from(high) << 32 | u64::from(low);
        if birth > i64::MAX as u64 {
            return wrong("because the second and the third are not a start time");
        }
        Ok(Self { pid, birth, namespace })
    }

    /// Opens a pidfd of the process, to watch for the end of the process. It is not an error if the process has already ended.
    ///
    /// # Errors
    ///
    /// After an error it is unknown whether the process runs.
    ///
    /// - `Unsupported` if the process published its identity in another pid namespace than the caller's, and in the cases of
    ///   [`from_pid`](Self::from_pid). To notice the end of such a peer, let the peer change a word regularly, and wait with a
    ///   timeout.
    /// - Other kinds if the calling process has no descriptors or no memory left.
    pub fn open(self) -> io::Result<Process> {
        proc_fs::check_pid_namespace(self.namespace)?;
        proc_fs::check_time_namespace()?;

        let process = Process::open(self.pid)?;
        // The birth belongs to the process of the pidfd: see `birth`. If it differs from the published birth, the pid was
        // reused, so the published process has ended.
        if process.birth(self.pid)? == Some(self.birth) {
            return Ok(process);
        }
        Ok(Process { pidfd: None })
    }
}

fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// A process whose end can be waited for (`pidfd_open(2)`). [`ProcessId::open`] returns it.
///
/// A process has ended when all of its threads have ended, for any reason. A process that has ended and is not reaped yet (a
/// *zombie*) counts as ended. A stopped process does not count as ended.
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
    /// The pidfd. `None` if the process had ended when it was opened.
    pidfd: Option<OwnedFd>,
}

impl Process {
    /// The process that now has this pid.
    fn open(pid: Pid) -> io::Result<Self> {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { pidfd: Some(pidfd) }),
            // There is no such process (ESRCH), or a thread of another process has the number by now (ENOENT, and EINVAL
            // before Linux 6.15).
            Err(Errno::SRCH | Errno::NOENT | Errno::INVAL) => Ok(Self { pidfd: None }),
            Err(errno) => Err(proc_fs::no_pidfd(pid.as_raw_nonzero(), errno)),
        }
    }

    /// The birth of the process. `None` if the process has ended and was reaped. `pid` is for messages.
    ///
    /// 1. Read from `/proc` which number the process of the pidfd has there.
    /// 2. Read the birth of the process with that number. If the process of the pidfd was reaped in between, this may be the
    ///    birth of another process.
    /// 3. Check in `/proc` that the process of the pidfd still has the number. If it has, it also had the number in step 2.
    fn birth(&self, pid: Pid) -> io::Result<Option<u64>> {
        let Some(pidfd) = self.pidfd() else { return Ok(None) };
        let Some(number) = proc_fs::number(pidfd)? else { return Ok(None) };
        let birth = proc_fs::birth(number);
        if proc_fs::number(pidfd)? != Some(number) {
            return Ok(None);
        }
        match birth {
            Ok(birth) => Ok(Some(birth)),
            // Linux before 5.5 does not report that the process was reaped.
            Err(_) if self.has_ended()? => Ok(None),
            Err(error) => Err(proc_fs::no_birth(pid.as_raw_nonzero(), error)),
        }
    }

    /// Returns true if the process has ended.
    ///
    /// # Errors
    ///
    /// The errors of `poll(2)`. The only known error occurs if `RLIMIT_NOFILE` is zero.
    pub fn has_ended(&self) -> io::Result<bool> {
        self.wait(Some(Duration::ZERO))
    }

    /// Blocks the thread until the process has ended or `timeout` has passed. If `timeout` is `None`, waits as long as the
    /// process runs. Returns true if the process has ended. Signals do not end the wait.
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

    /// Returns the pidfd, which is readable (for `poll`) once the process has ended. Returns `None` if the process had already
    /// ended when [`ProcessId::open`] was called.
    ///
    /// The pidfd is for an event loop: use it only with `poll` and `epoll`. It is closed on `exec`.
    #[must_use]
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(|pidfd| pidfd.as_fd())
    }

    /// Returns the [`pidfd`](Self::pidfd) as an owned descriptor.
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
    fn a_process_that_was_opened_and_then_reaped_has_no_birth() {
        let (mut child, pid) = sleeper();
        let process = Process::open(pid).unwrap();
        let birth = process.birth(pid).unwrap();
        assert!(birth.is_some());
        child.kill().unwrap();
        assert!(process.wait(None).unwrap());
        assert_eq!(process.birth(pid).unwrap(), birth, "a zombie keeps its birth");
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
