//! `pipe`: messages per second between processes.

use crate::ours::{Config, Kind};
use crate::peer::{Peer, Role};
use crate::pipes::{Control, Order, Pipe};
use crate::question::{Answer, Contestant, Question, Turn, Unit, Verdict};
use anyhow::Result;
use std::time::Instant;

pub(super) const QUESTION: Question = Question {
    name: "pipe",
    asks: "How many messages of 52 bytes per second go from one producer, and from two, to a consumer?",
    unit: Unit::PerSecond,
    reference: Some("Unix socket pair"),
    seconds: [50, 8],
    contestants: |quick| {
        // Number of messages of a producer in a turn.
        let messages = if quick { 5_000 } else { 20_000 };
        let with = |(pipe, producers): (Pipe, _)| Contestant::new(pipe, move || start(pipe, producers, messages));
        let in_order = Config::BACKENDS.map(|config| Pipe::Slots(config, Order::InOrder)).into_iter().chain(RIVALS);
        let tasks = [Config::Uring, Config::Waitv, Config::Interrupting, Config::Thread];
        let tasks = tasks.map(|config| (Pipe::Slots(config, Order::TaskPerSlot), 2));
        in_order.flat_map(|pipe| [(pipe, 1), (pipe, 2)]).chain(tasks).map(with).collect()
    },
    verdicts: |answer| {
        let ours = Pipe::Slots(Config::Uring, Order::InOrder);
        let verdict = |(rival, producers)| {
            let (rival, case): (Pipe, _) = (rival, case(producers));
            let ratio = answer.ratio(ours, rival, &case);
            Verdict::at_least(format!("ours on uring ÷ {rival} ({case})"), ratio, 1.0)
        };
        let rivals = RIVALS.into_iter().flat_map(|rival| [(rival, 1), (rival, 2)]);
        rivals.map(verdict).chain([task_per_slot(answer)]).collect()
    },
};

const RIVALS: [Pipe; 3] = [Pipe::Socket, Pipe::IpcChannel, Pipe::Iceoryx2];

/// Least number of rounds for the verdict on a task per slot. The quartiles of its turns are a factor of 1.5 apart.
const ROUNDS: usize = 9;

/// Each round has a turn of both, so the ratio is the median over pairs of turns.
fn task_per_slot(answer: &Answer) -> Verdict {
    let series = |config| answer.series(Pipe::Slots(config, Order::TaskPerSlot), &case(2));
    let both = series(Config::Uring).zip(series(Config::Waitv));
    let both = both.filter(|(uring, waitv)| uring.rounds().min(waitv.rounds()) >= ROUNDS);
    let ratio = both.and_then(|(uring, waitv)| uring.ratio(waitv));
    Verdict::at_least(format!("a task per slot: uring ÷ waitv ({}, {ROUNDS} rounds or more)", case(2)), ratio, 0.95)
}

fn case(producers: usize) -> String {
    format!("{producers} producer{}", if producers == 1 { "" } else { "s" })
}

fn start(pipe: Pipe, producers: usize, messages: u32) -> Result<Turn> {
    let (runtime, control) = (Kind::CurrentThread.runtime()?, Control::new()?);
    let (mut consume, hulls) = runtime.block_on(async { pipe.open(&control, producers) })?;
    let start = |(producer, hull)| Peer::start(Role::Produce(pipe, producer), Kind::CurrentThread, None, hull);
    let peers = hulls.into_iter().enumerate().map(start).collect::<Result<Vec<_>>>()?;
    let mut turn = move |messages: u32| {
        let _alive = &peers;
        let start = Instant::now();
        control.want(messages);
        let all = messages as usize * producers;
        consume(&runtime, all)?;
        anyhow::Ok(all as f64 / start.elapsed().as_secs_f64())
    };
    // The producers are there, and connected (before that, those of iceoryx2 lose messages), and warm.
    turn(1)?;
    turn(messages / 10)?;
    Ok(Box::new(move |figures| {
        figures.add(&case(producers), [turn(messages)?]);
        Ok(())
    }))
}
