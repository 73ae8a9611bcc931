//! When GPUs were in use, by the clock.

use rustix::time::{ClockId, clock_gettime};
use std::io;

/// Nanoseconds of a clock that all processes share.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The jobs of one process: those that it has done, and possibly one in which it was killed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// Times at which the number of used GPUs changed, each with the change.
    changes: Vec<(u64, i64)>,
    /// Number of jobs that were done.
    pub(crate) done: u32,
    /// True if the process was killed during a job.
    pub(crate) was_killed_inside: bool,
}

impl Usage {
    /// Parses the output of a process that has ended. If it was killed, `killed` is a time shortly before that.
    ///
    /// The times of a job are taken after it got its permits and before it gave them back. If its process was killed, the job had its
    /// permits until the kill. So if a sum exceeds the number of permits, there were too many.
    pub(crate) fn parse(output: &str, killed: Option<u64>) -> io::Result<Self> {
        let mut usage = Self::default();
        let mut running = None;
        // A line that is not complete was about to be written when the process was killed.
        for line in output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let wrong = || io::Error::other(format!("a worker printed {line:?}"));
            let [what, n, time] = line.split(' ').collect::<Vec<_>>()[..] else { return Err(wrong()) };
            let (n, time): (i64, u64) = (n.parse().map_err(|_| wrong())?, time.parse().map_err(|_| wrong())?);
            match (what, running.take()) {
                ("begin", None) => {
                    usage.changes.push((time, n));
                    running = Some((time, n));
                }
                ("end", Some((_, began))) if began == n => {
                    usage.changes.push((time, -n));
                    usage.done += 1;
                }
                _ => return Err(wrong()),
            }
        }
        if let Some((begin, n)) = running {
            let killed = killed.ok_or_else(|| io::Error::other("a worker has ended in the middle of a job"))?;
            usage.changes.push((killed.max(begin), -n));
            usage.was_killed_inside = true;
        }
        Ok(usage)
    }

    /// The maximum number of GPUs that were in use at a time.
    pub(crate) fn peak(all: &[Self]) -> i64 {
        let mut changes: Vec<_> = all.iter().flat_map(|usage| &usage.changes).collect();
        // Of two changes at one time, the one that frees GPUs comes first.
        changes.sort_unstable();
        let mut used = 0;
        changes.into_iter().fold(0, |peak, (_, change)| {
            used += change;
            peak.max(used)
        })
    }
}
