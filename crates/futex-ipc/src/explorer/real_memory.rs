//! The crash points over a real region: the memory, the table of members, the directory and the kernel's futexes are real.
//!
//! The members are attachments of this process. The *victim* makes its steps in the test's thread, so that it stops after each
//! single one. Another member has made some steps before, and sleeps in the kernel if its program says so. Then the victim dies:
//! its lock of the slot is dropped as at the end of a process. Another member marks the slot and sweeps, and each living member goes on
//! in a separate thread.

use super::world::{Life, Task, Wait, World};
use super::{N, Program, Scenario};
use crate::directory::{Kind, Spec};
use crate::membership::{Membership, Sweeping};
use crate::presence::Presence;
use crate::region::Region;
use crate::steps::member::{FREE, Mark, slot_word};
use crate::steps::sweep::Sweep;
use crate::steps::{Member, Place, Role, Sleep, Step, Words};
use crate::testing::another_member;
use futex_sys::futex::{Scope, WaitOutcome, wait};
use futex_sys::{Deadline, MATCH_ANY};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{self, Acquire, Relaxed, SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The words of an object, whose places begin with 0.
struct Object {
    membership: Arc<Presence>,
    base: u32,
}

impl Object {
    fn at(&self, place: Place) -> Place {
        Place(self.base + place.0)
    }
}

impl Words for Object {
    fn load(&self, place: Place, order: Ordering) -> u64 {
        self.membership.load(self.at(place), order)
    }

    fn store(&self, place: Place, value: u64, order: Ordering) {
        self.membership.store(self.at(place), value, order);
    }

    fn compare_exchange(&self, place: Place, current: u64, new: u64, order: Ordering) -> Result<u64, u64> {
        self.membership.compare_exchange(self.at(place), current, new, order)
    }

    fn fetch_add(&self, place: Place, n: u64, order: Ordering) -> u64 {
        self.membership.fetch_add(self.at(place), n, order)
    }

    fn wake(&self, place: Place, n: u32) -> u32 {
        self.membership.wake(self.at(place), n)
    }

    fn slot(&self, slot: u32, order: Ordering) -> u64 {
        self.membership.slot(slot, order)
    }

    fn replace_slot(&self, slot: u32, current: u64, new: u64) -> Result<u64, u64> {
        self.membership.replace_slot(slot, current, new)
    }

    fn is_locked(&self, slot: u32) -> bool {
        self.membership.is_locked(slot)
    }

    fn slots(&self) -> u32 {
        self.membership.slots()
    }

    fn me(&self) -> Member {
        self.membership.me()
    }

    fn swept(&self, _: u32) -> Option<(Role, Place)> {
        None
    }
}

/// The progress of a member.
#[derive(Clone, Copy)]
struct State<P> {
    task: Task<P>,
    /// `Queued` while it sleeps, or is about to.
    wait: Wait,
}

impl<P: Program> State<P> {
    /// Makes a step. Returns false if there is none to make: the program is over, or sleeps.
    fn step(&mut self, object: &Object) -> bool {
        let (Task::Running(program), Wait::None) = (&mut self.task, self.wait) else { return false };
        match program.step(object) {
            Step::Done(()) => self.task = Task::Over,
            Step::Sleep(sleep) => self.wait = Wait::Queued(sleep),
            Step::Next | Step::Contended | Step::Busy => {}
        }
        true
    }
}

struct Player<P> {
    object: Arc<Object>,
    state: Arc<Mutex<State<P>>>,
    thread: Option<JoinHandle<()>>,
}

impl<P: Program + Send + 'static> Player<P> {
    fn state(&self) -> State<P> {
        *self.state.lock().unwrap()
    }

    /// Makes some steps. Returns how many it made before it slept or was over.
    fn go(&self, steps: usize) -> usize {
        let mut state = self.state.lock().unwrap();
        (0..steps).find(|_| !state.step(&self.object)).unwrap_or(steps)
    }

    /// Cancels the operation if it sleeps, and makes some steps of its undo.
    fn cancel(&self, steps: usize) {
        let mut state = self.state.lock().unwrap();
        let State { task: Task::Running(program), wait: wait @ Wait::Queued(_) } = &mut *state else { return };
        if program.cancel() {
            *wait = Wait::None;
            drop(state);
            self.go(steps);
        }
    }

    /// Goes on in a thread, until the program is over or `ending`.
    fn go_on(&mut self, ending: &Arc<AtomicBool>) {
        let (object, state, ending) = (self.object.clone(), self.state.clone(), ending.clone());
        self.thread.get_or_insert_with(|| {
            std::thread::spawn(move || {
                while !ending.load(Relaxed) {
                    let now = *state.lock().unwrap();
                    if let Wait::Queued(Sleep { place, expected, .. }) = now.wait {
                        let word = object.membership.half(object.at(place));
                        let deadline = Deadline::after(Duration::from_secs(30));
                        let outcome = wait(word, Scope::Shared, expected, MATCH_ANY, Some(deadline)).unwrap();
                        let mut state = state.lock().unwrap();
                        state.wait = Wait::None;
                        if let (WaitOutcome::Woken, Task::Running(program)) = (outcome, &mut state.task) {
                            program.woken();
                        }
                    } else if !state.lock().unwrap().step(&object) {
                        return;
                    }
                }
            })
        });
    }

    /// True if the kernel has its sleep, or if the thread goes on since the sleep has ended.
    fn is_asleep_or_on(&self) -> bool {
        match self.state().wait {
            Wait::Queued(Sleep { place, .. }) => {
                let word = self.object.membership.word(self.object.at(place)).unwrap();
                word.waiters().unwrap() > 0
            }
            _ => true,
        }
    }
}

