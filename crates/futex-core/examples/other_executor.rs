//! Waiting on a word of shared memory without Tokio: smol's `async-io` polls the reactor's descriptor.
//!
//! ```sh
//! cargo run --example other_executor
//! ```
//!
//! The peer is a thread that makes only blocking calls, like a process without a runtime.

use async_io::Async;
use futex_core::{Reactor, SharedMemory};
use futures_util::future::{Either, select};
use std::io;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::atomic::Ordering;

/// Turns the reactor whenever its descriptor is readable, for ever.
async fn drive(reactor: &Reactor) -> io::Result<()> {
    // A duplicate of the descriptor for the poller. It refers to the same eventfd.
    let readable = Async::new(reactor.as_fd().try_clone_to_owned()?)?;
    loop {
        readable.readable().await?;
        reactor.clear()?; // before the turn, so that a later completion makes the descriptor readable again
        reactor.turn();
    }
}

fn main() -> io::Result<()> {
    const ROUNDS: u32 = 10_000;

    let reactor = Reactor::new()?;
    println!("waiting with {}", reactor.backend());

    let memory = SharedMemory::anonymous(4096)?;
    let (ping, pong) = (memory.word(0)?, memory.word(64)?);

    let peer = std::thread::spawn({
        let (ping, pong) = (ping.clone(), pong.clone());
        move || -> io::Result<()> {
            for round in 1..=ROUNDS {
                while ping.load(Ordering::Acquire) != round {
                    ping.wait(round - 1, None)?;
                }
                pong.store(round, Ordering::Release); // change the word,
                pong.wake(1); //                         then wake
            }
            Ok(())
        }
    });

    let exchange = async {
        for round in 1..=ROUNDS {
            ping.store(round, Ordering::Release);
            ping.wake(1);
            while pong.load(Ordering::Acquire) != round {
                reactor.wait(&pong, round - 1).await?;
            }
        }
        io::Result::Ok(())
    };

    async_io::block_on(async {
        match select(pin!(exchange), pin!(drive(&reactor))).await {
            Either::Left((done, _)) | Either::Right((done, _)) => done,
        }
    })?;
    peer.join().map_err(|_| io::Error::other("the peer panicked"))??;

    println!("{ROUNDS} round trips; {:?}", reactor.stats());
    Ok(())
}
