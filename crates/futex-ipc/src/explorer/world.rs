//! The memory, the kernel and the processes, and the events that lead from one state to the next.

use super::queue::Queue;
use super::view::View;
use super::{N, Program, Scenario, Trouble};
use crate::steps::member::{DEAD, FREE, Join, LIVE, Mark, slot_word};
use crate::steps::mutex::owner;
use crate::steps::sweep::Sweep;
use crate::steps::{Machine, Place, Recheck, Sleep, Step, high, low};

/// A state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct World<P, const CELLS: usize> {
    pub(crate) cells: [u64; CELLS],
    pub(crate) slots: [u64; N],
    pub(crate) queue: Queue,
    pub(crate) processes: [Process<P>; N],
    pub(crate) trouble: Trouble,
    /// True if a process died in the middle of a change, and no later owner has settled that.
    pub(crate) dirty: bool,
}

/// A process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Process<P> {
    pub(crate) life: Life,
    /// True while it has the lock of its slot. A process that was killed keeps it for a moment.
    pub(crate) locked: bool,
    pub(crate) generation: u32,
    pub(crate) task: Task<P>,
    pub(crate) wait: Wait,
    /// True if it may be cancelled after its last step.
    pub(crate) suspended: bool,
    watcher: Watcher,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Life {
    Alive,
    /// Asleep if its wait was in the kernel when it was stopped.
    Stopped {
        asleep: bool,
    },
    Dead,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Task<P> {
    Joining(Join),
    Running(P),
    Over,
}

/// The wait of a task, as the kernel has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Wait {
    None,
    Arming(Sleep),
    Queued(Sleep),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Watcher {
    Idle,
    Mark(Mark),
    Sweep(Sweep),
    Recheck(Recheck),
}

/// A step from one state to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Steps(usize),
    Arms(usize),
    Retries(usize),
    IsCancelled(usize),
    WatcherSteps(usize),
    ExaminesSlot(usize, usize),
    ComparesAgain(usize),
    IsKilled(usize),
    LosesLock(usize),
    JoinsAgain(usize),
    IsStopped(usize),
    KernelDropsZombie(usize),
}

impl Event {
    /// False for events that need not happen.
    pub(crate) fn must_happen(self) -> bool {
        !matches!(
            self,
            Self::Retries(_) | Self::IsCancelled(_) | Self::IsKilled(_) | Self::JoinsAgain(_) | Self::IsStopped(_)
        )
    }
}

impl<P: Program, const CELLS: usize> World<P, CELLS> {
    pub(crate) fn new(scenario: &Scenario<P, CELLS>) -> Self {
        let process = |slot| {
            let life = if slot < scenario.processes { Life::Alive } else { Life::Dead };
            Process {
                life,
                locked: life == Life::Alive,
                generation: 1,
                task: Task::Running((scenario.start)(slot)),
                wait: Wait::None,
                suspended: false,
                watcher: Watcher::Idle,
            }
        };
        let mut processes = std::array::from_fn(process);
        let mut slots = [slot_word(1, LIVE); N];
        for slot in scenario.processes..N {
            slots[slot] = slot_word(0, FREE);
            processes[slot].generation = 0;
            processes[slot].task = Task::Over;
        }
        if scenario.two_tasks {
            slots[1] = slot_word(0, FREE);
            processes[1].locked = false;
        }
        Self {
            cells: scenario.cells,
            slots,
            queue: Queue::default(),
            processes,
            trouble: scenario.trouble,
            dirty: false,
        }
    }

    /// The programs of the living processes.
    pub(crate) fn programs(&self) -> impl Iterator<Item = &P> {
        self.processes.iter().filter(|process| process.life != Life::Dead).filter_map(|process| match &process.task {
            Task::Running(program) => Some(program),
            _ => None,
        })
    }

