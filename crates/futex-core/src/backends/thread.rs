//! `Thread`: one parked thread a wait, for machines that have nothing better.
//!
//! Nothing short of a signal gets a thread out of `FUTEX_WAIT`, so cancelling is lazy: the wait ends for its owner at
//! once, and the thread stays parked, *left behind*, until a wake or a change of the word finds it. It hands such a wake
//! on. A later wait for the same value of the same word takes a thread that was left behind over, so a loop of waits with
//! a timeout keeps one thread, not one a turn.

use super::Turn;
use super::stray::{self, Offer, Parked};
use crate::backend::{Backend, Completion, Ending, FutexWord as _, Usage};
use crate::effects::{Effect, perform};
use futex_sys::futex::{self, Outcome, Scope};
use futex_sys::{Origin, Word, explain};
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::num::NonZeroU32;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// How long a thread without a wait stays for the next one.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Threads that park for one wait each.
pub(crate) struct Threads {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Tells idle threads of a job.
    job: Condvar,
    turn: Turn,
    origin: Origin,
}

#[derive(Default)]
struct State {
    /// The waits that threads are parked for, or on their way to.
    seats: Slab<Seat>,
    /// The seats of waits that have an owner.
    owned: HashMap<u32, usize>,
    /// The seats that were left behind.
    left: Vec<usize>,
    /// Seats that no thread has sat down on yet.
    jobs: VecDeque<usize>,
    /// The completions that wait to be reaped.
    completions: VecDeque<Completion<Word>>,
    threads: usize,
    /// Threads without a wait, and those on their way to a first one.
    idle: usize,
    handed_on: u64,
    closed: bool,
}

/// What a thread is parked for.
struct Seat {
    word: Word,
    expected: u32,
    mask: NonZeroU32,
    owner: Option<u32>,
}

impl Threads {
    pub(crate) fn new(turn: Turn) -> Self {
        let (state, job) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { state, job, turn, origin: Origin::here() });
        let parked: Weak<Shared> = Arc::downgrade(&shared);
        stray::register(parked);
        Self { shared }
    }
}

impl Backend<Word> for Threads {
    fn arm(&mut self, slot: u32, word: Word, expected: u32, mask: NonZeroU32) -> io::Result<u32> {
        let mut state = self.shared.lock();
        if stray::accept(&word, mask) {
            state.completions.push_back(Completion { slot: Some(slot), word, mask, ending: Ending::Woken });
            return Ok(slot);
        }
        let same = |seat: &Seat| seat.word.same_address(&word) && seat.expected == expected && seat.mask == mask;
        if let Some(position) = state.left.iter().position(|&seat| same(&state.seats[seat])) {
            // The kernel compared when the thread parked. The word may have changed since, and the wake of that change have
            // gone to a waiter in front of the thread: a wait that took it over now would sleep through it.
            // (While the word is what it was, the thread is parked and is found by the wake of the next change, or is on
            // its way out with a wake that the wait then has.)
            if word.value() != expected {
                state.completions.push_back(Completion { slot: Some(slot), word, mask, ending: Ending::Mismatch });
                return Ok(slot);
            }
            let seat = state.left.swap_remove(position);
            state.seats[seat].owner = Some(slot);
            state.owned.insert(slot, seat);
            return Ok(slot);
        }
        // Each waiting job has an idle thread on its way to it.
        if state.idle <= state.jobs.len() {
            self.shared.start()?;
            state.threads += 1;
            state.idle += 1;
        }
        let seat = state.seats.insert(Seat { word, expected, mask, owner: Some(slot) });
        state.owned.insert(slot, seat);
        state.jobs.push_back(seat);
        drop(state);
        self.shared.job.notify_one();
        Ok(slot)
    }

