//! One side of a link, whatever it is.

use std::future::Future;
use std::io;
use std::time::Instant;

/// One side's end. The sides take turns: a signal here ends one wait there.
pub(crate) trait End: Send + 'static {
    /// Wakes the other side.
    fn signal(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Waits for the other side's signal.
    fn wait(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// Answers every signal, for ever.
pub(crate) async fn echo(mut end: impl End) -> io::Result<()> {
    loop {
        end.wait().await?;
        end.signal().await?;
    }
}

/// Signals and waits for the answer, `count` times. Gives the end back, with the nanoseconds of each round trip.
pub(crate) async fn round_trips<E: End>(mut end: E, count: usize) -> io::Result<(E, Vec<f64>)> {
    let mut trips = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        end.signal().await?;
        end.wait().await?;
        trips.push(start.elapsed().as_nanos() as f64);
    }
    Ok((end, trips))
}
