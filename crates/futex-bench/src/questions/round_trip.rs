//! `round_trip`: change and wake, the other process's task, and back.

use super::{BLOCKING, trips};
use crate::answer::Answer;
use crate::contestant::Contestant;
use crate::links::Link;
use crate::ours;
use crate::question::{Chart, Effort, Question, Unit};
use crate::verdict::Verdict;
use futex_tokio::Backend;

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
    let ours = ours::BACKENDS.map(|backend| Link::Ours { backend, spin: false });
    let rivals = [Link::Eventfd, Link::Socket, Link::SpawnBlocking, Link::Iceoryx2];
    let links = [Link::Blocking, Link::LateBlocking, Link::BareRing].into_iter().chain(ours).chain(rivals);
    links.flat_map(|link| trips::contestants(link, trips::Kind::Processes)).collect()
}

fn verdicts(answer: &Answer) -> Vec<Verdict> {
    let targets = [
        (Backend::Uring, Link::Blocking, 1.10),
        (Backend::Uring, Link::Eventfd, 1.03),
        (Backend::Waitv, Link::SpawnBlocking, 1.0),
    ];
    let mut verdicts = Vec::new();
    for (backend, rival, limit) in targets {
        for case in trips::cases() {
            let ratio = answer.ratio(&ours::name(backend), &rival.to_string(), &case);
            verdicts.push(Verdict::at_most(format!("ours on {backend} ÷ {rival} ({case})"), ratio, limit));
        }
    }
    verdicts
}
