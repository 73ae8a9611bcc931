//! Round trips between two sides, for the questions about them.

use crate::contestant::{Contestant, Figures};
use crate::executor::{self, Executor};
use crate::links::end::{echo, round_trips};
use crate::links::{AnyEnd, Link};
use crate::peer::{Part, Peer, Role};
use crate::stage::pin;
use crate::usage::own_cpu_time;
use executor::Kind as Executors;
use std::io;
use std::thread;

/// Round trips of a turn.
const TURN: usize = 400;
/// Round trips before the first turn.
const WARM_UP: usize = 200;

/// Which processors the two sides are kept on.
const PLACES: [Place; 2] = [Place { name: "unpinned", cpus: None }, Place { name: "pinned", cpus: Some([0, 1]) }];

#[derive(Clone, Copy)]
struct Place {
    name: &'static str,
    cpus: Option<[usize; 2]>,
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Round trips with another process.
    Processes,
    /// The same, and what processor time both sides use for each.
    ProcessesAndCpu,
    /// Round trips with another thread of this process.
    Threads,
}

/// A contestant for each runtime that the link may run on, and each place.
pub(super) fn contestants(link: Link, kind: Kind) -> impl Iterator<Item = Contestant> {
    let executors: &[Executors] = match (link, kind) {
        (Link::Blocking | Link::LateBlocking | Link::BareRing, _) => &[Executors::Blocking],
        // Two tasks of one runtime would share a thread.
        (_, Kind::Threads) => &[Executors::CurrentThread],
        _ => &Executors::RUNTIMES,
    };
    PLACES
        .into_iter()
        // It is there to show what processors do that go to sleep.
        .filter(move |place| link != Link::LateBlocking || place.cpus.is_some())
        .flat_map(move |place| executors.iter().map(move |&executor| contestant(link, executor, place, kind)))
}

/// The case of a figure: the runtime, where there is one, and the place.
fn case(executor: Executors, place: Place) -> String {
    match executor {
        Executors::Blocking => place.name.to_owned(),
        _ => format!("{executor}, {}", place.name),
    }
}

/// The cases of what runs on Tokio.
pub(super) fn cases() -> impl Iterator<Item = String> {
    PLACES.into_iter().flat_map(|place| Executors::RUNTIMES.map(|executor| case(executor, place)))
}

fn contestant(link: Link, on: Executors, place: Place, kind: Kind) -> Contestant {
    let [here, there] = place.cpus.map_or([None; 2], |cpus| cpus.map(Some));
    let start = move || {
        let executor = Executor::new(on)?;
        let (end, peer) = match kind {
            Kind::Threads => (beside(link, &executor, on, there)?, None),
            Kind::Processes | Kind::ProcessesAndCpu => {
                let (end, mut hull) = executor.enter(|| link.to_process())?;
                let name = std::mem::take(&mut hull.name);
                let part = Part { role: Role::Echo(link), executor: on, cpu: there, name };
                (end, Some(Peer::start(&part, hull)?))
            }
        };
        let mut pair = Pair { peer, end: Some(end), executor, case: case(on, place), kind };
        pair.trips(WARM_UP)?;
        Ok(move |figures: &mut Figures| pair.turn(figures))
    };
    Contestant::new(link.to_string(), start).on(here)
}

/// Has a thread of this process answer, as long as the process lives.
fn beside(link: Link, executor: &Executor, on: Executors, cpu: Option<usize>) -> io::Result<AnyEnd> {
    let there = Executor::new(on)?;
    let [mine, theirs] = link.within([executor, &there])?;
    thread::spawn(move || {
        // Where this fails the partner gets no answer, and is given up.
        let _ = cpu.map(pin);
        there.run(echo(theirs))
    });
    Ok(mine)
}

/// Both sides.
struct Pair {
    /// Goes first, so that it does not complain of this side's end.
    peer: Option<Peer>,
    end: Option<AnyEnd>,
    executor: Executor,
    case: String,
    kind: Kind,
}

impl Pair {
    fn turn(&mut self, figures: &mut Figures) -> io::Result<()> {
        let before = self.cpu_time()?;
        let trips = self.trips(TURN)?;
        let used = self.cpu_time()? - before;
        figures.many(&self.case, trips);
        if self.kind == Kind::ProcessesAndCpu {
            figures.add(&format!("{}: CPU time of both", self.case), used / TURN as f64);
        }
        Ok(())
    }

    fn cpu_time(&self) -> io::Result<f64> {
        Ok(own_cpu_time() + self.peer.as_ref().map_or(Ok(0.0), Peer::cpu_time)?)
    }

    fn trips(&mut self, count: usize) -> io::Result<Vec<f64>> {
        let end = self.end.take().ok_or_else(|| io::Error::other("the last round trips failed"))?;
        let (end, trips) = self.executor.run(round_trips(end, count))?;
        self.end = Some(end);
        Ok(trips)
    }
}
