//! `Thread`: one parked thread per wait, if nothing better is available, and for the waits with a mask on `Waitv`.
//!
//! Only a wake or a signal gets a thread out of `FUTEX_WAIT` early, so cancelling is lazy: the wait ends for its owner at once,
//! and the thread stays parked, *left behind*, until its park ends or a wake finds it. It hands on such a wake. A later wait
//! for the same value at the same address under the same mask takes over a thread that was left behind.
//!
//! A park lasts as long as the wait's age when the park begins, clamped to 10 ms to 10 s. When it ends, a thread whose wait has
//! an owner parks anew, and a thread that was left behind is free. The kernel ends a park either by a wake or by the timeout,
//! never by both. A wait needs about ten parks in its first 10 s, and then one every 10 s. With each park the wait loses its
//! place in the kernel's queue, and a wake without a change finds nobody in between, which its count shows. (A wake that is
//! handed on does find the wait: see `stray.rs`.)

use super::stray::{self, Offer, Parked, Turn};
use crate::effects::{Effect, perform};
use crate::queue::{Completion, Ending, FutexWord as _, Queue, Usage};
use futex_sys::__private::{Origin, explain};
use futex_sys::futex::{self, Scope};
use futex_sys::{Deadline, Word};
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::num::NonZeroU32;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Time after which a thread without a wait ends.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Minimum duration of a park. In the unit tests parks are long, so that threads stay left behind.
const SHORTEST: Duration = if cfg!(test) { LONGEST } else { Duration::from_millis(10) };

/// Maximum duration of a park.
const LONGEST: Duration = Duration::from_secs(10);

/// A queue whose threads park for one wait each.
pub(crate) struct Threads {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Signalled when there is a job for an idle thread.
    job: Condvar,
    turn: Turn,
    origin: Origin,
}

#[derive(Default)]
struct State {
    /// The seats: one per wait that a thread is parked for, or will park for.
    seats: Slab<Seat>,
    /// The seats of waits that have an owner, by slot.
    owned: HashMap<u32, usize>,
    /// The seats that were left behind.
    left: Vec<usize>,
    /// The seats that no thread has taken yet.
    jobs: VecDeque<usize>,
    /// The completions that were not reaped yet.
    completions: VecDeque<Completion<Word>>,
    threads: usize,
    /// Number of threads without a seat, including threads that were just started.
    idle: usize,
    handed_on: u64,
    closed: bool,
}

/// A wait that a thread is parked for.
struct Seat {
    word: Word,
    expected: u32,
    mask: NonZeroU32,
    /// Slot of the wait. `None` if the seat was left behind.
    owner: Option<u32>,
    /// Time at which the wait began.
    since: Instant,
    /// True if a wait has taken over the seat since its thread last decided to park.
    taken_over: bool,
}

impl Threads {
    pub(crate) fn new(turn: Turn) -> Self {
        let (state, job) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { state, job, turn, origin: Origin::here() });
        stray::register(&shared);
        Self { shared }
    }
}

impl Queue<Word> for Threads {
    fn arm(&mut self, slot: u32, word: Word, expected: u32, mask: NonZeroU32) -> io::Result<u32> {
        let mut state = self.shared.lock();
        if stray::accept(&word, mask) {
            state.completions.push_back(Completion { slot: Some(slot), word, mask, ending: Ending::Woken });
            return Ok(slot);
        }
        let same = |seat: &Seat| seat.word.as_ptr() == word.as_ptr() && seat.expected == expected && seat.mask == mask;
        if let Some(position) = state.left.iter().position(|&seat| same(&state.seats[seat])) {
            // The kernel compared the word when the thread parked. If the word has changed since, the wake of that change may
            // have gone to a waiter in front of the thread. A wait that took over the thread now would sleep through the change.
            // (If the word still has the expected value, the thread is parked and the wake of the next change finds it, or it
            // returns with a wake, which then is the wait's, or it parks anew and compares.)
            if word.value() != expected {
                state.completions.push_back(Completion { slot: Some(slot), word, mask, ending: Ending::Mismatch });
                return Ok(slot);
            }
            let index = state.left.swap_remove(position);
            let seat = &mut state.seats[index];
            (seat.owner, seat.since, seat.taken_over) = (Some(slot), Instant::now(), true);
            state.owned.insert(slot, index);
            return Ok(slot);
        }
        // Each job needs an idle thread.
        if state.idle <= state.jobs.len() {
            self.shared.start()?;
            state.threads += 1;
            state.idle += 1;
        }
        let (owner, since) = (Some(slot), Instant::now());
        let seat = state.seats.insert(Seat { word, expected, mask, owner, since, taken_over: false });
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
        state.leave(handle, Ending::Cancelled).or_else(|| {
            let position = state.completions.iter().position(|completion| completion.slot == Some(handle))?;
            state.completions.remove(position)
        })
    }

    fn reap(&mut self) -> Option<Completion<Word>> {
        self.shared.lock().completions.pop_front()
    }

