//! `round_trip`, `round_trip_hot` and `in_process`: change and wake, the other side's task, and back.

use crate::links::{End, Link, echo, round_trips};
use crate::ours::{Config, Kind, run};
use crate::peer::{Peer, Role};
use crate::question::{Answer, BLOCKING, Contestant, Figures, Question, Unit, Verdict};
use crate::rounds::pin;
use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};
use std::thread;
use tokio::runtime::Runtime;

pub(super) const COLD: Question = Question {
    name: "round_trip",
    asks: "How long does it take to wake a task of another process and be woken by it?",
    unit: Unit::Nanoseconds,
    reference: Some(BLOCKING),
    seconds: [90, 14],
    contestants: |_| {
        let bare = [Link::Blocking, Link::LateBlocking, Link::BareRing];
        let rivals = [Link::Eventfd, Link::Socket, Link::SpawnBlocking, Link::Iceoryx2];
        let ours = Config::BACKENDS.map(Link::Ours);
        bare.into_iter().chain(ours).chain(rivals).flat_map(|link| contestants(link, Other::Process)).collect()
    },
    verdicts: |answer| {
        let blocking = verdicts(answer, URING, Link::Blocking, 1.10, &BOTH);
        let eventfds = verdicts(answer, URING, Link::Eventfd, 1.03, &BOTH);
        let waitv = verdicts(answer, Link::Ours(Config::Waitv), Link::SpawnBlocking, 1.0, &BOTH);
        blocking.chain(eventfds).chain(waitv).collect()
    },
};

pub(super) const HOT: Question = Question {
    name: "round_trip_hot",
    asks: "How long is a round trip if both sides are busy and spin before they sleep, and what does that cost?",
    unit: Unit::Nanoseconds,
    reference: Some(BLOCKING),
    seconds: [60, 8],
    contestants: |_| {
        let links = [Link::Blocking, SPINNING, Link::Ours(Config::SpinningWaitv), URING, Link::Socket];
        links.into_iter().flat_map(|link| contestants(link, Other::ProcessAndItsTime)).collect()
    },
    verdicts: |answer| {
        // "Never slower" allows for the difference between two turns of one contestant.
        let never_slower = verdicts(answer, SPINNING, URING, 1.05, &BOTH);
        verdicts(answer, SPINNING, Link::Blocking, 0.05, &BOTH).chain(never_slower).collect()
    },
};

pub(super) const IN_PROCESS: Question = Question {
    name: "in_process",
    asks: "How long is a round trip between tasks on two threads of one process, each with its runtime?",
    unit: Unit::Nanoseconds,
    reference: Some("tokio Notify"),
    seconds: [30, 6],
    contestants: |_| {
        let links = [Link::Notify, Link::Blocking].into_iter().chain(Config::BACKENDS.map(Link::Ours));
        links.flat_map(|link| contestants(link, Other::Thread)).collect()
    },
    verdicts: |answer| verdicts(answer, URING, Link::Notify, 2.0, &BOTH[..1]).collect(),
};

const URING: Link = Link::Ours(Config::Uring);
const SPINNING: Link = Link::Ours(Config::SpinningUring);

/// Number of round trips in a turn.
const TURN: usize = 400;
/// Number of round trips before the first turn.
const WARM_UP: usize = 200;

const BOTH: [Option<Kind>; 2] = [Some(Kind::CurrentThread), Some(Kind::MultiThread)];
/// The places, with the processors of the two sides.
const PLACES: [(&str, [Option<usize>; 2]); 2] = [("unpinned", [None; 2]), ("pinned", [Some(0), Some(1)])];

/// The other side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Other {
    Process,
    /// Processor time is measured too: what both sides use for each round trip.
    ProcessAndItsTime,
    /// A thread of this process.
    Thread,
}

/// The name of a case. A thread that blocks has no runtime worth naming.
fn case(runtime: Option<Kind>, place: &str) -> String {
    match runtime {
        None => place.to_owned(),
        Some(Kind::CurrentThread) => format!("current-thread, {place}"),
        Some(Kind::MultiThread) => format!("multi-thread, {place}"),
    }
}

