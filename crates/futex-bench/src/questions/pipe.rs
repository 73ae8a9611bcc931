//! `pipe`: messages a second between processes.

use crate::answer::Answer;
use crate::contestant::{Contestant, Figures};
use crate::executor::Executor;
use crate::ours::Config;
use crate::peer::{Part, Peer, Role};
use crate::pipes::Pipe;
use crate::pipes::opened::Opened;
use crate::pipes::slots::Order;
use crate::question::{Chart, Effort, Question, Unit};
use crate::verdict::Verdict;
use std::io;
use std::time::Instant;

pub(super) const QUESTION: Question = Question {
    name: "pipe",
    asks: "How many messages of 52 bytes a second go from one producer, and from two, to a consumer?",
    unit: Unit::PerSecond,
    reference: Some("Unix socket pair"),
    seconds: (50, 8),
    contestants,
    verdicts,
    charts: &[Chart::Bars("1 producer"), Chart::Bars("2 producers")],
};

/// Least number of rounds for the verdict on a task per slot. The quartiles of its turns are a factor of 1.5 apart.
const ROUNDS: usize = 9;

fn contestants(effort: Effort) -> Vec<Contestant> {
    // Messages of a producer in a turn.
    let messages = effort.pick(5_000, 20_000);
    let with = |pipe: Pipe, producers| Contestant::new(pipe.to_string(), move || start(pipe, producers, messages));
    let all = Pipe::ALL.into_iter().flat_map(|pipe| match pipe {
        Pipe::Slots(_, Order::TaskPerSlot) => vec![with(pipe, 2)],
        _ => vec![with(pipe, 1), with(pipe, 2)],
    });
    all.collect()
}

fn verdicts(answer: &Answer) -> Vec<Verdict> {
    let ours = Pipe::Slots(Config::URING, Order::InOrder).to_string();
    let verdict = |rival: Pipe, producers| {
        let case = case(producers);
        let ratio = answer.ratio(&ours, &rival.to_string(), &case);
        Verdict::at_least(format!("ours on uring ÷ {rival} ({case})"), ratio, 1.0)
    };
    let rivals = [Pipe::Socket, Pipe::IpcChannel, Pipe::Iceoryx2];
    let rivals = rivals.into_iter().flat_map(|rival| [1, 2].map(|producers| verdict(rival, producers)));
    rivals.chain([task_per_slot(answer)]).collect()
}

/// Each round has a turn of both, so the ratio is the median over pairs of turns.
fn task_per_slot(answer: &Answer) -> Verdict {
    let series = |config| answer.series(&Pipe::Slots(config, Order::TaskPerSlot).to_string(), &case(2));
    let both = series(Config::URING).zip(series(Config::WAITV));
    let both = both.filter(|(uring, waitv)| uring.rounds().min(waitv.rounds()) >= ROUNDS);
    let ratio = both.and_then(|(uring, waitv)| uring.ratio(waitv));
    Verdict::at_least(format!("a task per slot: uring ÷ waitv ({}, {ROUNDS} rounds or more)", case(2)), ratio, 0.95)
}

fn case(producers: usize) -> String {
    format!("{producers} producer{}", if producers == 1 { "" } else { "s" })
}

fn start(pipe: Pipe, producers: usize, messages: u32) -> io::Result<impl FnMut(&mut Figures) -> io::Result<()>> {
    let executor = Executor::new(pipe.executor())?;
    let Opened { control, hulls, consume } = executor.enter(|| pipe.open(producers))?;
    let mut peers = Vec::new();
    for (producer, mut hull) in hulls.into_iter().enumerate() {
        let name = std::mem::take(&mut hull.name);
        let part = Part { role: Role::Produce(pipe, producer), executor: pipe.executor(), cpu: None, name };
        peers.push(Peer::start(&part, hull)?);
    }
    let mut consume = consume()?;
    let mut turn = move |messages: u32| {
        let _alive = &peers;
        let start = Instant::now();
        control.want(messages);
        let all = messages as usize * producers;
        consume(&executor, all)?;
        io::Result::Ok(all as f64 / start.elapsed().as_secs_f64())
    };
    // The producers are there, and connected (iceoryx2's lose what they send in haste before), and warm.
    turn(1)?;
    turn(messages / 10)?;
    Ok(move |figures: &mut Figures| {
        figures.add(&case(producers), turn(messages)?);
        Ok(())
    })
}
