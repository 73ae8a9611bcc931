//! Visits every state.

use super::world::{Event, World};
use super::{Program, Scenario};
use std::collections::HashMap;
use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::Instant;

/// The visited states, with their numbers.
enum Visited<S> {
    /// Whole.
    States(HashMap<S, u32, BuildHasherDefault<Mixer>>),
    /// By 128 bits. Two states that have them in common would be taken for one: at 10⁸ states once in 10²² explorations.
    Hashes(HashMap<u128, u32, BuildHasherDefault<Mixer>>),
}

impl<S: Copy + Eq + Hash> Visited<S> {
    /// The number of a state, and true if it is new.
    fn number(&mut self, state: &S, next: u32) -> (u32, bool) {
        fn enter<K>(entry: Entry<'_, K, u32>, next: u32) -> (u32, bool) {
            match entry {
                Entry::Occupied(entry) => (*entry.get(), false),
                Entry::Vacant(entry) => (*entry.insert(next), true),
            }
        }
        match self {
            Self::States(states) => enter(states.entry(*state), next),
            Self::Hashes(hashes) => {
                let mut mixer = Mixer::default();
                state.hash(&mut mixer);
                enter(hashes.entry(u128::from(mixer.0) << 64 | u128::from(mixer.1)), next)
            }
        }
    }
}

/// A fault, and the way to it.
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) trace: String,
}

impl<P: Program, const CELLS: usize> Scenario<P, CELLS> {
    /// Explores, and panics with the shortest way to a fault.
    #[track_caller]
    pub(crate) fn holds(&self, name: &str) {
        let start = Instant::now();
        match self.explore() {
            Ok(states) => println!("{name}: {states} states, {:.1?}", start.elapsed()),
            Err(Failure { what, trace }) => panic!("{name}: {what}\n{trace}"),
        }
    }

    /// The number of states.
    pub(crate) fn explore(&self) -> Result<usize, Failure> {
        let first = World::new(self);
        let mut visited =
            if self.whole { Visited::States(HashMap::default()) } else { Visited::Hashes(HashMap::default()) };
        visited.number(&first, 0);
        let mut parents: Vec<(u32, u8)> = vec![(0, 0)];
        let mut edges: Vec<(u32, u32)> = Vec::new();
        let mut done = Vec::new();
        let mut open = VecDeque::from([first]);
        let mut events = Vec::new();
        let mut number = 0;
        while let Some(world) = open.pop_front() {
            let fail = |what: &str| Failure { what: what.to_owned(), trace: self.trace(&parents, number) };
            if let Some(what) = (self.check)(&world) {
                return Err(fail(what));
            }
            events.clear();
            world.events(self, &mut events);
            if world.is_done(self) {
                done.push(number);
            } else if !events.iter().any(|event| event.must_happen()) {
                return Err(fail("a living process sleeps for ever"));
            }
            for (index, &event) in events.iter().enumerate() {
                let after = world.after(self, event);
                let next = u32::try_from(parents.len()).unwrap();
                let (to, is_new) = visited.number(&after, next);
                if is_new {
                    parents.push((number, u8::try_from(index).unwrap()));
                    open.push_back(after);
                }
                if event.must_happen() {
                    edges.push((to, number));
                }
            }
            number += 1;
        }
        match without_an_end(parents.len(), edges, done) {
            None => Ok(parents.len()),
            Some(number) => Err(Failure {
                what: "from here there is no way to an end".to_owned(),
                trace: self.trace(&parents, number),
            }),
        }
    }

    /// The way to a state.
    fn trace(&self, parents: &[(u32, u8)], mut number: u32) -> String {
        let mut choices = Vec::new();
        while number != 0 {
            let (parent, choice) = parents[number as usize];
            choices.push(choice);
            number = parent;
        }
        let mut world = World::new(self);
        let mut lines = vec![world.show()];
        while let Some(choice) = choices.pop() {
            let mut events = Vec::new();
            world.events(self, &mut events);
            let event = events[usize::from(choice)];
            let task = match event {
                Event::Steps(i) => format!("{:?}", world.processes[i].task),
                _ => String::new(),
            };
            world = world.after(self, event);
            lines.push(format!("{event:?} {task}\n        {}", world.show()));
        }
        lines.push(format!("{:#?}", world.processes.map(|process| (process.task, process.wait))));
        lines.join("\n")
    }
}

/// Returns a state without a way to an end.
fn without_an_end(states: usize, edges: Vec<(u32, u32)>, mut open: Vec<u32>) -> Option<u32> {
    let mut first = vec![0_u32; states + 1];
    for &(to, _) in &edges {
        first[to as usize + 1] += 1;
    }
    for state in 0..states {
        first[state + 1] += first[state];
    }
    let mut from = vec![0_u32; edges.len()];
    let mut fill = first.clone();
    for (to, back) in edges {
        let at = &mut fill[to as usize];
        from[*at as usize] = back;
        *at += 1;
    }
    let mut ends = vec![false; states];
    for &state in &open {
        ends[state as usize] = true;
    }
    while let Some(state) = open.pop() {
        for &before in &from[first[state as usize] as usize..first[state as usize + 1] as usize] {
            if !std::mem::replace(&mut ends[before as usize], true) {
                open.push(before);
            }
        }
    }
    ends.iter().position(|end| !end).map(|state| u32::try_from(state).unwrap())
}

/// Mixes values into 128 bits.
struct Mixer(u64, u64);

impl Default for Mixer {
    fn default() -> Self {
        Self(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0 ^ self.1
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(n.into());
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = fold(self.0 ^ n, 0x9e37_79b9_7f4a_7c15);
        self.1 = fold(self.1.rotate_left(23) ^ n, 0xd6e8_feb8_6659_fd93);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
}
