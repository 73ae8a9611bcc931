//! `cancel`: dropping an armed wait among many.

use super::{BARE_RING, case};
use crate::answer::Answer;
use crate::contestant::{Contestant, Figures};
use crate::executor::{Executor, Kind};
use crate::ours;
use crate::population::{Bare, Ours, Population, kept_futexes};
use crate::question::{Chart, Effort, Question, Unit};
use crate::verdict::Verdict;
use futex_tokio::Backend;
use std::collections::VecDeque;
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
    let bare = |count| {
        Contestant::new(BARE_RING, move || {
            let mut line = Line::new(Bare::new(count)?, count)?;
            Ok(move |figures: &mut Figures| line.turn(figures))
        })
    };
    let ours = |count| {
        Contestant::new(ours::name(Backend::Uring), move || {
            let executor = Executor::new(Kind::CurrentThread)?;
            let futexes = executor.enter(|| kept_futexes(&ours::reactor(Backend::Uring, false)?, count))?;
            let ours = Ours::new(futexes);
            let mut line = executor.block_on(async { Line::new(ours, count) })?;
            Ok(move |figures: &mut Figures| executor.block_on(async { line.turn(figures) }))
        })
    };
    POPULATIONS.into_iter().flat_map(|count| [bare(count), ours(count)]).collect()
}

fn verdicts(answer: &Answer) -> Vec<Verdict> {
    let ours = ours::name(Backend::Uring);
    let at = |order, count| answer.series(&ours, &case(order, count));
    let ratio = |order| at(order, POPULATIONS[3])?.ratio(at(order, POPULATIONS[0])?);
    let verdict = |order| Verdict::at_most(format!("the {order}: 100,000 waits ÷ 100 waits"), ratio(order), 3.0);
    Order::ALL.into_iter().map(|(_, order)| verdict(order)).collect()
}

/// A population in the order in which it was armed.
struct Line<P> {
    population: P,
    /// The oldest first.
    ids: VecDeque<u32>,
    random: u64,
}

impl<P: Population> Line<P> {
    fn new(mut population: P, count: usize) -> io::Result<Self> {
        (0..count).try_for_each(|id| population.arm(id))?;
        Ok(Self { population, ids: (0..count as u32).collect(), random: 1 })
    }

    fn turn(&mut self, figures: &mut Figures) -> io::Result<()> {
        for (order, name) in Order::ALL {
            let case = case(name, self.ids.len());
            let begin = Instant::now();
            for _ in 0..TURN {
                let Some(id) = self.take(order) else { break };
                let start = Instant::now();
                self.population.cancel(id as usize)?;
                figures.add(&case, start.elapsed().as_nanos() as f64);
                self.population.arm(id as usize)?;
                self.ids.push_back(id);
                if begin.elapsed() > TIME {
                    break;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, order: Order) -> Option<u32> {
        match order {
            Order::Newest => self.ids.pop_back(),
            Order::Oldest => self.ids.pop_front(),
            Order::Random => {
                // Knuth's generator; the upper bits are the random ones.
                self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let position = (self.random >> 33) as usize % self.ids.len();
                self.ids.remove(position)
            }
        }
    }
}
