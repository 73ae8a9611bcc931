//! The parent process, which consumes.

use crate::PRODUCERS;
use crate::options::Options;
use crate::slot::{self, Slot};
use futex_tokio::SharedMemory;
use std::cell::RefCell;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd;
use std::process::Stdio;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::task::{JoinSet, LocalSet};

/// The messages that were received so far.
#[derive(Default)]
struct Tally {
    /// For each producer: the sum of the digests of its messages, and the number of messages.
    producers: [(u64, u32); PRODUCERS],
    /// Time from publishing to receipt of each message, in nanoseconds.
    latencies: Vec<u32>,
}

/// Starts the producers, receives all their messages, and checks them.
pub(crate) async fn run(options: &Options) -> io::Result<()> {
    let reactor = options.reactor()?;
    let memory = SharedMemory::anonymous(slot::len(options.slots))?;
    let start = Instant::now();
    let tally = Rc::new(RefCell::new(Tally::default()));

    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    for index in 0..options.slots {
        let slot = Slot::new(&reactor, &memory, index)?;
        tasks.spawn_local_on(consume(slot, tally.clone()), &local);
    }
    let mut children = Vec::new();
    for producer in 0..PRODUCERS {
        children.push(start_producer(options, &memory, producer)?);
    }

    let mut interrupted = false;
    let all = local.run_until(async {
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        io::Result::Ok(())
    });
    let mut all = std::pin::pin!(all);
    let mut progress = tokio::time::interval(Duration::from_millis(500));
    let [first, second] = &mut children[..] else { return Err(io::Error::other("there are two producers")) };
    loop {
        tokio::select! {
            done = &mut all => break done?,
            // A producer closes its slots before it exits, so the tasks end too.
            dead = failure(first) => return Err(dead),
            dead = failure(second) => return Err(dead),
            pressed = tokio::signal::ctrl_c(), if !interrupted => {
                pressed?;
                interrupted = true;
                // No wake: the producers load this word before each message, and nobody sleeps on it.
                slot::stop(&memory).store(1, Ordering::Relaxed);
            }
            _ = progress.tick() => show_progress(tally.borrow().latencies.len(), options.messages),
        }
    }
    let elapsed = start.elapsed();
    for child in &mut children {
        let status = child.wait().await?;
        if !status.success() {
            return Err(io::Error::other(format!("a producer failed: {status}")));
        }
    }
    report(options, &tally.take(), elapsed, interrupted)?;
    println!("backend      {}", reactor.backend());
    Ok(())
}

/// Receives messages through one slot until its producer closes the slot.
async fn consume(slot: Slot, tally: Rc<RefCell<Tally>>) -> io::Result<()> {
    while slot.filled().await? {
        let received = slot.take();
        let mut tally = tally.borrow_mut();
        let producer = tally.producers.get_mut(received.producer as usize).ok_or_else(|| {
            io::Error::other(format!("a message names producer {}, which does not exist", received.producer))
        })?;
        producer.0 = producer.0.wrapping_add(received.digest);
        producer.1 += 1;
        tally.latencies.push(u32::try_from(received.latency).unwrap_or(u32::MAX));
    }
    Ok(())
}

fn start_producer(options: &Options, memory: &SharedMemory, producer: usize) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(options.to_arguments(producer))
        .stdin(Stdio::from(memory.as_fd().try_clone_to_owned()?))
        // Ctrl-C must not reach the children. The parent stops them.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Waits until a producer fails. Never returns if it succeeds.
async fn failure(child: &mut Child) -> io::Error {
    match child.wait().await {
        Ok(status) if status.success() => std::future::pending().await,
        Ok(status) => io::Error::other(format!("a producer failed: {status}")),
        Err(error) => error,
    }
}

fn show_progress(received: usize, messages: u32) {
    let mut out = io::stdout();
    let end = if out.is_terminal() { '\r' } else { '\n' };
    print!("received {received} of {messages} messages{end}");
    let _ = out.flush(); // an error here means that nobody reads the output
}

fn report(options: &Options, tally: &Tally, elapsed: Duration, interrupted: bool) -> io::Result<()> {
    let received = tally.latencies.len();
    show_progress(received, options.messages);
    if io::stdout().is_terminal() {
        println!();
    }

    for (producer, &(digest, count)) in tally.producers.iter().enumerate() {
        let share = options.share(producer);
        if count != share && !interrupted {
            return Err(io::Error::other(format!("producer {producer} sent {share} messages, but {count} arrived")));
        }
        // A producer numbers its messages without a gap, so the messages that arrived are the first `count`.
        let expected =
            (0..count).fold(0_u64, |sum, number| sum.wrapping_add(slot::expected_digest(producer as u32, number)));
        if digest != expected {
            return Err(io::Error::other(format!("the checksum of producer {producer}'s messages is wrong")));
        }
    }
    println!("checksum     verified, {received} messages from {PRODUCERS} producers");
    println!("rate         {:.0} messages per second", received as f64 / elapsed.as_secs_f64());

    let mut latencies = tally.latencies.clone();
    latencies.sort_unstable();
    let percentile =
        |share: usize| latencies.get(latencies.len() * share / 100).map_or(0.0, |&ns| f64::from(ns) / 1000.0);
    println!("latency      p50 {:.1} µs, p99 {:.1} µs from publish to receipt", percentile(50), percentile(99));
    if interrupted {
        println!("interrupted  before all {} messages were sent", options.messages);
    }
    Ok(())
}
