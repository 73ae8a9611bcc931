//! The parent process: starts the workers, kills some, and checks what they did.

use crate::options::Options;
use crate::shared::in_region;
use crate::usage::{Usage, now};
use crate::worker::gpus;
use crate::{GPUS, WORKERS};
use futex_ipc::Region;
use futures_util::future::try_join_all;
use std::io;
use std::ops::Range;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

pub(crate) async fn run(options: &Options) -> io::Result<()> {
    let name = format!("gpu_pool-{}", std::process::id());
    in_region(&name, async |region| work(options, region, &name).await).await
}

async fn work(options: &Options, region: &Region, name: &str) -> io::Result<()> {
    let start = Instant::now();
    let gpus = gpus(region)?;
    let usages = try_join_all((0..WORKERS).map(|_| keep_running(options, name))).await?.concat();
    let elapsed = start.elapsed();

    let inside = usages.iter().filter(|usage| usage.was_killed_inside).count();
    println!("{} processes were killed, {inside} of them during a job", usages.len() - WORKERS);

    let done: u64 = usages.iter().map(|usage| u64::from(usage.done)).sum();
    if done != WORKERS as u64 * u64::from(options.jobs) {
        return Err(io::Error::other(format!("{done} jobs were done")));
    }
    let peak = Usage::peak(&usages);
    if peak > GPUS.into() {
        return Err(io::Error::other(format!("{peak} GPUs were in use at a time")));
    }
    // The permits of the last process that was killed may return in this moment, so wait for all of them.
    let all = tokio::time::timeout(Duration::from_secs(10), gpus.acquire_many(GPUS));
    drop(all.await.map_err(|_| io::Error::other("permits are missing"))??);
    let (available, capacity) = (gpus.available_permits()?, gpus.capacity()?);
    if (available, capacity) != (GPUS, GPUS) {
        return Err(io::Error::other(format!("there are {available} of {capacity} permits at the end")));
    }
    println!(
        "verified: {done} jobs were done, at most {peak} of {GPUS} GPUs were in use, and all permits are back ({elapsed:.1?})"
    );
    Ok(())
}

/// Runs a worker until it has done all of its jobs. From time to time, its process is killed and replaced. Returns the usage of each
/// of its processes.
async fn keep_running(options: &Options, name: &str) -> io::Result<Vec<Usage>> {
    let mut usages = Vec::new();
    let mut left = 0..options.jobs;
    while !left.is_empty() {
        let mut child = start(name, left.clone())?;
        let mut stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut output = Box::pin(async move {
            let mut output = String::new();
            stdout.read_to_string(&mut output).await.map(|_| output)
        });
        let life = Duration::from_micros(fastrand::u64(10_000..500_000));
        let (output, killed) = tokio::select! {
            output = &mut output => (output?, None),
            () = tokio::time::sleep(life), if usages.len() < options.kills => {
                let before = now();
                child.start_kill()?; // SIGKILL
                (output.await?, Some(before))
            }
        };
        let status = child.wait().await?;
        if killed.is_none() && !status.success() {
            return Err(io::Error::other(format!("a worker failed: {status}")));
        }
        let usage = Usage::parse(&output, killed)?;
        left.start += usage.done;
        usages.push(usage);
    }
    Ok(usages)
}

fn start(name: &str, jobs: Range<u32>) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["--worker", name, &jobs.start.to_string(), &jobs.end.to_string()])
        .stdout(Stdio::piped())
        .process_group(0) // Ctrl-C is for the parent
        .kill_on_drop(true)
        .spawn()
}