    fn submit(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn cancel(&mut self, handle: u32) -> Option<Completion<Word>> {
        let mut state = self.shared.lock();
        state.leave(handle, Ending::Cancelled);
        state.take(handle)
    }

    fn reap(&mut self) -> Option<Completion<Word>> {
        self.shared.lock().completions.pop_front()
    }

    fn close(&mut self, each: &mut dyn FnMut(Completion<Word>)) {
        let mut state = self.shared.lock();
        state.closed = true;
        let owned: Vec<u32> = state.owned.keys().copied().collect();
        for id in owned {
            state.leave(id, Ending::Cancelled);
        }
        let completions = std::mem::take(&mut state.completions);
        drop(state);
        self.shared.job.notify_all();
        completions.into_iter().for_each(each);
    }

    fn usage(&self) -> Usage {
        let state = self.shared.lock();
        Usage { units: state.threads, handed_on: state.handed_on }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A fork has no such threads, and has the lock as it was, perhaps locked.
        if self.shared.origin.is_here() {
            self.close(&mut |completion| perform([Effect::Release(completion.word)]));
        }
    }
}

impl State {
    /// Ends a wait for its owner, if it has not ended. Its thread stays behind, unless none sat down yet.
    fn leave(&mut self, slot: u32, ending: Ending) {
        let Some(index) = self.owned.remove(&slot) else { return };
        let seat = &mut self.seats[index];
        seat.owner = None;
        let completion = Completion { slot: Some(slot), word: seat.word.clone(), mask: seat.mask, ending };
        self.completions.push_back(completion);
        if let Some(position) = self.jobs.iter().position(|&job| job == index) {
            self.jobs.remove(position);
            self.seats.remove(index);
        } else {
            self.left.push(index);
        }
    }

    /// Takes the completion of a wait out of those that wait.
    fn take(&mut self, slot: u32) -> Option<Completion<Word>> {
        let position = self.completions.iter().position(|completion| completion.slot == Some(slot))?;
        self.completions.remove(position)
    }
}

impl Parked for Shared {
    fn offer(&self, wake: &Offer<'_>) -> bool {
        if !self.origin.is_here() {
            return false;
        }
        let mut state = self.lock();
        // Slots of a slab are no order, but the kernel didn't have these, so they have none yet.
        let found = state.seats.iter().find_map(|(_, seat)| {
            let matches = seat.word.same_word(wake.word) && seat.mask.get() & wake.mask.get() != 0;
            seat.owner.filter(|_| matches)
        });
        let Some(id) = found.filter(|_| wake.take()) else { return false };
        state.leave(id, Ending::Woken);
        true
    }

    fn turn(&self) {
        (self.turn)();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(self: &Arc<Self>) -> io::Result<()> {
        let shared = self.clone();
        thread::Builder::new()
            .name("futex-wait".into())
            .spawn(move || shared.run())
            .map(drop)
            .map_err(|error| explain(error, "cannot start a thread to wait on a futex word (see `ulimit -u`)"))
    }

    /// What a thread does: wait for what it is told, until there is nothing to do for a while.
    fn run(&self) {
        let mut state = self.lock();
        loop {
            let Some(index) = state.jobs.pop_front() else {
                let mut over = state.closed;
                if !over {
                    let (back, timeout) = self.job.wait_timeout(state, LINGER).unwrap_or_else(PoisonError::into_inner);
                    state = back;
                    over = timeout.timed_out() && state.jobs.is_empty();
                }
                if over {
                    state.idle -= 1;
                    state.threads -= 1;
                    return;
                }
                continue;
            };
            state.idle -= 1;
            let Seat { word, expected, mask, .. } = &state.seats[index];
            let (word, expected, mask) = (word.clone(), *expected, *mask);
            drop(state);

            let outcome = futex::wait(&word, Scope::Shared, expected, mask, None);

            state = self.lock();
            let seat = state.seats.remove(index);
            let owner = seat.owner;
            let is_stray = owner.is_none() && matches!(outcome, Ok(Outcome::Woken));
            let ending = match outcome {
                Ok(Outcome::Woken) => Ending::Woken,
                Ok(Outcome::Mismatch | Outcome::TimedOut) => Ending::Mismatch,
                Err(error) => Ending::Failed(explain(error, "cannot wait on a futex word")),
            };
            if let Some(id) = owner {
                state.owned.remove(&id);
                state.completions.push_back(Completion { slot: Some(id), word: word.clone(), mask, ending });
            } else {
                state.left.retain(|&left| left != index);
            }
            drop(state);
            if owner.is_some() {
                (self.turn)();
            }
            if is_stray {
                let queue = stray::hand_on(&word, mask);
                self.lock().handed_on += 1;
                if let Some(queue) = queue {
                    queue.turn();
                }
            }
            // They may be the last handles to the word's memory, and the code of the memory's owner anybody's.
            perform([seat.word, word].map(Effect::Release));
            state = self.lock();
            state.idle += 1;
        }
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests;
