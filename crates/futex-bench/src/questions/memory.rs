//! `memory`: bytes of an armed wait.

use crate::allocator;
use crate::answer::Answer;
use crate::contestant::{Contestant, Figures, NOTIFY, case};
use crate::executor::{Executor, Kind};
use crate::ours::Config;
use crate::population::{self, Ours, Population as _};
use crate::question::{Chart, Effort, Question, Unit};
use crate::usage::{ring_bytes, slab_bytes};
use crate::verdict::Verdict;
use futex_tokio::WaitAsync;
use std::future::Future as _;
use std::io;
use std::task::{Context, Waker};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

pub(super) const QUESTION: Question = Question {
    name: "memory",
    asks: "How many bytes does an armed wait take, besides its task? (for each wait)",
    unit: Unit::Bytes,
    reference: Some(NOTIFY),
    seconds: (10, 3),
    contestants,
    verdicts,
    charts: &[Chart::Population],
};

const POPULATIONS: [usize; 3] = [1_000, 10_000, 100_000];
const USER: &str = "heap and rings";
const FUTURE: &str = "the future, in its task";
const KERNEL: &str = "kernel, by the slabs of the whole system,";
/// Below this many the system's own changes are larger.
const ENOUGH_FOR_SLABS: usize = 100_000;

fn contestants(_: Effort) -> Vec<Contestant> {
    vec![Contestant::new(NOTIFY, || Ok(notify)), Contestant::new(Config::URING.to_string(), || Ok(ours))]
}

fn verdicts(answer: &Answer) -> Vec<Verdict> {
    let ours = Config::URING.to_string();
    let verdict = |count| {
        let bytes = answer.p50(&ours, &case(USER, count));
        Verdict::at_most(format!("bytes of user memory for each of {count} waits"), bytes, 150.0)
    };
    POPULATIONS.map(verdict).into()
}

fn notify(figures: &mut Figures) -> io::Result<()> {
    figures.add(FUTURE, size_of::<Notified<'_>>() as f64);
    for count in POPULATIONS {
        let all: Vec<Notify> = std::iter::repeat_with(Notify::new).take(count).collect();
        let mut waits: Vec<_> = all.iter().map(|one| Box::pin(one.notified())).collect();
        let mut cx = Context::from_waker(Waker::noop());
        let (armed, allocated) =
            allocator::count(|| waits.iter_mut().all(|wait| wait.as_mut().poll(&mut cx).is_pending()));
        if !armed {
            return Err(io::Error::other("a Notify was notified by nobody"));
        }
        figures.add(&case(USER, count), allocated.live as f64 / count as f64);
    }
    Ok(())
}

fn ours(figures: &mut Figures) -> io::Result<()> {
    figures.add(FUTURE, size_of::<WaitAsync<'_>>() as f64);
    for count in POPULATIONS {
        // A new one each time: a reactor keeps what it has taken.
        let executor = Executor::new(Kind::CurrentThread)?;
        let futexes = executor.enter(|| population::futexes(&Config::URING.reactor()?, count))?;
        let mut ours = Ours::new(&futexes);
        let (rings, slabs) = (ring_bytes()?, slab_bytes());
        let (done, allocated) =
            allocator::count(|| executor.block_on(async { (0..count).try_for_each(|id| ours.arm(id)) }));
        done?;
        let each = |bytes: f64| bytes / count as f64;
        let (heap, rings) = (each(allocated.live as f64), each(ring_bytes()? - rings));
        figures.add(&case("heap", count), heap);
        figures.add(&case("rings, mapped", count), rings);
        figures.add(&case(USER, count), heap + rings);
        let kernel = slab_bytes().zip(slabs).map(|(after, before)| each(after - before));
        if let Some(kernel) = kernel.filter(|&kernel| count >= ENOUGH_FOR_SLABS && kernel > 0.0) {
            figures.add(&case(KERNEL, count), kernel);
        }
        ours.futexes[0].reactor().close(); // faster than one by one
    }
    Ok(())
}
