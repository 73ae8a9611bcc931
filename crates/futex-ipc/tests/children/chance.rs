//! Random points of time.

use futex_tests::load::{Rng, turns};
use std::future::Future;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Random numbers of a task or a thread.
pub(crate) struct Chance(Mutex<Rng>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(Rng::new(seed)))
    }

    /// A number below `n`.
    pub(crate) fn below(&self, n: usize) -> usize {
        self.0.lock().expect("no panic").below(n)
    }

    /// Pauses at random, so that others or a kill can come in between.
    pub(crate) async fn dawdles(&self) {
        match self.below(4) {
            0 => turns(1 + self.below(4)).await,
            1 => self.spins(),
            _ => {}
        }
    }

    /// As [`dawdles`](Self::dawdles), for a thread.
    pub(crate) fn blocks(&self) {
        match self.below(4) {
            0 => std::thread::yield_now(),
            1 => self.spins(),
            _ => {}
        }
    }

    fn spins(&self) {
        (0..self.below(5_000)).for_each(|_| std::hint::spin_loop());
    }

    /// Awaits a future, or drops it after a random time.
    pub(crate) async fn or_gives_up<F: Future>(&self, future: F) -> Option<F::Output> {
        if self.below(2) == 0 {
            return timeout(self.some_time(), future).await.ok();
        }
        tokio::select! {
            biased;
            output = future => Some(output),
            () = turns(self.below(6)) => None,
        }
    }

    /// A deadline in the near future.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.some_time()
    }

    fn some_time(&self) -> Duration {
        Duration::from_micros(self.below(3_000) as u64)
    }
}
