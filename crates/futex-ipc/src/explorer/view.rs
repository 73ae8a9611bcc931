//! The accesses of one process.

use super::queue::ZOMBIE;
use super::world::{Task, Wait, World};
use super::{Program, Scenario};
use crate::steps::{Member, Place, Role, Words};
use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;

/// The memory as a process has it.
pub(super) struct View<'a, P: Program, const CELLS: usize> {
    scenario: &'a Scenario<P, CELLS>,
    world: RefCell<&'a mut World<P, CELLS>>,
    i: usize,
    accesses: Cell<u32>,
}

impl<'a, P: Program, const CELLS: usize> View<'a, P, CELLS> {
    pub(super) fn new(scenario: &'a Scenario<P, CELLS>, world: &'a mut World<P, CELLS>, i: usize) -> Self {
        Self { scenario, world: RefCell::new(world), i, accesses: Cell::new(0) }
    }

    /// Number of accesses to shared memory, and of calls of the kernel.
    pub(super) fn accesses(&self) -> u32 {
        self.accesses.get()
    }

    fn access<T>(&self, f: impl FnOnce(&mut World<P, CELLS>) -> T) -> T {
        self.accesses.set(self.accesses.get() + 1);
        f(&mut self.world.borrow_mut())
    }
}

impl<P: Program, const CELLS: usize> Words for View<'_, P, CELLS> {
    fn load(&self, place: Place, _: Ordering) -> u64 {
        self.access(|world| world.cells[place.0 as usize])
    }

    fn store(&self, place: Place, value: u64, _: Ordering) {
        self.access(|world| world.cells[place.0 as usize] = value);
    }

    fn compare_exchange(&self, place: Place, current: u64, new: u64, _: Ordering) -> Result<u64, u64> {
        self.access(|world| replace(&mut world.cells[place.0 as usize], current, new))
    }

    fn fetch_add(&self, place: Place, n: u64, _: Ordering) -> u64 {
        self.access(|world| {
            let cell = &mut world.cells[place.0 as usize];
            std::mem::replace(cell, cell.wrapping_add(n))
        })
    }

    fn wake(&self, place: Place, n: u32) -> u32 {
        self.access(|world| {
            let mut woken = 0;
            while woken < n {
                let Some(index) = world.queue.find(|there, _| there == place) else { break };
                let process = world.queue.remove(index);
                woken += 1;
                if process != ZOMBIE {
                    let process = &mut world.processes[usize::from(process)];
                    process.wait = Wait::None;
                    if let Task::Running(program) = &mut process.task {
                        program.woken();
                    }
                }
            }
            woken
        })
    }

    fn slot(&self, slot: u32, _: Ordering) -> u64 {
        self.access(|world| world.slots[slot as usize])
    }

    fn replace_slot(&self, slot: u32, current: u64, new: u64) -> Result<u64, u64> {
        self.access(|world| replace(&mut world.slots[slot as usize], current, new))
    }

    fn is_locked(&self, slot: u32) -> bool {
        self.access(|world| world.processes[slot as usize].locked)
    }

    fn slots(&self) -> u32 {
        u32::try_from(self.scenario.processes).unwrap()
    }

    fn me(&self) -> Member {
        let slot = self.scenario.slot_of(self.i);
        let generation = self.world.borrow().processes[slot].generation;
        Member { slot: u32::try_from(slot).unwrap(), generation }
    }

    fn swept(&self, index: u32) -> Option<(Role, Place)> {
        self.scenario.roles.get(index as usize).copied()
    }
}

fn replace(cell: &mut u64, current: u64, new: u64) -> Result<u64, u64> {
    if *cell == current {
        *cell = new;
        return Ok(current);
    }
    Err(*cell)
}
