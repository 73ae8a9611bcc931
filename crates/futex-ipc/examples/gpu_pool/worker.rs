//! A worker: the part that uses the semaphore.

use crate::GPUS;
use crate::options::Worker;
use crate::usage::now;
use futex_ipc::{Region, Semaphore};
use std::io;
use std::time::Duration;

/// All processes open the semaphore like this. The first one makes it.
pub(crate) fn gpus(region: &Region) -> io::Result<Semaphore> {
    Semaphore::open_or_create(region, "gpus", GPUS)
}

/// Number of GPUs that a job needs.
fn demand(job: u32) -> u32 {
    if job % 4 == 0 { 2 } else { 1 }
}

pub(crate) async fn run(worker: &Worker) -> io::Result<()> {
    let region = Region::builder().label("worker").open(&worker.region)?;
    let gpus = gpus(&region)?;

    for job in worker.jobs.clone() {
        // The semaphore gives all permits of a request at once. Requests for one permit don't overtake a request for two.
        let permits = gpus.acquire_many(demand(job)).await?;
        println!("begin {} {}", permits.num_permits(), now());
        tokio::time::sleep(Duration::from_micros(fastrand::u64(2_000..20_000))).await; // the job
        println!("end {} {}", permits.num_permits(), now());
        drop(permits); // gives them back
    }
    Ok(())
}
