//! Stops each operation after every single step, kills its member, sweeps, and checks that the other members finish.
//!
//! The explorer does this too. Here each failure names the operation and the step, and a driver of real memory can do the same.

use super::world::{Event, Life, Task, World};
use super::{Program, Scenario};

/// Returns the number of crash points that were tried.
pub(super) fn crash_everywhere<P: Program, const CELLS: usize>(scenario: &Scenario<P, CELLS>, name: &str) -> usize {
    let mut tried = 0;
    // The victim runs alone, or after some steps of another process.
    for steps_of_other in [0, 1, 2, 3, 4, 5, 6, 8, 10, 14, 20] {
        for victim in 0..scenario.processes {
            for steps in 0.. {
                let mut world = World::new(scenario);
                let other = (victim + 1) % scenario.processes;
                go(scenario, &mut world, other, steps_of_other);
                let went = go(scenario, &mut world, victim, steps);
                world.kill(scenario, victim);
                finish(
                    scenario,
                    &mut world,
                    &format!("{name}: {victim} dies after {steps} steps, {steps_of_other} of {other}"),
                );
                tried += 1;
                if went < steps {
                    break;
                }
            }
        }
    }
    tried
}

/// Runs some steps of a process, and returns the number of steps that it made before it slept or was over.
fn go<P: Program, const CELLS: usize>(
    scenario: &Scenario<P, CELLS>,
    world: &mut World<P, CELLS>,
    i: usize,
    steps: usize,
) -> usize {
    for went in 0..steps {
        let mut events = Vec::new();
        world.events(scenario, &mut events);
        let Some(event) = events.into_iter().find(|event| matches!(event, Event::Steps(j) | Event::Arms(j) if *j == i))
        else {
            return went;
        };
        *world = world.after(scenario, event);
    }
    steps
}

/// Runs the other tasks, and the watchers last, until no event is left.
fn finish<P: Program, const CELLS: usize>(scenario: &Scenario<P, CELLS>, world: &mut World<P, CELLS>, name: &str) {
    for _ in 0..10_000 {
        if let Some(what) = (scenario.check)(world) {
            panic!("{name}: {what}\n{}", world.show());
        }
        let mut events = Vec::new();
        world.events(scenario, &mut events);
        let is_task = |event: &Event| matches!(event, Event::Steps(_) | Event::Arms(_));
        let next = events.iter().find(|event| is_task(event)).or(events.iter().find(|event| event.must_happen()));
        let Some(&event) = next else { break };
        *world = world.after(scenario, event);
    }
    for (i, process) in world.processes.iter().enumerate() {
        let over = process.life != Life::Alive || process.task == Task::Over || (scenario.excused)(world, i);
        assert!(over, "{name}: a living process does not finish\n{}\n{:#?}", world.show(), process.task);
    }
}

#[test]
fn after_a_death_at_any_step_the_others_go_on() {
    let mut tried = 0;
    tried += crash_everywhere(&super::mutex::LOCKERS, "mutex");
    tried += crash_everywhere(&super::semaphore::ONE, "semaphore of 1");
    tried += crash_everywhere(&super::semaphore::LARGE, "semaphore of 3");
    tried += crash_everywhere(&super::semaphore::RESIZED, "semaphore of 2, one forgets, one adds");
    tried += crash_everywhere(&super::rwlock::RRW, "rwlock RRW");
    tried += crash_everywhere(&super::rwlock::RWW, "rwlock RWW");
    tried += crash_everywhere(&super::once::CELL, "once");
    tried += crash_everywhere(&super::barrier::PARTIES, "barrier");
    tried += crash_everywhere(&super::condvar::ONE_GIVES, "condvar");
    tried += crash_everywhere(&super::event::EVENT, "event");
    tried += crash_everywhere(&super::event::ONE_BY_ONE, "automatic event");
    println!("{tried} crash points");
    assert!(tried > 500, "{tried} crash points");
}
