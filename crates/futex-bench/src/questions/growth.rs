//! `growth`: what each operation costs, from a hundred waits to a million.

use crate::ours::Config;
use crate::population::{Ours, Population as _, futexes};
use crate::question::{Contestant, Figures, Question, Unit, Verdict, case};
use anyhow::Result;
use fastrand::Rng;
use std::time::{Duration, Instant};

pub(super) const QUESTION: Question = Question {
    name: "growth",
    asks: "What do arming, waking and cancelling one wait cost, by the number of others that are armed?",
    unit: Unit::Nanoseconds,
    reference: None,
    seconds: [45, 6],
    contestants: |quick| {
        let populations = &POPULATIONS[..if quick { 4 } else { 5 }];
        vec![Contestant::new(Config::Uring, move || Ok(Box::new(move |figures| grow(populations, figures))))]
    },
    verdicts: |answer| {
        let verdict = |kind: &str| {
            let at = |&count: &usize| answer.series(Config::Uring, &case(kind, count));
            let most = POPULATIONS.iter().rev().find(|&count| at(count).is_some()).unwrap_or(&POPULATIONS[0]);
            let ratio = at(most).zip(at(&POPULATIONS[0])).and_then(|(many, few)| many.ratio(few));
            Verdict::at_most(format!("{kind}: {most} waits ÷ 100 waits"), ratio, 3.0)
        };
        [ARM, READY, CANCEL].map(verdict).into()
    },
};

const POPULATIONS: [usize; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];
/// Most figures of a turn, and the longest time for them.
const TURN: usize = 200;
const TIME: Duration = Duration::from_millis(100);

const ARM: &str = "arm";
const READY: &str = "wake until ready";
const CANCEL: &str = "cancel";

/// Arms more and more. Nothing else is armed meanwhile: all waits of the system are in one hash table of the kernel.
fn grow(populations: &[usize], figures: &mut Figures) -> Result<()> {
    let (runtime, futexes) = futexes(Config::Uring, populations[populations.len() - 1])?;
    let mut ours = Ours::new(&futexes);
    let (mut random, mut armed) = (Rng::with_seed(1), 0);
    for &count in populations {
        (armed..count).try_for_each(|id| ours.arm(id))?;
        armed = count;
        let begin = Instant::now();
        for _ in 0..TURN {
            runtime.block_on(one_of_each(&mut ours, count, random.usize(..count), figures))?;
            if begin.elapsed() > TIME {
                break;
            }
        }
    }
    futexes[0].reactor().close(); // faster than one by one
    Ok(())
}

/// Wakes a wait and arms it again, then cancels another one and arms that again.
async fn one_of_each(ours: &mut Ours<'_>, count: usize, id: usize, figures: &mut Figures) -> Result<()> {
    let mut note = |kind, time: Duration| figures.add(&case(kind, count), [time.as_nanos() as f64]);

    let start = Instant::now();
    ours.futexes[id].wake(1);
    note("FUTEX_WAKE", start.elapsed());
    ours.ended(id).await?;
    note(READY, start.elapsed());

    let start = Instant::now();
    ours.arm(id)?;
    note(ARM, start.elapsed());

    // The same wait is now one of the newest, which the kernel finds at once.
    let other = (id * 7 + 13) % count;
    let start = Instant::now();
    ours.cancel(other)?;
    note(CANCEL, start.elapsed());
    ours.arm(other)
}
