//! A worker: the part that uses the lock.

use crate::WORKERS;
use crate::options::{Options, Worker};
use futex_ipc::{Mutex, Region, Value};
use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The state of the file at the last commit.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Journal {
    /// Number of bytes of the file that are in order. What follows was written by a process that died.
    length: u64,
    /// Number of records that each worker has written.
    records: [u64; WORKERS],
    /// Number of repairs after a death.
    pub(crate) repairs: u64,
}

impl Value for Journal {
    const NAME: &'static str = "example.com/journal";
    const VERSION: u32 = 1;
}

/// All processes open the mutex like this. The first one makes it.
pub(crate) fn journal(region: &Region) -> io::Result<Mutex<Journal>> {
    Mutex::open_or_create(region, "journal", Journal::default())
}

/// Text of a record.
pub(crate) fn record(worker: usize, number: u64) -> String {
    format!("record {number} of worker {worker}\n")
}

/// Writes the records that no earlier process of this worker has written.
pub(crate) async fn run(options: &Options, worker: &Worker) -> io::Result<()> {
    let region = Region::builder().label(format!("worker {}", worker.index)).open(&worker.region)?;
    let mutex = journal(&region)?;
    let mut file = File::options().append(true).open(&worker.file)?;

    loop {
        let mut journal = mutex.lock().await?;

        if journal.predecessor_died() {
            // The dead owner may have written a part of its record, or all of it, but it has not committed. So remove it.
            file.set_len(journal.length)?;
            journal.repairs += 1;
            journal.checkpoint();
            // If this process dies before it unlocks, the next owner repairs the file again.
            journal.settle();
        }

        let number = journal.records[worker.index];
        if number == options.records {
            return Ok(());
        }
        let record = record(worker.index, number);
        let (first, second) = record.split_at(record.len() / 2);
        file.write_all(first.as_bytes())?;
        tokio::time::sleep(Duration::from_micros(500)).await; // a slow disk
        file.write_all(second.as_bytes())?;

        // One store makes both true: the file is longer, and this worker has written one more record. Before that store, a death
        // undoes the record. After it, the record stays.
        journal.length += record.len() as u64;
        journal.records[worker.index] += 1;
        journal.commit();
    }
}
