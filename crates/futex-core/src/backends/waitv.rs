//! `Waitv`: threads that are parked in `futex_waitv`, each for up to 127 words and a control word.
//!
//! When a thread's list of words changes, the thread returns from the kernel and parks anew. In between it waits for nothing: a
//! wake without a change of the word finds nobody then, and the waker sees that in its count.
//!
//! The kernel returns only the *highest* entry that was woken, and silently consumes wakes of the entries in front of it. An
//! entry in front on the same word was certainly woken, because the kernel wakes the entries of a word in order. Each other entry
//! in front may have been woken, so its wait ends as well. The control word is the first entry, so that its wake hides no other.

use super::stray::{self, Offer, Parked, Turn};
use super::thread::{LINGER, Threads};
use crate::effects::{Effect, perform};
use crate::queue::{Completion, Ending, FutexWord as _, Queue, Usage};
use arrayvec::ArrayVec;
use futex_sys::__private::{Origin, explain, fail};
use futex_sys::futex::{self, MATCH_ANY, MAX_WAITV, Scope, WaitvEntry, WaitvOutcome};
use futex_sys::{Deadline, Word};
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::iter::once;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Maximum number of waits per thread. One more entry is the control word.
const ROOM: usize = MAX_WAITV - 1;

/// Maximum number of threads that are started to keep the waits on one word apart. (If two of them share a thread, a wake of
/// one takes the other out of the kernel's queue.) It is also the maximum number of groups that are compared to place a wait.
/// It is 1 in the unit tests, so that waits share a thread.
const SPREAD: usize = if cfg!(test) { 1 } else { 16 };

/// Value of a control word if the thread is parked for its group's entries, or is about to park for them.
const PARKED: u32 = 0;
/// Value of a control word if the thread will load its group's entries before it parks, so it need not be called back.
const CALLED: u32 = 1;

/// A queue whose threads park for many waits each. A wait with a mask has a thread of its own.
pub(crate) struct Waitv {
    shared: Arc<Shared>,
    /// The waits with a mask, because `futex_waitv` has no masks.
    masked: Threads,
}

struct Shared {
    state: Mutex<State>,
    /// Signalled to [`Waitv::close`] when a thread has returned from the kernel.
    out: Condvar,
    turn: Turn,
    origin: Origin,
}

#[derive(Default)]
struct State {
    groups: Slab<Group>,
    /// The keys of the groups that are not full.
    with_room: Vec<usize>,
    /// The keys of the groups with new waits that their thread has not loaded, and was not called back for.
    news: Vec<usize>,
    /// The key of each wait's group, by the wait's slot. It may be out of date for a wait that has ended.
    places: Vec<usize>,
    /// Serial number of the latest wait.
    serial: u64,
    completions: VecDeque<Completion<Word>>,
    closed: bool,
    handed_on: u64,
}

/// The waits that share a thread. A group is removed when its thread has had no wait for [`LINGER`].
struct Group {
    /// At most [`ROOM`] waits, in the order in which the thread parks for them.
    entries: Vec<Entry>,
    /// Control word: [`PARKED`] or [`CALLED`]. Waits and wakes on it have the private flag.
    control: Arc<AtomicU32>,
    /// True while the thread is parked, is about to park, or has not yet processed the kernel's answer.
    in_kernel: bool,
}

#[derive(Clone)]
struct Entry {
    /// Serial number of the wait. It distinguishes the wait from a later one in the same slot, and is lower for older waits.
    serial: u64,
    slot: u32,
    word: Word,
    expected: u32,
}

impl Waitv {
    pub(crate) fn new(turn: Turn) -> Self {
        let (state, out) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { state, out, turn: turn.clone(), origin: Origin::here() });
        stray::register(&shared);
        Self { shared, masked: Threads::new(turn) }
    }

    /// Checks that the kernel has `futex_waitv` and lets this process call it.
    pub(crate) fn probe() -> io::Result<()> {
        let word = AtomicU32::new(1);
        // The word differs from the expected 0, so the call returns at once.
        futex::waitv(&[WaitvEntry::new(&word, Scope::Private, 0)], None)
            .map(drop)
            .map_err(|error| explain(error, "futex_waitv is not available"))
    }
}

