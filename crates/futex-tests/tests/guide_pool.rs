//! The guide's pool of workers. The tests kill a worker and then the parent.

use futex_tests::without_a_hang;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

const POOL: &str = env!("CARGO_BIN_EXE_guide_pool");

/// Starts a parent. Returns it, and the lines that it and its workers print. They have the same standard output.
fn start(jobs: u32) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut parent = Command::new(POOL).arg(jobs.to_string()).stdout(Stdio::piped()).spawn().expect("a pool");
    let output = parent.stdout.take().expect("a pipe");
    (parent, BufReader::new(output).lines())
}

/// Returns the number in a line such as `job 7 is done`.
fn job(line: &str) -> Option<u32> {
    line.strip_prefix("job ")?.strip_suffix(" is done")?.parse().ok()
}

/// Returns the process in a line such as `worker 0 is process 4711`.
fn process(line: &str) -> Option<i32> {
    line.strip_prefix("worker 0 is process ")?.parse().ok()
}

#[test]
fn a_pool_does_each_job_and_ends() {
    without_a_hang(|| {
        let (mut parent, lines) = start(100);
        let done: BTreeSet<_> = lines.map(|line| line.expect("a line")).filter_map(|line| job(&line)).collect();
        assert!(done.into_iter().eq(1..=100));
        assert!(parent.wait().expect("the parent ends").success());
    });
}

#[test]
fn a_killed_worker_is_replaced_and_a_killed_parent_leaves_no_worker() {
    without_a_hang(|| {
        let (mut parent, lines) = start(1 << 30);
        let mut lines = lines.map(|line| line.expect("a line"));
        let (mut done, mut ended) = (BTreeSet::new(), false);
        let mut next_worker = || {
            lines.find_map(|line| {
                done.extend(job(&line));
                ended |= line == "a worker has ended: signal: 9 (SIGKILL)";
                process(&line)
            })
        };
        let worker = next_worker().expect("a worker");
        kill_process(Pid::from_raw(worker).expect("it is not 0"), Signal::KILL).expect("a signal");
        let successor = next_worker().expect("a successor");
        assert!(ended && successor != worker);
        while done.len() < 2_000 {
            done.extend(job(&lines.next().expect("the pool goes on")));
        }
        // Each of the two slots may still be working on a job. No other job is missing.
        let last = *done.last().expect("a job is done");
        assert!(done.len() as u32 + 2 >= last, "{} of {last} jobs are done", done.len());

        parent.kill().expect("a signal");
        parent.wait().expect("the parent ends");
        // The output ends when the last worker has ended.
        assert_eq!(lines.filter(|line| job(line).is_none()).count(), 0);
    });
}
