//! `in_process`: a task wakes a task on another thread of the same process, and is woken.

use super::trips;
use crate::answer::Answer;
use crate::contestant::{Contestant, NOTIFY};
use crate::links::Link;
use crate::ours::Config;
use crate::question::{Chart, Effort, Question, Unit};
use crate::verdict::Verdict;

pub(super) const QUESTION: Question = Question {
    name: "in_process",
    asks: "How long is a round trip between tasks on two threads of one process, each with its runtime?",
    unit: Unit::Nanoseconds,
    reference: Some(NOTIFY),
    seconds: (30, 6),
    contestants,
    verdicts,
    charts: &[Chart::Bars(CASE), Chart::Distribution(CASE)],
};

const CASE: &str = "current-thread, unpinned";
const PINNED: &str = "current-thread, pinned";

fn contestants(_: Effort) -> Vec<Contestant> {
    let ours = Config::BACKENDS.map(Link::Ours);
    let links = [Link::Notify, Link::EventListener, Link::Blocking].into_iter().chain(ours);
    links.flat_map(|link| trips::contestants(link, trips::Kind::Threads)).collect()
}

fn verdicts(answer: &Answer) -> Vec<Verdict> {
    let ratio = |case| answer.ratio(&Config::URING.to_string(), NOTIFY, case);
    [CASE, PINNED].map(|case| Verdict::at_most(format!("ours on uring ÷ Notify ({case})"), ratio(case), 2.0)).into()
}
