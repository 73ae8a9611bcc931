//! `round_trip_hot`: the same as `round_trip`, with adaptive spinning on.

use super::trips;
use crate::answer::Answer;
use crate::contestant::{BLOCKING, Contestant};
use crate::links::Link;
use crate::ours::Config;
use crate::question::{Chart, Effort, Question, Unit};
use crate::verdict::Verdict;

pub(super) const QUESTION: Question = Question {
    name: "round_trip_hot",
    asks: "How long is a round trip where both sides are busy and spin before they sleep, and what does that cost?",
    unit: Unit::Nanoseconds,
    reference: Some(BLOCKING),
    seconds: (60, 8),
    contestants,
    verdicts,
    charts: &[Chart::Bars("multi-thread, unpinned"), Chart::Distribution("multi-thread, unpinned")],
};

const SPINNING: Link = Link::Ours(Config::URING.spinning());
const SLEEPING: Link = Link::Ours(Config::URING);

fn contestants(_: Effort) -> Vec<Contestant> {
    let links = [Link::Blocking, SPINNING, Link::Ours(Config::WAITV.spinning()), SLEEPING, Link::Socket];
    links.into_iter().flat_map(|link| trips::contestants(link, trips::Kind::ProcessesAndCpu)).collect()
}

fn verdicts(answer: &Answer) -> Vec<Verdict> {
    let spinning = |rival: Link, limit: f64| {
        trips::cases().map(move |case| {
            let ratio = answer.ratio(&SPINNING.to_string(), &rival.to_string(), &case);
            Verdict::at_most(format!("{SPINNING} ÷ {rival} ({case})"), ratio, limit)
        })
    };
    // "Never slower", with what two turns of one contestant differ by.
    spinning(Link::Blocking, 0.05).chain(spinning(SLEEPING, 1.05)).collect()
}
