//! Processes that use one region are killed at random points, again and again, and replaced.
//!
//! Each child has tasks, threads that block, and waits that are given up. The children differ in their backends and runtimes. In memory
//! outside of the region, each task notes what it does. So each task detects a broken promise of an object: two tasks inside a section, a
//! torn value, a lost change, more permits than the capacity, a death of which the next owner does not learn. The parent detects a task
//! that waits for half a minute. From time to time it lets all children come to their end, and checks that no wake was lost.
//!
//! `FUTEX_IPC_KILLS` is the number of kills (default: 300).
#![cfg(feature = "tokio")]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "../children/mod.rs"]
mod children;

#[path = "../children/chance.rs"]
mod chance;

mod barrier;
mod cell;
mod child;
mod condvar;
mod event;
mod mutex;
mod rwlock;
mod section;
mod semaphore;
mod side;
mod task;

use self::child::{CHILD, LIFE, Objects};
use self::children::Child;
use self::side::{CHILDREN, Figure, PerTask, Shared, Side, TASKS};
use self::task::Waits;
use futex_ipc::Region;
use futex_tests::load::{Rng, reactor_on};
use futex_tokio::Backend;
use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Maximum number of seconds that a wait takes. All sections are short.
const PATIENCE: u64 = 30;

/// Time without a processor after which this process is starved.
const LATE: Duration = Duration::from_millis(30);

/// Time for which a starvation explains a recheck that found a lost wake. A recheck comes within 1.5 s, and its task counts it after its
/// next operation.
const EXCUSE: Duration = Duration::from_secs(4);

/// Number of kills after which all children come to their end, and new ones start.
///
/// A kill hides a lost wake: the sweep of the dead wakes all, and no child lives long enough for a recheck. Without further kills, only the
/// recheck ends a wait whose wake was lost.
const KILLS_BETWEEN_ENDS: usize = 25;

fn number_of_kills() -> usize {
    std::env::var("FUTEX_IPC_KILLS").map_or(300, |n| n.parse().expect("FUTEX_IPC_KILLS is a number"))
}

#[test]
#[ignore = "not a test: child processes of the tests run it"]
fn a_child_process() {
    if children::role().is_some() {
        child::work();
    }
}

/// The processes, and what they share.
struct Harness {
    side: Side,
    region: OwnedFd,
    backends: Vec<&'static str>,
    children: Vec<Option<Child>>,
    /// The life of each child.
    lives: Vec<usize>,
    next_life: usize,
    /// The last time that this process got no processor for a moment although it was ready. Then other processes may have got none
    /// either: a task that was woken, and has not run yet, looks like a lost wake.
    starved: Option<Instant>,
    /// Number of rechecks that found a lost wake, and that a starvation explains.
    excused: u64,
    /// Number of checks after which no recheck was excused.
    strict_checks: u64,
}

impl Harness {
    fn start(kills: usize) -> Self {
        let backends = [(Backend::Uring, "uring"), (Backend::Waitv, "waitv"), (Backend::Thread, "thread")];
        let backends: Vec<_> =
            backends.into_iter().filter(|&(kind, _)| reactor_on(kind).is_some()).map(|(_, name)| name).collect();
        let region = region();
        let mut harness = Self {
            side: Side::new(kills + CHILDREN * (1 + kills / KILLS_BETWEEN_ENDS)),
            region,
            backends,
            children: (0..CHILDREN).map(|_| None).collect(),
            lives: vec![0; CHILDREN],
            next_life: 0,
            starved: None,
            excused: 0,
            strict_checks: 0,
        };
        harness.spawn_all();
        harness
    }

    fn spawn_all(&mut self) {
        self.side.shared(Shared::Stop).store(0, SeqCst);
        (0..CHILDREN).for_each(|child| self.spawn(child));
    }

    fn spawn(&mut self, child: usize) {
        let life = self.next_life;
        self.next_life += 1;
        self.lives[child] = life;
        // What the predecessor noted ends with it.
        for task in 0..TASKS {
            for word in [PerTask::Waits, PerTask::Reads, PerTask::Holds] {
                self.side.per_task(word, child, task).store(0, SeqCst);
            }
        }
        let backend = self.backends[life % self.backends.len()].to_owned();
        let variables = [(LIFE, life.to_string()), (CHILD, child.to_string()), ("FUTEX_BACKEND", backend)];
        let process = Child::start("work", &[&self.region, self.side.memory()], variables);
        self.children[child] = Some(process);
    }

