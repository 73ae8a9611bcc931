//! `memory`: bytes of an armed wait.

use crate::allocator;
use crate::ours::Config;
use crate::population::{Ours, Population as _, futexes};
use crate::question::{Contestant, Figures, Question, Unit, Verdict, case};
use anyhow::Result;
use futex_tokio::WaitAsync;
use std::fs;

pub(super) const QUESTION: Question = Question {
    name: "memory",
    asks: "How many bytes does an armed wait take, besides its task? (per wait)",
    unit: Unit::Bytes,
    reference: None,
    seconds: [10, 3],
    contestants: |_| vec![Contestant::new(Config::Uring, || Ok(Box::new(ours)))],
    verdicts: |answer| {
        let bytes = |count| answer.p50(Config::Uring, &case(USER, count));
        let target = |count| format!("bytes of user memory for each of {count} waits");
        POPULATIONS.map(|count| Verdict::at_most(target(count), bytes(count), 150.0)).into()
    },
};

const POPULATIONS: [usize; 3] = [1_000, 10_000, 100_000];
const USER: &str = "heap and rings";
/// With fewer waits the system's own changes are larger.
const ENOUGH_FOR_SLABS: usize = 100_000;

fn ours(figures: &mut Figures) -> Result<()> {
    figures.add("the future, in its task", [size_of::<WaitAsync<'_>>() as f64]);
    for count in POPULATIONS {
        // New ones each time: a reactor keeps the memory that it has taken.
        let (_runtime, futexes) = futexes(Config::Uring, count)?;
        let mut ours = Ours::new(&futexes);
        let (rings, slabs) = (ring_bytes()?, slab_bytes());
        let (armed, heap, _) = allocator::count(|| (0..count).try_for_each(|id| ours.arm(id)));
        armed?;
        let mut note = |kind, bytes: f64| figures.add(&case(kind, count), [bytes / count as f64]);
        let (heap, rings) = (heap as f64, ring_bytes()? - rings);
        note("heap", heap);
        note("rings, mapped", rings);
        note(USER, heap + rings);
        let kernel = slab_bytes().zip(slabs).map(|(after, before)| after - before);
        if let Some(kernel) = kernel.filter(|&kernel| count >= ENOUGH_FOR_SLABS && kernel > 0.0) {
            note("kernel, by the slabs of the whole system,", kernel);
        }
        futexes[0].reactor().close(); // faster than one by one
    }
    Ok(())
}

/// Bytes of this process's io_uring mappings.
fn ring_bytes() -> Result<f64> {
    let (mut total, mut inside) = (0.0, false);
    for line in fs::read_to_string("/proc/self/smaps")?.lines() {
        if let Some(size) = line.strip_prefix("Rss:").filter(|_| inside) {
            total += bytes(size);
        } else if line.split(' ').next().is_some_and(|first| first.contains('-')) {
            inside = line.ends_with("[io_uring]");
        }
    }
    Ok(total)
}

/// Bytes of the kernel's slab caches, of the whole system. `None` if they can't be read.
fn slab_bytes() -> Option<f64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    text.lines().find_map(|line| line.strip_prefix("SUnreclaim:")).map(bytes)
}

/// The bytes of a text such as `12 kB`.
fn bytes(size: &str) -> f64 {
    size.trim().trim_end_matches(" kB").parse().unwrap_or(0.0) * 1024.0
}
