//! `round_trip`: change and wake, the other process's task, and back.

use super::trips;
use crate::answer::Answer;
use crate::contestant::{BLOCKING, Contestant};
use crate::links::Link;
use crate::ours::Config;
use crate::question::{Chart, Effort, Question, Unit};
use crate::verdict::Verdict;

pub(super) const QUESTION: Question = Question {
    name: "round_trip",
    asks: "How long does it take to wake a task of another process and be woken by it?",
    unit: Unit::Nanoseconds,
    reference: Some(BLOCKING),
    seconds: (90, 14),
    contestants,
    verdicts,
    charts: &[
        Chart::Bars("multi-thread, unpinned"),
        Chart::Distribution("multi-thread, unpinned"),
        Chart::Distribution("current-thread, unpinned"),
    ],
};

fn contestants(_: Effort) -> Vec<Contestant> {
    let ours = Config::BACKENDS.map(Link::Ours);
    let rivals = [Link::Eventfd, Link::Socket, Link::SpawnBlocking, Link::Iceoryx2];
    let links = [Link::Blocking, Link::LateBlocking, Link::BareRing].into_iter().chain(ours).chain(rivals);
    links.flat_map(|link| trips::contestants(link, trips::Kind::Processes)).collect()
}

fn verdicts(answer: &Answer) -> Vec<Verdict> {
    let targets = [
        (Config::URING, Link::Blocking, 1.10),
        (Config::URING, Link::Eventfd, 1.03),
        (Config::WAITV, Link::SpawnBlocking, 1.0),
    ];
    let mut verdicts = Vec::new();
    for (config, rival, limit) in targets {
        for case in trips::cases() {
            let ratio = answer.ratio(&config.to_string(), &rival.to_string(), &case);
            verdicts.push(Verdict::at_most(format!("{config} ÷ {rival} ({case})"), ratio, limit));
        }
    }
    verdicts
}
