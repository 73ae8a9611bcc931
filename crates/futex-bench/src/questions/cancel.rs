//! `cancel`: dropping an armed wait among many.

use crate::ours::Config;
use crate::population::{Bare, Ours, Population, kept_futexes};
use crate::question::{BARE_RING, Contestant, Question, Turn, Unit, Verdict, case};
use anyhow::Result;
use fastrand::Rng;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub(super) const QUESTION: Question = Question {
    name: "cancel",
    asks: "What does it cost to drop an armed wait, by the number of waits and by the age of the one that is dropped?",
    unit: Unit::Nanoseconds,
    reference: Some(BARE_RING),
    seconds: [50, 8],
    contestants: |_| POPULATIONS.into_iter().flat_map(contestants).collect(),
    verdicts: |answer| {
        let at = |order, count| answer.series(Config::Uring, &case(order, count));
        let ratio = |order| at(order, POPULATIONS[3])?.ratio(at(order, POPULATIONS[0])?);
        let verdict = |order| Verdict::at_most(format!("the {order}: 100,000 waits ÷ 100 waits"), ratio(order), 3.0);
        ORDERS.map(verdict).into()
    },
};

const POPULATIONS: [usize; 4] = [100, 1_000, 10_000, 100_000];
/// Which of the waits is dropped.
const NEWEST: &str = "newest";
const OLDEST: &str = "oldest";
const ORDERS: [&str; 3] = [NEWEST, OLDEST, "random"];
/// Most figures of a turn in each order, and the longest time for them.
const TURN: usize = 200;
const TIME: Duration = Duration::from_millis(30);

fn contestants(count: usize) -> [Contestant; 3] {
    let bare = move |room| turns(Bare::new(count, room)?, count);
    let rings = format!("bare rings of {} waits", Bare::ROOM);
    [
        Contestant::new(BARE_RING, move || bare(count)),
        Contestant::new(rings, move || bare(Bare::ROOM)),
        Contestant::new(Config::Uring, move || turns(Ours::new(kept_futexes(count)?.1), count)),
    ]
}

/// Arms the population. Drops and rearms waits in each turn.
fn turns(mut population: impl Population + 'static, count: usize) -> Result<Turn> {
    (0..count).try_for_each(|id| population.arm(id))?;
    let (mut ages, mut random) = (Ages::new(count), Rng::with_seed(1));
    Ok(Box::new(move |figures| {
        for order in ORDERS {
            let begin = Instant::now();
            for _ in 0..TURN {
                let id = match order {
                    NEWEST => ages.newest(),
                    OLDEST => ages.oldest(),
                    _ => random.usize(..count),
                };
                let start = Instant::now();
                population.cancel(id)?;
                figures.add(&case(order, count), [start.elapsed().as_nanos() as f64]);
                population.arm(id)?;
                ages.renew(id);
                if begin.elapsed() > TIME {
                    break;
                }
            }
        }
        Ok(())
    }))
}

/// The numbers of the waits by age. To renew one touches few others, which leaves the caches to what is measured.
struct Ages {
    /// How often each number has been armed.
    armed: Vec<u32>,
    /// From the oldest to the newest, with what `armed` was. An entry whose count has changed is stale.
    queue: VecDeque<(usize, u32)>,
}

impl Ages {
    /// The numbers from 0, which is the oldest.
    fn new(count: usize) -> Self {
        Self { armed: vec![0; count], queue: (0..count).map(|id| (id, 0)).collect() }
    }

    fn newest(&self) -> usize {
        self.queue[self.queue.len() - 1].0
    }

    fn oldest(&mut self) -> usize {
        while self.queue[0].1 != self.armed[self.queue[0].0] {
            self.queue.pop_front();
        }
        self.queue[0].0
    }

    /// Makes a number the newest.
    fn renew(&mut self, id: usize) {
        self.armed[id] += 1;
        self.queue.push_back((id, self.armed[id]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewed_numbers_are_the_newest() {
        let mut ages = Ages::new(4);
        for id in [2, 0, 3, 3] {
            ages.renew(id);
            assert_eq!(ages.newest(), id);
        }
        for id in [1, 2, 0, 3] {
            assert_eq!(ages.oldest(), id);
            ages.renew(id);
        }
    }
}