    /// True if a process is stopped between two steps of an operation. A wake that it owes to others may be missing.
    pub(crate) fn is_any_stopped_awake(&self) -> bool {
        let is_awake = |process: &Process<P>| process.life == Life::Stopped { asleep: false };
        self.processes.iter().any(|process| is_awake(process) && process.task != Task::Over)
    }

    /// True if a process is stopped that a word names as the owner.
    pub(crate) fn is_owner_stopped(&self, place: Place) -> bool {
        let owner = owner(self.cells[place.0 as usize]);
        owner.is_some_and(|owner| matches!(self.processes[owner.slot as usize].life, Life::Stopped { .. }))
    }

    /// True if a process is stopped whose record, of those from `first` on, is not 0.
    pub(crate) fn is_record_of_stopped(&self, first: Place) -> bool {
        let is_held =
            |(process, record): (&Process<P>, &u64)| matches!(process.life, Life::Stopped { .. }) && low(*record) > 0;
        self.processes.iter().zip(&self.cells[first.0 as usize..]).any(is_held)
    }

    /// True if a word names a member that died, as the owner of a mutex.
    pub(crate) fn names_dead(&self, place: Place) -> bool {
        owner(self.cells[place.0 as usize]).is_some_and(|member| {
            let process = &self.processes[member.slot as usize];
            process.life == Life::Dead || process.generation != member.generation
        })
    }

    /// True if each living process is done or excused.
    pub(crate) fn is_done(&self, scenario: &Scenario<P, CELLS>) -> bool {
        self.processes.iter().enumerate().all(|(i, process)| {
            process.life != Life::Alive || process.task == Task::Over || (scenario.excused)(self, i)
        })
    }

    /// Appends the events that can happen next.
    pub(crate) fn events(&self, scenario: &Scenario<P, CELLS>, out: &mut Vec<Event>) {
        let alive = self.processes.iter().filter(|process| process.life == Life::Alive).count();
        for (i, process) in self.processes.iter().enumerate().take(scenario.processes) {
            let is_member = !scenario.is_second_task(i);
            if is_member && process.life != Life::Dead && self.trouble.kills > 0 && alive > 1 {
                out.push(Event::IsKilled(i));
            }
            match process.life {
                Life::Alive => self.events_of(scenario, i, out),
                Life::Stopped { .. } => {}
                Life::Dead if process.locked => out.push(Event::LosesLock(i)),
                Life::Dead if is_member && self.trouble.rejoins > 0 => out.push(Event::JoinsAgain(i)),
                Life::Dead => {}
            }
        }
        out.extend(self.queue.zombies().map(Event::KernelDropsZombie));
    }

    fn events_of(&self, scenario: &Scenario<P, CELLS>, i: usize, out: &mut Vec<Event>) {
        let process = &self.processes[i];
        match (process.task, process.wait) {
            (Task::Over, _) => {}
            (_, Wait::None) => out.push(Event::Steps(i)),
            (_, Wait::Arming(..)) => out.push(Event::Arms(i)),
            (_, Wait::Queued(..)) => {}
        }
        if let (Task::Running(mut program), Wait::None) = (process.task, process.wait) {
            if program.retry() {
                out.push(Event::Retries(i));
            }
        }
        if process.suspended && self.trouble.cancels > 0 && !matches!(process.wait, Wait::Arming(..)) {
            if let Task::Running(mut program) = process.task {
                if program.cancel() {
                    out.push(Event::IsCancelled(i));
                }
            }
        }
        match process.watcher {
            Watcher::Idle if scenario.is_second_task(i) || matches!(process.task, Task::Joining(_)) => {}
            Watcher::Idle => {
                let at_it = self.processes.iter().filter(|process| process.watcher != Watcher::Idle).count();
                let all = if at_it < scenario.sweepers { scenario.processes } else { 0 };
                for j in (0..all).filter(|&j| j != i) {
                    let died = !self.processes[j].locked || low(self.slots[j]) == DEAD;
                    if low(self.slots[j]) != FREE && (died || scenario.examine_always) {
                        out.push(Event::ExaminesSlot(i, j));
                    }
                }
                if let Wait::Queued(Sleep { place, expected, mask, .. }) = process.wait {
                    if scenario.trouble.stops > 0 && (low(self.cells[place.0 as usize]) ^ expected) & mask != 0 {
                        out.push(Event::ComparesAgain(i));
                    }
                }
            }
            _ => out.push(Event::WatcherSteps(i)),
        }
        if self.trouble.stops > 0 {
            out.push(Event::IsStopped(i));
        }
    }

