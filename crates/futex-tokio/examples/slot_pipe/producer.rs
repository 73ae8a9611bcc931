//! A child process, which produces.

use crate::PRODUCERS;
use crate::options::Options;
use crate::slot::{self, Slot};
use futex_tokio::SharedMemory;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::task::JoinSet;

/// Sends this producer's share of the messages through its slots, with one task per slot.
pub(crate) async fn run(options: &Options, producer: usize) -> io::Result<()> {
    // Without its parent, which consumes, a producer would wait forever.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;

    let memory = SharedMemory::from_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    if memory.len() < slot::len(options.slots) {
        return Err(io::Error::other("the memory that was passed is too small for that many slots"));
    }
    let reactor = options.reactor()?;
    let share = options.share(producer);
    let next = Arc::new(AtomicU32::new(0));

    let mut tasks = JoinSet::new();
    for index in (producer..options.slots).step_by(PRODUCERS) {
        let slot = Slot::new(&reactor, &memory, index)?;
        let (memory, next) = (memory.clone(), next.clone());
        tasks.spawn(async move {
            loop {
                slot.emptied().await?;
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= share || slot::stop(&memory).load(Ordering::Relaxed) != 0 {
                    next.store(share, Ordering::Relaxed); // after a stop, no task sends anything more
                    slot.close();
                    return io::Result::Ok(());
                }
                slot.publish(producer as u32, number);
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}