    /// Kills some of the children at once, and replaces them.
    fn kill(&mut self, victims: &[usize]) {
        self.side.shared(Shared::Kills).fetch_add(victims.len() as u64, SeqCst);
        victims.iter().for_each(|&victim| self.side.doom(self.lives[victim]));
        for &victim in victims {
            let child = self.children[victim].as_mut().unwrap();
            child.signal();
        }
        for &victim in victims {
            self.children[victim].take().unwrap().kill();
            self.spawn(victim);
        }
    }

    /// Number of sections and the like that the children have ended.
    fn progress(&self) -> u64 {
        [Figure::Sections, Figure::Reads, Figure::Holds]
            .map(|figure| self.side.figure(figure).load(SeqCst))
            .into_iter()
            .sum()
    }

    /// Checks that all children run, and that no task waits for long.
    fn check(&mut self) {
        assert_eq!(self.side.figure(Figure::Violations).load(SeqCst), 0, "a child has printed the violation above");
        for child in 0..CHILDREN {
            let status = self.children[child].as_mut().and_then(Child::status);
            assert_eq!(status, None, "child {child} ended by itself: its message is above");
            for task in 0..TASKS {
                let word = self.side.per_task(PerTask::Waits, child, task).load(SeqCst);
                if let Some((_, seconds @ PATIENCE..)) = Waits::of_word(word) {
                    panic!("task {task} of child {child} has waited for {seconds} s\n{}", self.show());
                }
            }
        }
        self.check_rechecks();
    }

    fn check_rechecks(&mut self) {
        let rechecks = self.side.figure(Figure::Rechecks).load(SeqCst);
        let is_excused = self.starved.is_some_and(|at| at.elapsed() < EXCUSE);
        assert!(
            is_excused || rechecks == self.excused,
            "{} lost wakes were found only by the check once a second\n{}",
            rechecks - self.excused,
            self.show()
        );
        self.excused = rechecks;
        self.strict_checks += u64::from(!is_excused);
    }

    /// What each task waits for.
    fn show(&self) -> String {
        let mut text = String::new();
        for child in 0..CHILDREN {
            let backend = self.backends[self.lives[child] % self.backends.len()];
            write!(text, "child {child}, life {}, {backend}:", self.lives[child]).unwrap();
            for task in 0..TASKS {
                match Waits::of_word(self.side.per_task(PerTask::Waits, child, task).load(SeqCst)) {
                    Some((object, seconds)) => write!(text, " {object:?} {seconds} s;").unwrap(),
                    None => text.push_str(" -;"),
                }
            }
            text.push('\n');
        }
        for (name, owner) in [("mutex", Shared::MutexOwner), ("write", Shared::WriteOwner)] {
            writeln!(text, "{name}: {:#x} is inside", self.side.shared(owner).load(SeqCst)).unwrap();
        }
        text
    }

    /// Notes a starvation if this process has needed longer than that since `start`.
    fn is_late(&mut self, start: Instant, time: Duration) {
        if start.elapsed() > time {
            self.starved = Some(Instant::now());
        }
    }

    /// Ends all children, which must come to their end without a recheck.
    fn end(&mut self) {
        self.side.shared(Shared::Stop).store(1, SeqCst);
        let start = Instant::now();
        let objects = Objects::open(&self.region, "the parent").unwrap();
        while self.children.iter().any(Option::is_some) {
            let turn = Instant::now();
            // Those that would have set the events may have ended.
            objects.event.set().unwrap();
            self.side.count(Figure::Sets);
            objects.pass.set().unwrap();
            self.side.count(Figure::Given);
            objects.store.things.blocking_update(|things| *things += 1).unwrap();
            objects.store.more.notify_all().unwrap();
            for child in self.children.iter_mut().filter(|child| child.is_some()) {
                if let Some(status) = child.as_mut().unwrap().status() {
                    assert!(status.success(), "a child ended with {status}: its message is above");
                    *child = None;
                }
            }
            assert!(start.elapsed().as_secs() < 2 * PATIENCE, "a child does not end\n{}", self.show());
            std::thread::yield_now();
            self.is_late(turn, 3 * LATE);
        }
        self.check_rechecks();
    }
}

