//! `ipc_members` and `ipc_members_death`: what the members of a region cost.

use crate::hull::Hull;
use crate::membership::Watcher;
use crate::ours::Kind;
use crate::peer::{Peer, Role};
use crate::question::{Contestant, Question, Turn, Unit, Verdict, case};
use anyhow::{Result, ensure};
use futex_ipc::{Mutex, Region, Semaphore};
use futex_tokio::{SharedMemory, Word};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, Instant};

pub(super) const JOINS: Question = Question {
    name: "ipc_members",
    asks: "What do joins and sums over the members cost, in a region with 100 objects?",
    unit: Unit::Nanoseconds,
    reference: None,
    seconds: [20, 5],
    contestants: |_| MEMBERS.map(|members| Contestant::new(OURS, move || joins(members))).into(),
    verdicts: |answer| {
        let p50 = answer.p50(OURS, &case(JOIN, MEMBERS[0]));
        let target = format!("join and leave a region with {OBJECTS} objects, in µs");
        vec![Verdict::at_most(target, p50.map(|nanoseconds| nanoseconds / 1e3), 200.0)]
    },
};

pub(super) const DEATHS: Question = Question {
    name: "ipc_members_death",
    asks: "How long does it take until all members are told of a death, in a region with 100 objects?",
    unit: Unit::Nanoseconds,
    reference: None,
    seconds: [20, 5],
    contestants: |_| vec![Contestant::new(OURS, || deaths(CROWD))],
    verdicts: |answer| {
        let p50 = answer.p50(OURS, &case(DEATH, CROWD));
        let target = format!("a death with {CROWD} processes until all are told, in ms");
        vec![Verdict::at_most(target, p50.map(|nanoseconds| nanoseconds / 1e6), 20.0)]
    },
};

const OURS: &str = "ours";

const JOIN: &str = "join and leave, as the last";
const SUM: &str = "available permits, members";
const DEATH: &str = "a death until all are told, processes";

/// Numbers of members, which are all in this process.
const MEMBERS: [usize; 3] = [2, 64, 256];
/// Number of members, each of which is a process. A second crowd would disturb this one.
const CROWD: usize = 64;

/// Number of figures per turn.
const FIGURES: usize = 20;
/// Number of sums for one figure.
const SUMS: u32 = 100;

fn joins(members: usize) -> Result<Turn> {
    let first = region(members.max(64))?;
    let descriptor = first.share()?;
    let join = move || Region::builder().from_fd(&descriptor);
    let others = (2..members).map(|_| join()).collect::<Result<Vec<_>, _>>()?;
    let semaphore = Semaphore::create(&first, "permits", 8)?;
    Ok(Box::new(move |figures| {
        let _present = &others;
        for _ in 0..FIGURES {
            let start = Instant::now();
            drop(join()?);
            figures.add(&case(JOIN, members), [start.elapsed().as_nanos() as f64]);
        }
        let start = Instant::now();
        for _ in 0..SUMS {
            semaphore.available_permits()?;
        }
        figures.add(&case(SUM, members), [start.elapsed().as_nanos() as f64 / f64::from(SUMS)]);
        Ok(())
    }))
}

fn deaths(members: usize) -> Result<Turn> {
    let mut crowd = Crowd::start(members)?;
    Ok(Box::new(move |figures| {
        for _ in 0..FIGURES / 4 {
            figures.add(&case(DEATH, members), [crowd.lose_one()?]);
        }
        Ok(())
    }))
}

/// Number of objects of a region.
const OBJECTS: usize = 100;

/// Bytes for the objects, besides the records of a semaphore.
const SPACE: usize = 64 << 10;

/// A process that does not answer for this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A region with [`OBJECTS`] objects and room for `members`.
fn region(members: usize) -> Result<Region> {
    let members = u32::try_from(members)?;
    let region = Region::builder()
        .members(members)
        .objects(OBJECTS as u32 + 1)
        .bytes(SPACE + members as usize * 128)
        .anonymous()?;
    for object in 0..OBJECTS {
        Mutex::create(&region, &format!("object {object}"), 0_u64)?;
    }
    Ok(region)
}

/// A region whose members are this process and others, all of which are told of each death.
struct Crowd {
    object: OwnedFd,
    control: SharedMemory,
    /// Number of processes that have answered.
    answers: Word,
    told: Vec<Peer>,
    _region: Region,
}

impl Crowd {
    /// Starts the processes. Together with this process and the one that is killed, there are `members`.
    fn start(members: usize) -> Result<Self> {
        let region = region(members)?;
        let control = SharedMemory::anonymous(4096)?;
        let answers = control.word(0)?;
        let mut crowd = Self { object: region.share()?, answers, control, told: Vec::new(), _region: region };
        for _ in 2..members {
            crowd.told.push(crowd.peer(Watcher::Told)?);
        }
        crowd.wait_for(members - 2)?;
        Ok(crowd)
    }

    fn peer(&self, watcher: Watcher) -> Result<Peer> {
        let hull = Hull::of([&self.control as &dyn AsFd, &self.object])?;
        Peer::start(Role::Join(watcher), Kind::CurrentThread, None, hull)
    }

    /// Waits for this number of answers.
    fn wait_for(&self, count: usize) -> Result<()> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let answers = self.answers.load(Acquire);
            if answers as usize == count {
                self.answers.store(0, Relaxed);
                return Ok(());
            }
            ensure!(Instant::now() < give_up, "{answers} of {count} processes have answered");
            self.answers.wait(answers, Some(PATIENCE))?;
        }
    }

    /// Kills a member. Returns the nanoseconds from the kill until each of the others is told.
    fn lose_one(&mut self) -> Result<f64> {
        let mut victim = self.peer(Watcher::Victim)?;
        self.wait_for(1)?;
        let start = Instant::now();
        victim.kill()?;
        self.wait_for(self.told.len())?;
        Ok(start.elapsed().as_nanos() as f64)
    }
}