    /// The state after an event.
    pub(crate) fn after(mut self, scenario: &Scenario<P, CELLS>, event: Event) -> Self {
        match event {
            Event::Steps(i) => self.step(scenario, i),
            Event::Arms(i) => {
                let Wait::Arming(sleep @ Sleep { place, expected, .. }) = self.processes[i].wait else {
                    unreachable!()
                };
                self.processes[i].wait = if low(self.cells[place.0 as usize]) == expected {
                    self.queue.push(place, u8::try_from(i).unwrap());
                    Wait::Queued(sleep)
                } else {
                    Wait::None
                };
            }
            Event::Retries(i) => {
                if let Task::Running(program) = &mut self.processes[i].task {
                    program.retry();
                }
            }
            Event::IsCancelled(i) => {
                self.trouble.cancels -= 1;
                let own = u8::try_from(i).unwrap();
                if let Some(index) = self.queue.find(|_, process| process == own) {
                    self.queue.remove(index);
                }
                let process = &mut self.processes[i];
                process.wait = Wait::None;
                process.suspended = false;
                if let Task::Running(program) = &mut process.task {
                    program.cancel();
                }
            }
            Event::WatcherSteps(i) => self.watcher_step(scenario, i),
            Event::ExaminesSlot(i, j) => {
                self.processes[i].watcher = Watcher::Mark(Mark::new(u32::try_from(j).unwrap()));
                self.watcher_step(scenario, i);
            }
            Event::ComparesAgain(i) => {
                let Wait::Queued(sleep) = self.processes[i].wait else { unreachable!() };
                self.processes[i].watcher = Watcher::Recheck(Recheck::new(sleep));
                self.watcher_step(scenario, i);
            }
            Event::IsKilled(i) => self.kill(scenario, i),
            Event::LosesLock(i) => self.processes[i].locked = false,
            Event::JoinsAgain(i) => {
                self.trouble.rejoins -= 1;
                let process = &mut self.processes[i];
                process.life = Life::Alive;
                process.locked = true;
                process.task = Task::Joining(Join::new(u32::try_from(i).unwrap()));
            }
            Event::IsStopped(i) => {
                self.trouble.stops -= 1;
                let process = &mut self.processes[i];
                process.life = Life::Stopped { asleep: matches!(process.wait, Wait::Queued(..)) };
            }
            Event::KernelDropsZombie(index) => {
                self.queue.remove(index);
            }
        }
        self.renumber(scenario);
        self
    }

    fn step(&mut self, scenario: &Scenario<P, CELLS>, i: usize) {
        let Process { mut task, .. } = self.processes[i];
        let step = match &mut task {
            Task::Joining(join) => match self.run(scenario, i, |view| join.step(view)) {
                Step::Done(member) => {
                    self.processes[i].generation = member.generation;
                    task = Task::Running((scenario.start)(i));
                    Step::Next
                }
                step => step.map(drop),
            },
            Task::Running(program) => {
                let before = *program;
                let step = self.run(scenario, i, |view| program.step(view));
                (scenario.followed)(&before, program, &mut self.dirty);
                step
            }
            Task::Over => unreachable!(),
        };
        let process = &mut self.processes[i];
        process.task = if step == Step::Done(()) { Task::Over } else { task };
        process.suspended = matches!(step, Step::Contended | Step::Sleep { .. });
        if let Step::Sleep(sleep) = step {
            process.wait = Wait::Arming(sleep);
        }
    }