    fn close(&mut self, each: &mut dyn FnMut(Completion<Word>)) {
        let mut state = self.shared.lock();
        state.closed = true;
        let mut completions = std::mem::take(&mut state.completions);
        let owned: Vec<u32> = state.owned.keys().copied().collect();
        completions.extend(owned.into_iter().filter_map(|slot| state.leave(slot, Ending::Cancelled)));
        drop(state);
        self.shared.job.notify_all();
        completions.into_iter().for_each(each);
    }

    fn usage(&self) -> Usage {
        let state = self.shared.lock();
        Usage { units: state.threads, handed_on: state.handed_on }
    }
}

impl State {
    /// Ends a wait for its owner, if the wait has not ended. Its thread is left behind. If no thread has taken the seat yet, the
    /// seat is removed.
    fn leave(&mut self, slot: u32, ending: Ending) -> Option<Completion<Word>> {
        let index = self.owned.remove(&slot)?;
        let seat = &mut self.seats[index];
        seat.owner = None;
        let completion = Completion { slot: Some(slot), word: seat.word.clone(), mask: seat.mask, ending };
        if let Some(position) = self.jobs.iter().position(|&job| job == index) {
            self.jobs.remove(position);
            self.seats.remove(index);
        } else {
            self.left.push(index);
        }
        Some(completion)
    }

    /// Returns true if the thread of a seat must park again after a park that ended with `outcome`.
    fn parks_again(&mut self, seat: usize, outcome: &io::Result<futex::WaitOutcome>) -> bool {
        let seat = &mut self.seats[seat];
        let is_older_than_owner = std::mem::take(&mut seat.taken_over);
        match outcome {
            // The wake may be older than the owner's wait: a return without a cause is allowed, a lost wake is not.
            Ok(futex::WaitOutcome::Woken) => false,
            Ok(futex::WaitOutcome::TimedOut) => seat.owner.is_some(),
            // The park may have ended before the wait took over the seat: the word differed then, but no longer does.
            Ok(futex::WaitOutcome::Mismatch) | Err(_) => seat.owner.is_some() && is_older_than_owner,
        }
    }
}

impl Parked for Shared {
    fn offer(&self, wake: &Offer<'_>) -> Option<Turn> {
        if !self.origin.is_here() {
            return None;
        }
        let mut state = self.lock();
        let matches = |seat: &Seat| seat.word.same_word(wake.word) && seat.mask.get() & wake.mask.get() != 0;
        let matching = state.seats.iter().map(|(_, seat)| seat).filter(|seat| matches(seat));
        let longest = matching.filter_map(|seat| Some((seat.since, seat.owner?))).min();
        let (_, slot) = longest.filter(|_| wake.take())?;
        let completion = state.leave(slot, Ending::Woken);
        state.completions.extend(completion);
        Some(self.turn.clone())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
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

    /// Runs a thread: parks for one seat after the other, until there is none for [`LINGER`].
    fn run(&self) {
        let mut state = self.lock();
        loop {
            let is_idle = |state: &mut State| state.jobs.is_empty() && !state.closed;
            state = self.job.wait_timeout_while(state, LINGER, is_idle).unwrap_or_else(PoisonError::into_inner).0;
            state.idle -= 1;
            let Some(index) = state.jobs.pop_front() else {
                state.threads -= 1;
                return;
            };
            let Seat { word, expected, mask, .. } = &state.seats[index];
            let (word, expected, mask) = (word.clone(), *expected, *mask);
            let outcome = loop {
                let deadline = Deadline::after(state.seats[index].since.elapsed().clamp(SHORTEST, LONGEST));
                drop(state);
                let outcome = futex::wait(&word, Scope::Shared, expected, mask, Some(deadline));
                state = self.lock();
                if !state.parks_again(index, &outcome) {
                    break outcome;
                }
            };
            let owner = state.seats.remove(index).owner; // not the last handle to the word
            let is_stray = owner.is_none() && matches!(outcome, Ok(futex::WaitOutcome::Woken));
            if let Some(slot) = owner {
                let ending = match outcome {
                    Ok(futex::WaitOutcome::Woken) => Ending::Woken,
                    Ok(futex::WaitOutcome::Mismatch | futex::WaitOutcome::TimedOut) => Ending::Mismatch,
                    Err(error) => Ending::Failed(explain(error, "cannot wait on a futex word")),
                };
                state.owned.remove(&slot);
                state.completions.push_back(Completion { slot: Some(slot), word: word.clone(), mask, ending });
            } else {
                state.left.retain(|&left| left != index);
            }
            drop(state);
            let own = owner.map(|_| self.turn.clone());
            if let Some(turn) = if is_stray { stray::hand_on(&word, mask) } else { own } {
                turn();
            }
            // This may be the last handle to the word, and dropping it then runs the foreign code of the word's owner.
            perform([Effect::Release(word)]);
            state = self.lock();
            state.idle += 1;
            state.handed_on += u64::from(is_stray);
        }
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests;