impl Queue<Word> for Waitv {
    fn arm(&mut self, slot: u32, word: Word, expected: u32, mask: NonZeroU32) -> io::Result<u32> {
        if mask != MATCH_ANY {
            return self.masked.arm(slot, word, expected, mask);
        }
        let mut state = self.shared.lock();
        if stray::accept(&word, mask) {
            state.completions.push_back(Completion { slot: Some(slot), word, mask, ending: Ending::Woken });
            return Ok(slot);
        }
        let place = match state.place_for(&word) {
            Some(place) => place,
            None => (self.shared.start(&mut state)?, 0),
        };
        state.serial += 1;
        let serial = state.serial;
        state.insert(place, Entry { serial, slot, word, expected });
        Ok(slot)
    }

    fn submit(&mut self) -> io::Result<bool> {
        let mut state = self.shared.lock();
        while let Some(key) = state.news.pop() {
            let is_last = state.news.is_empty();
            self.shared.call_back(state, key);
            if is_last {
                break; // usually after one pass, so the lock is not taken again while the woken thread needs it
            }
            state = self.shared.lock();
        }
        Ok(true)
    }

    fn cancel(&mut self, handle: u32) -> Option<Completion<Word>> {
        let mut state = self.shared.lock();
        let key = state.places.get(handle as usize).copied().unwrap_or_default();
        if let Some(entry) = state.take(key, |entry| entry.slot == handle) {
            // The wait has ended for its owner. If its thread finds that it had been woken, the thread hands the wake on.
            self.shared.call_back(state, key);
            return Some(entry.completion(Ending::Cancelled));
        }
        if let Some(position) = state.completions.iter().position(|completion| completion.slot == Some(handle)) {
            return state.completions.remove(position);
        }
        drop(state);
        self.masked.cancel(handle)
    }

    fn reap(&mut self) -> Option<Completion<Word>> {
        let completion = self.shared.lock().completions.pop_front();
        completion.or_else(|| self.masked.reap())
    }