    fn watcher_step(&mut self, scenario: &Scenario<P, CELLS>, i: usize) {
        let mut watcher = self.processes[i].watcher;
        let done = match &mut watcher {
            Watcher::Idle => unreachable!(),
            Watcher::Mark(mark) => match self.run(scenario, i, |view| mark.step(view)) {
                Step::Done(Some(dead)) => {
                    watcher = Watcher::Sweep(Sweep::new(dead));
                    false
                }
                step => matches!(step, Step::Done(_)),
            },
            Watcher::Sweep(sweep) => self.run(scenario, i, |view| sweep.step(view)) == Step::Done(()),
            Watcher::Recheck(recheck) => matches!(self.run(scenario, i, |view| recheck.step(view)), Step::Done(_)),
        };
        self.processes[i].watcher = if done { Watcher::Idle } else { watcher };
    }

    pub(crate) fn kill(&mut self, scenario: &Scenario<P, CELLS>, i: usize) {
        self.trouble.kills = self.trouble.kills.saturating_sub(1);
        for j in (0..N).filter(|&j| scenario.slot_of(j) == i) {
            self.end(scenario, j);
        }
        self.processes[i].locked = true;
    }

    /// Ends a task without a further step.
    fn end(&mut self, scenario: &Scenario<P, CELLS>, i: usize) {
        let own = u8::try_from(i).unwrap();
        let process = &mut self.processes[i];
        self.dirty |= matches!(&process.task, Task::Running(program) if (scenario.inside)(program));
        *process = Process {
            life: Life::Dead,
            locked: false,
            generation: 0,
            task: Task::Over,
            wait: Wait::None,
            suspended: false,
            watcher: Watcher::Idle,
        };
        self.queue.bury(own);
    }

    /// Runs a step of a process, which makes one access at most.
    fn run<T>(&mut self, scenario: &Scenario<P, CELLS>, i: usize, step: impl FnOnce(&View<'_, P, CELLS>) -> T) -> T {
        let view = View::new(scenario, self, i);
        let outcome = step(&view);
        assert!(view.accesses() <= 1, "a step made more than one access");
        outcome
    }

    /// Sets each counter to 0. A value that was loaded from it becomes 0 if it is still the same, and otherwise a value that does
    /// not occur again. Machines only compare such values.
    fn renumber(&mut self, scenario: &Scenario<P, CELLS>) {
        for counted in scenario.counted {
            let (index, bits) = (counted.place.0 as usize, counted.bits);
            let there = self.cells[index] & bits;
            // A value that was loaded from the low half alone is compared without the high half.
            let mut fresh = |place: Place, seen: u64| {
                let is_stale = (seen ^ there) & bits != 0;
                match place == counted.place {
                    true => seen & !bits | if is_stale { bits } else { 0 },
                    false => seen,
                }
            };
            for process in &mut self.processes {
                if let Task::Running(program) = &mut process.task {
                    program.renumber(&mut fresh);
                }
                if let Wait::Arming(Sleep { place, expected, .. }) | Wait::Queued(Sleep { place, expected, .. }) =
                    &mut process.wait
                {
                    if bits & u64::from(u32::MAX) != 0 {
                        *expected = low(fresh(*place, (*expected).into()));
                    }
                }
            }
            self.cells[index] &= !bits;
        }
    }
}

impl<P: Program, const CELLS: usize> World<P, CELLS> {
    /// The state in one line.
    pub(crate) fn show(&self) -> String {
        let cells: Vec<_> = self.cells.iter().map(|cell| format!("{:x}:{:08x}", high(*cell), low(*cell))).collect();
        let slots: Vec<_> = self.slots.iter().map(|slot| format!("{}:{}", high(*slot), low(*slot))).collect();
        format!("words {} slots {} {}", cells.join(" "), slots.join(" "), self.queue)
    }
}
