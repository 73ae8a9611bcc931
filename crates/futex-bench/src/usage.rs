//! What a process uses, as the kernel tells it.

use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::io;

/// Nanoseconds of processor time that the threads of another process have used.
pub(crate) fn cpu_time(process: u32) -> io::Result<f64> {
    let mut total = 0.0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let figures = fs::read_to_string(thread?.path().join("schedstat"))?;
        total += figures.split(' ').next().and_then(|first| first.parse::<f64>().ok()).unwrap_or(0.0);
    }
    Ok(total)
}

/// Nanoseconds of processor time that this process has used.
pub(crate) fn own_cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Number of descriptors that this process has open.
pub(crate) fn descriptors() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}

/// Bytes of io_uring's rings that this process has mapped.
pub(crate) fn ring_bytes() -> io::Result<f64> {
    let mut total = 0.0;
    let mut inside = false;
    for line in fs::read_to_string("/proc/self/smaps")?.lines() {
        if let Some(kilobytes) = line.strip_prefix("Rss:").filter(|_| inside) {
            total += kilobytes_in(kilobytes) * 1024.0;
        } else if line.split(' ').next().is_some_and(|first| first.contains('-')) {
            inside = line.ends_with("[io_uring]");
        }
    }
    Ok(total)
}

/// Bytes that the kernel's slab caches take, of the whole system. `None` where they can't be read.
pub(crate) fn slab_bytes() -> Option<f64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("SUnreclaim:"))?;
    Some(kilobytes_in(line) * 1024.0)
}

fn kilobytes_in(line: &str) -> f64 {
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0.0)
}
