//! `given_back`: the rings and descriptors that are left after a burst of waits. They are counted, not timed.

use crate::answer::Answer;
use crate::contestant::{Contestant, Figures};
use crate::executor::{Executor, Kind};
use crate::ours::Config;
use crate::population::{self, Bare, Ours, Population as _};
use crate::question::{Effort, Question, Unit};
use crate::usage::descriptors;
use crate::verdict::Verdict;
use std::io;

pub(super) const QUESTION: Question = Question {
    name: "given_back",
    asks: "How many rings and descriptors are open when waits alternate between 100 and 10,000? (most after the first time)",
    unit: Unit::Count,
    reference: None,
    seconds: (3, 1),
    contestants,
    verdicts,
    charts: &[],
};

const FEW: usize = 100;
const MANY: usize = 10_000;
const ALTERNATIONS: usize = 5;

const RINGS: &str = "rings, 10,000 waits";
const RINGS_LEFT: &str = "rings, 100 waits left";
const DESCRIPTORS_LEFT: &str = "descriptors, 100 waits left";
const OPENED: &str = "rings opened per burst";

fn contestants(_: Effort) -> Vec<Contestant> {
    vec![Contestant::new(Config::URING.to_string(), || Ok(ours))]
}

fn verdicts(answer: &Answer) -> Vec<Verdict> {
    // The oldest waits are left, so they are in as few rings as can be. Eight rings more than these may be spare.
    let used = FEW.div_ceil(Bare::ROOM);
    let left = answer.p50(&Config::URING.to_string(), RINGS_LEFT);
    vec![Verdict::at_most("rings when 100 of 10,000 waits are left", left, (2 * used + 8) as f64)]
}

fn ours(figures: &mut Figures) -> io::Result<()> {
    let others = descriptors()?;
    let executor = Executor::new(Kind::CurrentThread)?;
    let reactor = executor.enter(|| Config::URING.reactor())?;
    let futexes = population::futexes(&reactor, MANY)?;
    let mut ours = Ours::new(&futexes);
    let mut most = [(RINGS, 0), (RINGS_LEFT, 0), (DESCRIPTORS_LEFT, 0), (OPENED, 0)];
    executor.block_on(async {
        (0..FEW).try_for_each(|id| ours.arm(id))?;
        for alternation in 0..ALTERNATIONS {
            let before = reactor.stats().units;
            (FEW..MANY).try_for_each(|id| ours.arm(id))?;
            let rings = reactor.stats().units;
            (FEW..MANY).try_for_each(|id| ours.cancel(id))?;
            // At once: the reactor has not had a turn.
            let counts = [rings, reactor.stats().units, descriptors()? - others, rings - before];
            if alternation > 0 {
                most.iter_mut().zip(counts).for_each(|((_, most), count)| *most = count.max(*most));
            }
        }
        io::Result::Ok(())
    })?;
    most.iter().for_each(|&(case, count)| figures.add(case, count as f64));
    Ok(())
}