/// The children that are left are killed, which must not look like a violation to each other.
impl Drop for Harness {
    fn drop(&mut self) {
        self.lives.iter().for_each(|&life| self.side.doom(life));
    }
}

/// The file of a new region. The parent is not a member, so the children depend on each other.
fn region() -> OwnedFd {
    let region = Region::builder().members(8).objects(128).bytes(256 << 10).anonymous().unwrap();
    region.share().unwrap()
}

#[test]
fn no_promise_is_broken_and_nobody_is_stuck_when_processes_are_killed() {
    let kills = number_of_kills();
    let mut harness = Harness::start(kills);
    let mut rng = Rng::new(std::process::id().into());
    let mut killed = 0;
    while killed < kills {
        // A slow machine takes longer to start a child than a pause lasts. A kill must find something to interrupt there too.
        let enough = harness.progress() + rng.below(12) as u64;
        let limit = Instant::now() + Duration::from_secs(PATIENCE);
        loop {
            // A random point of time, not a synchronisation.
            let pause = Duration::from_micros(rng.below(8_000) as u64);
            let start = Instant::now();
            std::thread::sleep(pause);
            harness.is_late(start, pause + LATE);
            harness.check();
            if harness.progress() >= enough {
                break;
            }
            assert!(Instant::now() < limit, "no child makes progress\n{}", harness.show());
        }
        let mut victims: Vec<usize> = (0..CHILDREN).collect();
        rng.shuffle(&mut victims);
        let n = match rng.below(20) {
            0 => CHILDREN,
            1 | 2 => 2,
            _ => 1,
        };
        victims.truncate(n.min(kills - killed));
        harness.kill(&victims);
        let ends = |killed| killed / KILLS_BETWEEN_ENDS;
        let must_end = ends(killed) < ends(killed + victims.len());
        killed += victims.len();
        if must_end && killed < kills {
            harness.end();
            harness.spawn_all();
        }
    }
    harness.check();
    harness.end();
    harness.check_at_the_end();
}

impl Harness {
    fn check_at_the_end(&self) {
        let objects = Objects::open(&self.region, "the parent").unwrap();
        let guard = objects.mutex.try_lock().unwrap().expect("a free mutex");
        assert_eq!(guard[0], self.side.shared(Shared::MutexValue).load(SeqCst));
        drop(guard);
        let guard = objects.rwlock.try_write().unwrap().expect("no reader and no writer");
        assert_eq!(guard[0], self.side.shared(Shared::WriteValue).load(SeqCst));
        drop(guard);
        let permits = objects.semaphore.try_acquire_many(semaphore::PERMITS).unwrap().expect("all permits");
        assert!(objects.semaphore.try_acquire().unwrap().is_none(), "there are more permits");
        drop(permits);
        assert_eq!(objects.semaphore.available_permits().unwrap(), semaphore::PERMITS);
        let [given, taken] = [Figure::Given, Figure::Taken].map(|figure| self.side.figure(figure).load(SeqCst));
        let things = *objects.store.things.try_lock().unwrap().expect("a free mutex");
        // Each task of a process that was killed may have counted, and not committed, or the other way round.
        let uncertain = self.side.kills() * TASKS as u64;
        assert!((0..=uncertain).contains(&(given - taken).wrapping_sub(things)), "{given} - {taken}, {things}");
        let figures = Figure::ALL.map(|figure| format!("{figure:?}: {}", self.side.figure(figure).load(SeqCst)));
        println!("{} kills; {}; {} strict checks", self.side.kills(), figures.join(", "), self.strict_checks);
        for figure in
            [Figure::Sections, Figure::Reads, Figure::Cancelled, Figure::ToldOfDeath, Figure::FoundDead, Figure::Left]
        {
            assert_ne!(self.side.figure(figure).load(SeqCst), 0, "{figure:?}");
        }
    }
}
