//! `given_back`: the rings that are left after a burst of waits. They are counted, not timed.

use crate::ours::Config;
use crate::population::{Bare, Ours, Population as _, futexes};
use crate::question::{Contestant, Figures, Question, Unit, Verdict};
use anyhow::Result;

pub(super) const QUESTION: Question = Question {
    name: "given_back",
    asks: "How many rings are open when waits alternate between 100 and 10,000? (after the first time)",
    unit: Unit::Count,
    reference: None,
    seconds: [3, 1],
    contestants: |_| vec![Contestant::new(Config::Uring, || Ok(Box::new(ours)))],
    verdicts: |answer| {
        // The oldest waits are left, in as few rings as possible. Eight rings more may be spare.
        let limit = 2 * FEW.div_ceil(Bare::ROOM) + 8;
        let most = answer.series(Config::Uring, RINGS_LEFT).and_then(|rings| rings.quantile(1.0));
        vec![Verdict::at_most("most rings when 100 of 10,000 waits are left", most, limit as f64)]
    },
};

const FEW: usize = 100;
const MANY: usize = 10_000;
const ALTERNATIONS: usize = 5;

const RINGS_LEFT: &str = "rings, 100 waits left";

fn ours(figures: &mut Figures) -> Result<()> {
    let (_runtime, futexes) = futexes(Config::Uring, MANY)?;
    let rings = || futexes[0].reactor().stats().units;
    let mut ours = Ours::new(&futexes);
    (0..FEW).try_for_each(|id| ours.arm(id))?;
    for alternation in 0..ALTERNATIONS {
        let before = rings();
        (FEW..MANY).try_for_each(|id| ours.arm(id))?;
        let open = rings();
        (FEW..MANY).try_for_each(|id| ours.cancel(id))?;
        // At once: the reactor has not had a turn.
        let counts = [("rings, 10,000 waits", open), (RINGS_LEFT, rings()), ("rings opened per burst", open - before)];
        if alternation > 0 {
            counts.iter().for_each(|&(case, count)| figures.add(case, [count as f64]));
        }
    }
    Ok(())
}