    fn close(&mut self, each: &mut dyn FnMut(Completion<Word>)) {
        self.masked.close(each);
        let mut state = self.shared.lock();
        state.closed = true;
        // All threads are called back before the first one is waited for.
        let keys: Vec<usize> = state.groups.iter().map(|(key, _)| key).collect();
        drop(state);
        keys.into_iter().for_each(|key| self.shared.call_back(self.shared.lock(), key));
        let mut state = self.shared.lock();
        while state.groups.iter().any(|(_, group)| group.in_kernel) {
            state = self.shared.out.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let completions = std::mem::take(&mut state.completions);
        let entries: Vec<Entry> = state.groups.iter_mut().flat_map(|(_, group)| group.entries.drain(..)).collect();
        drop(state);
        completions.into_iter().for_each(&mut *each);
        entries.into_iter().map(|entry| entry.completion(Ending::Cancelled)).for_each(each);
    }

    fn usage(&self) -> Usage {
        let state = self.shared.lock();
        let masked = self.masked.usage();
        Usage { units: state.groups.len() + masked.units, handed_on: state.handed_on + masked.handed_on }
    }
}

impl Parked for Shared {
    fn offer(&self, wake: &Offer<'_>) -> Option<Turn> {
        if !self.origin.is_here() {
            return None;
        }
        let mut state = self.lock();
        // Without a mask a wait matches every wake. A group's first entry on a word is the longest waiting one of that group.
        let longest = state.groups.iter().filter_map(|(key, group)| {
            let entry = group.entries.iter().find(|entry| entry.word.same_word(wake.word))?;
            Some((entry.serial, key))
        });
        let (serial, key) = longest.min().filter(|_| wake.take())?;
        // The entry is moved, not cloned: a clone might become the last handle to the word and be dropped under the lock.
        let entry = state.take(key, |entry| entry.serial == serial)?;
        state.completions.push_back(entry.completion(Ending::Woken));
        self.call_back(state, key);
        Some(self.turn.clone())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the thread of a group back, so that it loads the state, which the caller has changed.
    fn call_back(&self, mut state: MutexGuard<'_, State>, key: usize) {
        let Some(group) = state.groups.get_mut(key) else { return }; // the thread has ended
        let control = group.control.clone();
        // Ordering: Relaxed. The thread stores and swaps the control word under the lock that is held here; otherwise only the
        // kernel loads it.
        if control.swap(CALLED, Ordering::Relaxed) == PARKED {
            drop(state);
            // The wake could fail only if the page of the control word were gone.
            let _ = futex::wake(&control, Scope::Private, 1);
        }
    }

    /// Starts a thread. Returns the key of its group.
    fn start(self: &Arc<Self>, state: &mut State) -> io::Result<usize> {
        let (key, control) = (state.groups.vacant_key(), Arc::new(AtomicU32::new(CALLED)));
        let (shared, of_thread) = (self.clone(), control.clone());
        thread::Builder::new()
            .name("futex-waitv".into())
            .spawn(move || shared.run(key, &of_thread))
            .map_err(|error| explain(error, "cannot start a thread to wait on futex words (see `ulimit -u`)"))?;
        state.with_room.push(key);
        Ok(state.groups.insert(Group { entries: Vec::new(), control, in_kernel: false }))
    }

    /// Runs a thread: parks for all entries of its group, reports the waits that ended, and begins again.
    fn run(&self, key: usize, control: &AtomicU32) {
        let mut parked: Vec<Entry> = Vec::new();
        let mut state = self.lock();
        while !state.closed {
            state.news.retain(|&news| news != key);
            let group = &mut state.groups[key];
            parked.clone_from(&group.entries);
            group.in_kernel = true;
            control.store(PARKED, Ordering::Relaxed);
            drop(state);

            let ended = endings(&parked, park(&parked, control));
            let has_ended = !ended.is_empty();
            let strays = self.lock().end(key, ended);
            // Wakes are handed on while `in_kernel` is still true, so that `close` returns only after that.
            let turns: Vec<_> = strays.iter().filter_map(|word| stray::hand_on(word, MATCH_ANY)).collect();

            state = self.lock();
            state.handed_on += strays.len() as u64;
            if state.closed {
                self.out.notify_all();
            }
            let group = &mut state.groups[key];
            group.in_kernel = false;
            let is_called = control.swap(CALLED, Ordering::Relaxed) == CALLED;
            if parked.is_empty() && group.entries.is_empty() && !is_called {
                // The thread had no wait until its deadline passed, so it ends.
                state.groups.remove(key);
                state.with_room.retain(|&with_room| with_room != key);
                if state.groups.is_empty() {
                    state.places = Vec::new(); // there may have been a million
                }
                return;
            }
            drop(state);
            if has_ended {
                (self.turn)();
            }
            turns.iter().for_each(|turn| turn());
            // These may be the last handles to words, and dropping such a handle runs the foreign code of the word's owner.
            perform(parked.drain(..).map(|entry| Effect::Release(entry.word)));
            state = self.lock();
        }
    }
}

impl State {
    /// Returns the group for a wait on `word`, and the place in that group: a group that has room and no wait on `word`, or, if
    /// there are [`SPREAD`] groups, the smallest one that has room. Otherwise returns `None`: another thread is needed.
    fn place_for(&self, word: &Word) -> Option<(usize, usize)> {
        let places = || self.with_room.iter().rev().take(SPREAD).map(|&key| (key, self.place_in(key, word)));
        let apart = places().find(|&(_, place)| place == 0);
        let size = |&(key, _): &(usize, usize)| self.groups[key].entries.len();
        apart.or_else(|| places().filter(|_| self.groups.len() >= SPREAD).min_by_key(size))
    }

    /// Returns the place for a wait on `word` in a group: right behind the waits on the same word, so that these are woken in
    /// order. Otherwise in front of all, so that the waits that are woken often have few entries in front of them.
    fn place_in(&self, key: usize, word: &Word) -> usize {
        let last = self.groups[key].entries.iter().rposition(|other| other.word.same_word(word));
        last.map_or(0, |position| position + 1)
    }