/// A verdict on a ratio in each place, for each of the runtimes.
fn verdicts(
    answer: &Answer,
    ours: Link,
    rival: Link,
    limit: f64,
    runtimes: &[Option<Kind>],
) -> impl Iterator<Item = Verdict> {
    PLACES.into_iter().flat_map(move |(place, _)| {
        runtimes.iter().map(move |&runtime| answer.at_most(ours, rival, &case(runtime, place), limit))
    })
}

/// A contestant in each place, for each runtime that the link may run on.
fn contestants(link: Link, other: Other) -> impl Iterator<Item = Contestant> {
    let runtimes: &[Option<Kind>] = match (link, other) {
        (Link::Blocking | Link::LateBlocking | Link::BareRing, _) => &[None],
        // Two tasks of one multi-thread runtime might share a thread.
        (_, Other::Thread) => &BOTH[..1],
        _ => &BOTH,
    };
    // A late side shows the effect of processors that go to sleep, so each side needs its own.
    let places = PLACES.into_iter().filter(move |(place, _)| link != Link::LateBlocking || *place == "pinned");
    places.flat_map(move |(place, cpus)| {
        runtimes.iter().map(move |&runtime| {
            let start = move || {
                let kind = runtime.unwrap_or(Kind::CurrentThread);
                let mut pair = Pair::new(link, other, kind, cpus[1], case(runtime, place))?;
                pair.trips(WARM_UP)?;
                Ok(Box::new(move |figures: &mut Figures| pair.turn(figures)) as _)
            };
            Contestant { cpu: cpus[0], ..Contestant::new(link, start) }
        })
    })
}

/// Both sides.
struct Pair {
    /// Dropped before this side's end, so that it does not complain about the loss of that.
    peer: Option<Peer>,
    end: Option<End>,
    runtime: Runtime,
    case: String,
    other: Other,
}

impl Pair {
    /// The other side runs on processor `cpu`.
    fn new(link: Link, other: Other, kind: Kind, cpu: Option<usize>, case: String) -> Result<Self> {
        let runtime = kind.runtime()?;
        let (end, peer) = if other == Other::Thread {
            let there = kind.runtime()?;
            let [mine, theirs] = link.ends([&runtime, &there])?;
            // It lives as long as the process. If it fails, this side gets no answer and leaves the question.
            thread::spawn(move || {
                let _ = cpu.map(pin);
                run(&there, echo(theirs))
            });
            (mine, None)
        } else {
            let [mine, theirs] = link.hulls()?;
            let end = runtime.block_on(async { link.end(mine, 0) })?;
            (end, Some(Peer::start(Role::Echo(link), kind, cpu, theirs)?))
        };
        Ok(Self { peer, end: Some(end), runtime, case, other })
    }

    fn turn(&mut self, figures: &mut Figures) -> Result<()> {
        let before = self.cpu_time()?;
        let trips = self.trips(TURN)?;
        let used = self.cpu_time()? - before;
        figures.add(&self.case, trips);
        if self.other == Other::ProcessAndItsTime {
            figures.add(&format!("{}: CPU time of both", self.case), [used / TURN as f64]);
        }
        Ok(())
    }

    /// Nanoseconds of processor time that both sides have used.
    fn cpu_time(&self) -> Result<f64> {
        let own = clock_gettime(ClockId::ProcessCPUTime);
        let theirs = self.peer.as_ref().map_or(Ok(0.0), Peer::cpu_time)?;
        Ok(own.tv_sec as f64 * 1e9 + own.tv_nsec as f64 + theirs)
    }

    fn trips(&mut self, count: usize) -> Result<Vec<f64>> {
        let end = self.end.take().context("the latest round trips failed")?;
        let (end, trips) = run(&self.runtime, round_trips(end, count))?;
        self.end = Some(end);
        Ok(trips)
    }
}
