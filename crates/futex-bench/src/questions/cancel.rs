//! `cancel`: dropping an armed wait among many.

use crate::answer::Answer;
use crate::contestant::{BARE_RING, Contestant, Figures, case};
use crate::executor::{Executor, Kind};
use crate::ours::Config;
use crate::population::{Bare, Ours, Population, kept_futexes};
use crate::question::{Chart, Effort, Question, Unit};
use crate::random::Random;
use crate::verdict::Verdict;
use std::io;
use std::time::{Duration, Instant};

pub(super) const QUESTION: Question = Question {
    name: "cancel",
    asks: "What does it cost to drop an armed wait, by how many there are and by the age of the one that goes?",
    unit: Unit::Nanoseconds,
    reference: Some(BARE_RING),
    seconds: (50, 8),
    contestants,
    verdicts,
    charts: &[Chart::Population],
};

const POPULATIONS: [usize; 4] = [100, 1_000, 10_000, 100_000];
/// The most figures of a turn in each order, and the most time for them.
const TURN: usize = 200;
const TIME: Duration = Duration::from_millis(30);

/// Which of the waits goes.
#[derive(Clone, Copy)]
enum Order {
    Newest,
    Oldest,
    Random,
}

impl Order {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Newest, "newest"), (Self::Oldest, "oldest"), (Self::Random, "random")];
}

fn contestants(_: Effort) -> Vec<Contestant> {
    let bare = |count| Contestant::new(BARE_RING, move || line_of(Bare::new(count)?, count));
    let rings = format!("bare rings of {} waits", Bare::ROOM);
    let bare_rings = |count| Contestant::new(rings.clone(), move || line_of(Bare::rings(count)?, count));
    let ours = |count| {
        Contestant::new(Config::URING.to_string(), move || {
            let executor = Executor::new(Kind::CurrentThread)?;
            let futexes = executor.enter(|| kept_futexes(&Config::URING.reactor()?, count))?;
            let ours = Ours::new(futexes);
            let mut line = executor.block_on(async { Line::new(ours, count) })?;
            Ok(move |figures: &mut Figures| executor.block_on(async { line.turn(figures) }))
        })
    };
    POPULATIONS.into_iter().flat_map(|count| [bare(count), bare_rings(count), ours(count)]).collect()
}

fn line_of<P: Population>(population: P, count: usize) -> io::Result<impl FnMut(&mut Figures) -> io::Result<()>> {
    let mut line = Line::new(population, count)?;
    Ok(move |figures: &mut Figures| line.turn(figures))
}

fn verdicts(answer: &Answer) -> Vec<Verdict> {
    let ours = Config::URING.to_string();
    let at = |order, count| answer.series(&ours, &case(order, count));
    let ratio = |order| at(order, POPULATIONS[3])?.ratio(at(order, POPULATIONS[0])?);
    let verdict = |order| Verdict::at_most(format!("the {order}: 100,000 waits ÷ 100 waits"), ratio(order), 3.0);
    Order::ALL.into_iter().map(|(_, order)| verdict(order)).collect()
}

/// A population, and in which order it was armed.
struct Line<P> {
    population: P,
    ages: Ages,
    count: usize,
    random: Random,
}

impl<P: Population> Line<P> {
    fn new(mut population: P, count: usize) -> io::Result<Self> {
        (0..count).try_for_each(|id| population.arm(id))?;
        Ok(Self { population, ages: Ages::new(count), count, random: Random::new() })
    }

    fn turn(&mut self, figures: &mut Figures) -> io::Result<()> {
        for (order, name) in Order::ALL {
            let case = case(name, self.count);
            let begin = Instant::now();
            for _ in 0..TURN {
                let id = self.pick(order);
                let start = Instant::now();
                self.population.cancel(id)?;
                figures.add(&case, start.elapsed().as_nanos() as f64);
                self.population.arm(id)?;
                self.ages.renew(id);
                if begin.elapsed() > TIME {
                    break;
                }
            }
        }
        Ok(())
    }

    fn pick(&mut self, order: Order) -> usize {
        match order {
            Order::Newest => self.ages.newest(),
            Order::Oldest => self.ages.oldest(),
            Order::Random => self.random.below(self.count),
        }
    }
}

/// Numbers by age: a ring of links, so that renewing one of many touches a few of them and leaves the caches to what is measured.
struct Ages {
    /// For each number, the next younger one. Behind them all stands the end, which is between the youngest and the oldest.
    younger: Vec<usize>,
    older: Vec<usize>,
}

impl Ages {
    /// As many numbers from 0, which is the oldest.
    fn new(count: usize) -> Self {
        let numbers = count + 1;
        Self {
            younger: (0..numbers).map(|number| (number + 1) % numbers).collect(),
            older: (0..numbers).map(|number| (number + count) % numbers).collect(),
        }
    }

    fn end(&self) -> usize {
        self.younger.len() - 1
    }

    fn oldest(&self) -> usize {
        self.younger[self.end()]
    }

    fn newest(&self) -> usize {
        self.older[self.end()]
    }

    /// Makes a number the youngest.
    fn renew(&mut self, number: usize) {
        self.link(self.older[number], self.younger[number]);
        self.link(self.newest(), number);
        self.link(number, self.end());
    }

    fn link(&mut self, older: usize, younger: usize) {
        self.younger[older] = younger;
        self.older[younger] = older;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewed_numbers_are_the_youngest() {
        let mut ages = Ages::new(4);
        assert_eq!((ages.oldest(), ages.newest()), (0, 3));
        for number in [2, 0, 3, 3] {
            ages.renew(number);
            assert_eq!(ages.newest(), number);
        }
        let mut by_age = Vec::new();
        for _ in 0..4 {
            by_age.push(ages.oldest());
            ages.renew(ages.oldest());
        }
        assert_eq!(by_age, [1, 2, 0, 3]);
    }
}
