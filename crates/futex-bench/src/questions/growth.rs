//! `growth`: what each operation costs, from a hundred waits to a million.

use crate::answer::Answer;
use crate::contestant::{Contestant, Figures, case};
use crate::executor::{Executor, Kind};
use crate::ours::Config;
use crate::population::{self, Ours, Population as _};
use crate::question::{Chart, Effort, Question, Unit};
use crate::random::Random;
use crate::verdict::Verdict;
use futex_tokio::{AsyncFutex, Word};
use std::io;
use std::time::{Duration, Instant};

pub(super) const QUESTION: Question = Question {
    name: "growth",
    asks: "What do arming, waking and cancelling one wait cost, by how many others are armed?",
    unit: Unit::Nanoseconds,
    reference: None,
    seconds: (45, 6),
    contestants,
    verdicts,
    charts: &[Chart::Population],
};

const POPULATIONS: [usize; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];
/// The most figures of a turn, and the most time for them.
const TURN: usize = 200;
const TIME: Duration = Duration::from_millis(100);

const OURS: &str = "ours, uring";
const ARM: &str = "arm";
const WAKE: &str = "FUTEX_WAKE";
const READY: &str = "wake until ready";
const CANCEL: &str = "cancel";

fn contestants(effort: Effort) -> Vec<Contestant> {
    let populations = &POPULATIONS[..effort.pick(4, 5)];
    vec![Contestant::new(OURS, move || {
        let words = population::words(populations[populations.len() - 1])?;
        Ok(move |figures: &mut Figures| grow(populations, &words, figures))
    })]
}

fn verdicts(answer: &Answer) -> Vec<Verdict> {
    let verdict = |kind: &str| {
        let at = |&count: &usize| answer.series(OURS, &case(kind, count));
        let most = POPULATIONS.iter().rev().find(|&count| at(count).is_some()).unwrap_or(&POPULATIONS[0]);
        let ratio = at(most).zip(at(&POPULATIONS[0])).and_then(|(many, few)| many.ratio(few));
        Verdict::at_most(format!("{kind}: {most} waits ÷ 100 waits"), ratio, 3.0)
    };
    [ARM, READY, CANCEL].map(verdict).into()
}

/// Arms more and more. Nothing else is armed meanwhile: all waits of the system are in one hash table of the kernel's.
fn grow(populations: &[usize], words: &[Word], figures: &mut Figures) -> io::Result<()> {
    let executor = Executor::new(Kind::CurrentThread)?;
    let reactor = executor.enter(|| Config::URING.reactor())?;
    let futexes: Vec<_> = words.iter().map(|word| AsyncFutex::with_reactor(&reactor, word)).collect();
    let mut ours = Ours::new(&futexes);
    let (mut random, mut armed) = (Random::new(), 0);
    for &count in populations {
        executor.block_on(async { (armed..count).try_for_each(|id| ours.arm(id)) })?;
        armed = count;
        let begin = Instant::now();
        for _ in 0..TURN {
            executor.block_on(one_of_each(&mut ours, count, random.below(count), figures))?;
            if begin.elapsed() > TIME {
                break;
            }
        }
    }
    reactor.close(); // faster than one by one
    Ok(())
}

/// Wakes a wait, arms it again, cancels it, and arms it again.
async fn one_of_each(ours: &mut Ours<'_>, count: usize, id: usize, figures: &mut Figures) -> io::Result<()> {
    let mut note = |kind, time: Duration| figures.add(&case(kind, count), time.as_nanos() as f64);

    let start = Instant::now();
    ours.futexes[id].wake(1);
    note(WAKE, start.elapsed());
    ours.ended(id).await?;
    note(READY, start.elapsed());

    let start = Instant::now();
    ours.arm(id)?;
    note(ARM, start.elapsed());

    // Among the newest, as it is now, it would be found at once: another one of the same shard's age goes.
    let other = (id * 7 + 13) % count;
    let start = Instant::now();
    ours.cancel(other)?;
    note(CANCEL, start.elapsed());
    ours.arm(other)
}
