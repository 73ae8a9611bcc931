//! `fast_path`: a wait on a word that differs, and a wake if nobody waits.

use crate::batch::{BATCH, each};
use crate::population::{kept_futexes, words};
use crate::question::{Contestant, Question, Turn, Unit, Verdict};
use anyhow::Result;
use rustix::thread::futex::{Flags, wake};
use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::time::Instant;

pub(super) const QUESTION: Question = Question {
    name: "fast_path",
    asks: "What does a wait on a word that differs cost, and a wake that finds nobody?",
    unit: Unit::Nanoseconds,
    reference: Some(BARE),
    seconds: [15, 4],
    contestants: |_| vec![Contestant::new(BARE, bare), Contestant::new(OURS, ours)],
    verdicts: |answer| {
        let above = answer
            .series(OURS, WAIT)
            .zip(answer.series(BARE, WAIT))
            .and_then(|(ours, bare)| ours.paired(bare, |ours, bare| ours - bare));
        vec![
            Verdict::at_most("nanoseconds of a wait above the bare load", above, 5.0),
            Verdict::at_most("ours ÷ bare FUTEX_WAKE", answer.ratio(OURS, BARE, WAKE), 1.1),
        ]
    },
};

const OURS: &str = "ours";
const BARE: &str = "bare load, bare FUTEX_WAKE";
const WAIT: &str = "wait on a word that differs";
const WAKE: &str = "wake with nobody there";

/// Number of figures of a turn.
const BATCHES: usize = 50;

fn bare() -> Result<Turn> {
    let word = words(1)?.remove(0);
    Ok(Box::new(move |figures| {
        for _ in 0..BATCHES {
            figures.add(WAIT, [each(|| black_box(&word).load(Ordering::Acquire) != black_box(1))]);
            figures.add(WAKE, [each(|| wake(black_box(&word), Flags::empty(), 1))]);
        }
        Ok(())
    }))
}

fn ours() -> Result<Turn> {
    let (runtime, futexes) = kept_futexes(1)?;
    let futex = &futexes[0];
    Ok(Box::new(move |figures| {
        for _ in 0..BATCHES {
            let wait = runtime.block_on(async {
                let start = Instant::now();
                for _ in 0..BATCH {
                    let _ = black_box(black_box(futex).wait_async(black_box(1)).await);
                }
                start.elapsed().as_nanos() as f64 / f64::from(BATCH)
            });
            figures.add(WAIT, [wait]);
            figures.add(WAKE, [each(|| black_box(futex).wake(1))]);
        }
        Ok(())
    }))
}