/// A region with the object of a scenario, and a member for each process.
struct Scene<P> {
    players: Vec<Player<P>>,
    ending: Arc<AtomicBool>,
}

impl<P: Program + Send + 'static> Scene<P> {
    fn new<const CELLS: usize>(scenario: &Scenario<P, CELLS>) -> Self {
        let first = Region::builder().members(N as u32).objects(1).bytes(4096).anonymous().unwrap();
        let more = (1..scenario.processes).map(|_| another_member(&first));
        let regions: Vec<Region> = [first.clone()].into_iter().chain(more).collect();
        let roles: Vec<(Role, u32)> = scenario.roles.iter().map(|&(role, place)| (role, place.0)).collect();
        let spec = Spec {
            kind: Kind::Mutex,
            name: "object",
            type_name: "cells",
            type_version: 1,
            size: 8,
            align: 8,
            parameter: 0,
            len: CELLS as u32,
            roles: &roles,
            records: None,
        };
        let membership = first.membership();
        let init = |words: &[std::sync::atomic::AtomicU64]| {
            words.iter().zip(scenario.cells).for_each(|(word, cell)| word.store(cell, Relaxed));
        };
        let (entry, _) = membership.directory().open_or_create(membership, &spec, init).unwrap();
        let players = regions.iter().enumerate().map(|(slot, region)| Player {
            object: Arc::new(Object { membership: region.presence().clone(), base: entry.base.0 }),
            state: Arc::new(Mutex::new(State { task: Task::Running((scenario.start)(slot)), wait: Wait::None })),
            thread: None,
        });
        Self { players: players.collect(), ending: Arc::default() }
    }

    /// Ends a member like the end of its process. Its operation remains incomplete.
    fn kill(&mut self, victim: usize) {
        let Player { object, .. } = self.players.remove(victim);
        let Object { membership, .. } = Arc::into_inner(object).unwrap();
        Arc::into_inner(membership).expect("the last share of the membership").die();
    }

    /// Finds the death, and sweeps. The watcher of a member may be faster.
    fn sweep(&self, victim: usize) {
        let membership: &Membership = &self.players[0].object.membership;
        let slot = victim as u32;
        let start = Instant::now();
        while membership.slot(slot, Acquire) != slot_word(1, FREE) {
            if let Some(dead) = crate::run::run(membership, Mark::new(slot)).unwrap() {
                crate::run::run(&Sweeping::new(membership), Sweep::new(dead)).unwrap();
            }
            assert!(start.elapsed().as_secs() < 20, "the death is not swept");
        }
    }

    /// The state, as the explorer knows it. The members that have threads may be further.
    fn world<const CELLS: usize>(&self, scenario: &Scenario<P, CELLS>) -> World<P, CELLS> {
        let mut world = World::new(scenario);
        for process in &mut world.processes {
            (process.life, process.task) = (Life::Dead, Task::Over);
        }
        for player in &self.players {
            let Member { slot, generation } = player.object.me();
            let State { task, wait } = player.state();
            let process = &mut world.processes[slot as usize];
            (process.life, process.generation, process.task, process.wait) = (Life::Alive, generation, task, wait);
        }
        for slot in 0..N as u32 {
            world.slots[slot as usize] = self.players[0].object.slot(slot, SeqCst);
        }
        for (index, cell) in world.cells.iter_mut().enumerate() {
            *cell = self.players[0].object.load(Place(index as u32), SeqCst);
        }
        world
    }

    /// Lets all members finish.
    fn finish<const CELLS: usize>(mut self, scenario: &Scenario<P, CELLS>, name: &str) {
        for player in &mut self.players {
            player.go_on(&self.ending);
        }
        let start = Instant::now();
        loop {
            let world = self.world(scenario);
            let is_over = |player: &Player<P>| {
                let slot = player.object.me().slot as usize;
                world.processes[slot].task == Task::Over || (scenario.excused)(&world, slot)
            };
            if self.players.iter().all(is_over) {
                if let Some(what) = (scenario.check)(&world) {
                    panic!("{name}: {what}: {world:?}");
                }
                break;
            }
            assert!(start.elapsed().as_secs() < 20, "{name}: a living member does not finish: {world:#x?}");
            std::thread::yield_now();
        }
        self.ending.store(true, Relaxed);
        for player in &mut self.players {
            let thread = player.thread.take().unwrap();
            while !thread.is_finished() {
                // An excused member may sleep.
                for cell in 0..CELLS as u32 {
                    player.object.wake(Place(cell), u32::MAX);
                }
                std::thread::yield_now();
            }
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    }
}