    /// Inserts a wait into a group that has room.
    fn insert(&mut self, (key, place): (usize, usize), entry: Entry) {
        let slot = entry.slot as usize;
        self.places.resize(self.places.len().max(slot + 1), 0);
        self.places[slot] = key;
        let group = &mut self.groups[key];
        group.entries.insert(place, entry);
        if group.entries.len() == ROOM {
            self.with_room.retain(|&with_room| with_room != key);
        }
        if !self.news.contains(&key) {
            self.news.push(key);
        }
    }

    /// Removes a wait from its group. Returns `None` if the wait has ended.
    fn take(&mut self, key: usize, is_it: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let entries = &mut self.groups.get_mut(key)?.entries;
        let position = entries.iter().position(is_it)?;
        if entries.len() == ROOM {
            self.with_room.push(key);
        }
        Some(entries.remove(position))
    }

    /// Ends waits of a group for their owners. Returns the words of wakes that must be handed on because the owner has left.
    fn end<'a>(&mut self, key: usize, ended: Vec<(&'a Entry, Ending)>) -> Vec<&'a Word> {
        let mut strays = Vec::new();
        for (entry, ending) in ended {
            match self.take(key, |other| other.serial == entry.serial) {
                Some(entry) => self.completions.push_back(entry.completion(ending)),
                None if matches!(ending, Ending::Woken) => strays.push(&entry.word),
                None => {}
            }
        }
        strays
    }
}

impl Entry {
    fn completion(self, ending: Ending) -> Completion<Word> {
        Completion { slot: Some(self.slot), word: self.word, mask: MATCH_ANY, ending }
    }
}

fn park(parked: &[Entry], control: &AtomicU32) -> io::Result<WaitvOutcome> {
    let words = parked.iter().map(|entry| WaitvEntry::new(&entry.word, Scope::Shared, entry.expected));
    let entries: ArrayVec<_, MAX_WAITV> = once(WaitvEntry::new(control, Scope::Private, PARKED)).chain(words).collect();
    futex::waitv(&entries, parked.is_empty().then(|| Deadline::after(LINGER)))
}

/// Returns the waits that the kernel's answer ended.
fn endings(parked: &[Entry], answer: io::Result<WaitvOutcome>) -> Vec<(&Entry, Ending)> {
    match answer {
        // Index 0 is the control word.
        Ok(WaitvOutcome::Woken(0) | WaitvOutcome::TimedOut) => Vec::new(),
        // The entries in front may have been woken too: a return without a cause is allowed, a lost wake is not.
        Ok(WaitvOutcome::Woken(index)) => parked[..index].iter().map(|entry| (entry, Ending::Woken)).collect(),
        Ok(WaitvOutcome::Mismatch) => {
            let differs = |entry: &&Entry| entry.word.value() != entry.expected;
            parked.iter().filter(differs).map(|entry| (entry, Ending::Mismatch)).collect()
        }
        // The kernel does not say which word it refused.
        Err(error) => {
            let mut ended: Vec<_> = parked.iter().filter_map(|entry| Some((entry, ending_alone(entry)?))).collect();
            if ended.is_empty() {
                // The refusal is not about a word, but perhaps about memory. Parking again would fail again and again.
                let copy = || fail(error.kind(), error.to_string());
                let failed = || Ending::Failed(explain(copy(), "cannot wait on futex words"));
                ended.extend(parked.iter().map(|entry| (entry, failed())));
            }
            ended
        }
    }
}

/// Waits on one word for no time, and returns how the kernel ended the wait. Returns `None` if the kernel accepted the wait.
fn ending_alone(entry: &Entry) -> Option<Ending> {
    let now = Some(Deadline::after(Duration::ZERO));
    match futex::wait(&entry.word, Scope::Shared, entry.expected, MATCH_ANY, now) {
        Ok(futex::WaitOutcome::TimedOut) => None,
        Ok(futex::WaitOutcome::Woken) => Some(Ending::Woken),
        Ok(futex::WaitOutcome::Mismatch) => Some(Ending::Mismatch),
        Err(error) => Some(Ending::Failed(explain(error, "cannot wait on a futex word"))),
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests;
