//! Visits every state.

use super::world::{Event, World};
use super::{Program, Scenario};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::Instant;

/// The visited states, with their numbers.
enum Visited<S> {
    /// The whole states.
    States(HashMap<S, u32, BuildHasherDefault<Mixer>>),
    /// By hashes of 96 bits. The explorer can't distinguish two states with the same hash: at 10⁹ states, that happens once in 10¹¹
    /// explorations.
    Hashes(Hashes),
}

impl<S: Copy + Eq + Hash> Visited<S> {
    /// The number of a state, and true if it is new.
    fn number(&mut self, state: &S, next: u32) -> (u32, bool) {
        match self {
            Self::States(states) => match states.entry(*state) {
                Entry::Occupied(entry) => (*entry.get(), false),
                Entry::Vacant(entry) => (*entry.insert(next), true),
            },
            Self::Hashes(hashes) => {
                let mut mixer = Mixer::default();
                state.hash(&mut mixer);
                hashes.number(mixer.bits())
            }
        }
    }
}

/// The hashes of the visited states, by their numbers. It has its own hash table, because a `HashMap` needs twice the memory.
struct Hashes {
    hashes: Vec<[u32; 3]>,
    /// Number of a state + 1, or 0. Linear probing.
    table: Vec<u32>,
}

impl Hashes {
    fn new() -> Self {
        Self { hashes: Vec::new(), table: vec![0; 1 << 10] }
    }

    fn number(&mut self, hash: [u32; 3]) -> (u32, bool) {
        if self.hashes.len() * 5 >= self.table.len() * 4 {
            self.grow();
        }
        let mut place = self.place(hash);
        while self.table[place] != 0 {
            let number = self.table[place] - 1;
            if self.hashes[number as usize] == hash {
                return (number, false);
            }
            place = (place + 1) & (self.table.len() - 1);
        }
        let number = u32::try_from(self.hashes.len()).unwrap();
        self.table[place] = number + 1;
        self.hashes.push(hash);
        (number, true)
    }

    fn place(&self, [a, b, _]: [u32; 3]) -> usize {
        // The table may have more than 2³² places.
        (u64::from(b) << 32 | u64::from(a)) as usize & (self.table.len() - 1)
    }

    fn grow(&mut self) {
        let places = self.table.len() * 2;
        self.table = Vec::new(); // first, because it is large
        self.table = vec![0; places];
        for number in 0..self.hashes.len() {
            let mut place = self.place(self.hashes[number]);
            while self.table[place] != 0 {
                place = (place + 1) & (places - 1);
            }
            self.table[place] = u32::try_from(number + 1).unwrap();
        }
    }
}

/// All living processes are done in this state.
const END: u32 = u32::MAX;
/// No event leads to a later state that must happen. The first state is never a later one.
const NONE: u32 = 0;

/// What an exploration keeps of the states, by their numbers.
#[derive(Default)]
struct Graph {
    /// The state from which a state was reached first, and the number of the event.
    parents: Vec<u32>,
    choices: Vec<u8>,
    /// A later state to which an event leads that must happen, [`END`], or [`NONE`].
    forward: Vec<u32>,
    /// The events that must happen in the other states: to, from.
    edges: Vec<(u32, u32)>,
}

impl Graph {
    fn add(&mut self, parent: u32, choice: usize) {
        self.parents.push(parent);
        self.choices.push(u8::try_from(choice).unwrap());
        self.forward.push(NONE);
    }

    /// Returns for each state whether the edges that were kept lead to an end.
    fn ends(&self) -> Vec<bool> {
        let mut ends = vec![false; self.parents.len()];
        loop {
            for (state, &next) in self.forward.iter().enumerate().rev() {
                ends[state] |= next == END || next != NONE && ends[next as usize];
            }
            let mut is_over = true;
            for &(to, from) in &self.edges {
                if ends[to as usize] && !std::mem::replace(&mut ends[from as usize], true) {
                    is_over = false;
                }
            }
            if is_over {
                return ends;
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
        // One edge of most states leads on to an end, so the other edges are kept only if they are needed.
        let mut graph = self.visit(&[])?;
        let mut ends = graph.ends();
        if ends.contains(&false) {
            graph = self.visit(&ends)?;
            ends = graph.ends();
        }
        match ends.iter().position(|end| !end) {
            None => Ok(ends.len()),
            Some(state) => Err(Failure {
                what: "no events lead from this state to an end".to_owned(),
                trace: self.trace(&graph, u32::try_from(state).unwrap()),
            }),
        }
    }

    /// Visits each state. Keeps all edges of a state that is false in `ends`.
    fn visit(&self, ends: &[bool]) -> Result<Graph, Failure> {
        let first = World::new(self);
        let mut visited = if self.whole { Visited::States(HashMap::default()) } else { Visited::Hashes(Hashes::new()) };
        visited.number(&first, 0);
        let mut graph = Graph::default();
        graph.add(0, 0);
        // The states that are as many events away from the first one as this, and those that are one event further away.
        let (mut open, mut further) = (vec![first], Vec::new());
        let mut events = Vec::new();
        let mut number = 0;
        while !open.is_empty() {
            for world in open.drain(..) {
                let fail =
                    |graph: &Graph, what: &str| Failure { what: what.to_owned(), trace: self.trace(graph, number) };
                if let Some(what) = (self.check)(&world) {
                    return Err(fail(&graph, what));
                }
                events.clear();
                world.events(self, &mut events);
                let is_done = world.is_done(self);
                if !is_done && !events.iter().any(|event| event.must_happen()) {
                    return Err(fail(&graph, "a living process sleeps forever"));
                }
                let begin = graph.edges.len();
                let mut forward = if is_done { END } else { NONE };
                for (index, &event) in events.iter().enumerate() {
                    let after = world.after(self, event);
                    let next = u32::try_from(graph.parents.len()).unwrap();
                    let (to, is_new) = visited.number(&after, next);
                    if is_new {
                        graph.add(number, index);
                        further.push(after);
                    }
                    if event.must_happen() {
                        graph.edges.push((to, number));
                        if forward != END && to > number {
                            forward = forward.max(to);
                        }
                    }
                }
                if forward != NONE && ends.get(number as usize) != Some(&false) {
                    graph.edges.truncate(begin);
                }
                graph.forward[number as usize] = forward;
                number += 1;
            }
            std::mem::swap(&mut open, &mut further);
        }
        Ok(graph)
    }

    /// The way to a state.
    fn trace(&self, graph: &Graph, mut number: u32) -> String {
        let mut choices = Vec::new();
        while number != 0 {
            choices.push(graph.choices[number as usize]);
            number = graph.parents[number as usize];
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

/// Mixes values into 128 bits.
struct Mixer(u64, u64);

impl Mixer {
    #[expect(clippy::cast_possible_truncation, reason = "the bits are taken apart")]
    fn bits(&self) -> [u32; 3] {
        [self.0 as u32, (self.0 >> 32) as u32, self.1 as u32]
    }
}

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