/// The order in which the victim and another member make their steps.
#[derive(Clone, Copy, Debug)]
struct Order {
    /// Number of steps that the victim makes before the other one. It makes the rest afterwards.
    first: usize,
    /// Number of steps of the other one.
    other: usize,
}

const ORDERS: [Order; 10] = [
    Order { first: 0, other: 0 },
    Order { first: 0, other: 2 },
    Order { first: 0, other: 4 },
    Order { first: 0, other: 7 },
    Order { first: 0, other: 20 },
    Order { first: 1, other: 20 },
    Order { first: 3, other: 20 },
    Order { first: 5, other: 20 },
    Order { first: usize::MAX, other: 4 },
    Order { first: usize::MAX, other: 20 },
];

/// Number of steps of an undo, at most.
const UNDO: usize = 4;

/// Kills each member after each of its steps, and after each step of the undo if it sleeps. Returns the number of crash points.
fn crash_everywhere<P: Program + Send + 'static, const CELLS: usize>(
    scenario: &Scenario<P, CELLS>,
    name: &str,
) -> usize {
    let mut tried = 0;
    for order in ORDERS {
        for victim in 0..scenario.processes {
            for steps in 0.. {
                let name = format!("{name}: {victim} dies after {steps} steps, {order:?}");
                let (went, is_asleep) = crash(scenario, victim, steps, None, order, &name);
                tried += 1;
                if went == steps {
                    continue;
                }
                // A member that is over has nothing to undo.
                for undo in (0..=UNDO).filter(|_| is_asleep) {
                    let name = format!("{name}, and {undo} steps of the undo");
                    crash(scenario, victim, steps, Some(undo), order, &name);
                    tried += 1;
                }
                break;
            }
        }
    }
    println!("{name}: {tried} crash points");
    tried
}

/// Kills a member after some steps, and some steps of the undo. Returns how many it made before it slept or was over,
/// and true if it slept.
fn crash<P: Program + Send + 'static, const CELLS: usize>(
    scenario: &Scenario<P, CELLS>,
    victim: usize,
    steps: usize,
    undo: Option<usize>,
    order: Order,
    name: &str,
) -> (usize, bool) {
    let mut scene = Scene::new(scenario);
    let ending = scene.ending.clone();
    let first = order.first.min(steps);
    let mut went = scene.players[victim].go(first);
    let other = (victim + 1) % scenario.processes;
    scene.players[other].go(order.other);
    if scene.players[other].state().wait != Wait::None {
        scene.players[other].go_on(&ending);
        while !scene.players[other].is_asleep_or_on() {
            std::thread::yield_now();
        }
    }
    went += scene.players[victim].go(steps - first);
    let is_asleep = scene.players[victim].state().wait != Wait::None;
    if let Some(steps) = undo {
        scene.players[victim].cancel(steps);
    }
    if scene.players[other].thread.is_none() {
        if let Some(what) = (scenario.check)(&scene.world(scenario)) {
            panic!("{name}: {what}");
        }
    }
    scene.kill(victim);
    scene.sweep(victim);
    scene.finish(scenario, name);
    (went, is_asleep)
}

#[test]
fn after_a_death_at_any_step_the_others_go_on_in_real_memory() {
    let mut tried = 0;
    tried += crash_everywhere(&super::mutex::LOCKERS, "mutex");
    tried += crash_everywhere(&super::mutex::ONE_TRIES, "mutex, one tries");
    tried += crash_everywhere(&super::rwlock::RRW, "rwlock RRW");
    tried += crash_everywhere(&super::rwlock::RWW, "rwlock RWW");
    tried += crash_everywhere(&super::semaphore::ONE, "semaphore of 1");
    tried += crash_everywhere(&super::semaphore::LARGE, "semaphore of 3");
    tried += crash_everywhere(&super::semaphore::RESIZED, "semaphore of 2 whose capacity changes");
    tried += crash_everywhere(&super::once::CELL, "once");
    tried += crash_everywhere(&super::event::EVENT, "event");
    tried += crash_everywhere(&super::event::ONE_BY_ONE, "automatic event");
    tried += crash_everywhere(&super::barrier::PARTIES, "barrier");
    tried += crash_everywhere(&super::condvar::ONE_GIVES, "condvar");
    assert!(tried > 500, "{tried} crash points");
}
