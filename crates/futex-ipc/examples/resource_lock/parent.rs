//! The parent process: starts the workers, kills some, and checks the file.

use crate::WORKERS;
use crate::options::Options;
use crate::shared::in_region;
use crate::worker::{journal, record};
use futex_ipc::Region;
use futures_util::future::try_join_all;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

pub(crate) async fn run(options: &Options) -> io::Result<()> {
    let name = format!("resource_lock-{}", std::process::id());
    let path = std::env::temp_dir().join(&name);
    File::create_new(&path)?;
    let done = in_region(&name, async |region| work(options, region, &name, &path).await).await;
    let removed = fs::remove_file(&path);
    done.and(removed)
}

async fn work(options: &Options, region: &Region, name: &str, path: &Path) -> io::Result<()> {
    let start = Instant::now();
    let journal = journal(region)?;
    let kills = try_join_all((0..WORKERS).map(|index| keep_running(options, index, name, path))).await?;
    let elapsed = start.elapsed();

    let (kills, repairs) = (kills.iter().sum::<u32>(), journal.lock().await?.repairs);
    println!("{kills} processes were killed, and the file was repaired {repairs} times");
    check(options, path)?;
    println!("verified: the file has each of {} records once ({elapsed:.1?})", WORKERS as u64 * options.records);
    Ok(())
}

/// Runs a worker until it has written all of its records. From time to time, its process is killed and replaced. Returns the number
/// of kills.
async fn keep_running(options: &Options, index: usize, name: &str, path: &Path) -> io::Result<u32> {
    let mut kills = 0;
    loop {
        let mut child = start(options, index, name, path)?;
        let life = Duration::from_micros(fastrand::u64(10_000..200_000));
        tokio::select! {
            status = child.wait() => return match status? {
                status if status.success() => Ok(kills),
                status => Err(io::Error::other(format!("worker {index} failed: {status}"))),
            },
            () = tokio::time::sleep(life), if kills < options.kills => {
                child.kill().await?; // SIGKILL
                kills += 1;
            }
        }
    }
}

fn start(options: &Options, index: usize, name: &str, path: &Path) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .arg(format!("--records={}", options.records))
        .args(["--worker", &index.to_string(), name])
        .arg(path)
        .process_group(0) // Ctrl-C is for the parent
        .kill_on_drop(true)
        .spawn()
}

/// Checks that the file has all records, each one once, those of one worker in their order, and nothing else.
fn check(options: &Options, path: &Path) -> io::Result<()> {
    let mut next = [0; WORKERS];
    for line in fs::read_to_string(path)?.split_inclusive('\n') {
        match (0..WORKERS).find(|&worker| line == record(worker, next[worker])) {
            Some(worker) => next[worker] += 1,
            None => return Err(io::Error::other(format!("the file has this out of place: {line:?}"))),
        }
    }
    match next == [options.records; WORKERS] {
        true => Ok(()),
        false => Err(io::Error::other(format!("the file lacks records: the workers have {next:?}"))),
    }
}
