//! `Waitv`: threads that are parked in `futex_waitv` for up to 127 words each, and a control word.
//!
//! A thread has to come back from the kernel, and park anew, for every change of what it waits for. In between it waits
//! for nothing: a wake that comes then without a change of the word finds nobody. The waker sees that in its count.
//!
//! The kernel names the *highest* entry that was woken, and swallows wakes of entries in front of it. Those are told by
//! looking: an entry on the same word as the named one was woken for certain (the kernel wakes the entries of a word in
//! order), and any other in front of it may have been, so its wait ends too. The control word is the first entry, so that
//! being called back hides no wake.

use super::Turn;
use super::stray::{self, Offer, Parked};
use super::thread::{LINGER, Threads};
use crate::backend::{Backend, Completion, Ending, FutexWord as _, Usage};
use crate::effects::{Effect, perform};
use arrayvec::ArrayVec;
use futex_sys::futex::{self, MATCH_ANY, MAX_WAITV, Outcome, Scope, WaitvEntry, WaitvOutcome};
use futex_sys::{Deadline, Origin, Word, explain};
use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// Words that a thread waits on, besides its control word.
const ROOM: usize = MAX_WAITV - 1;

/// One parked thread, and threads of their own for the waits that have a mask.
pub(crate) struct Waitv {
    shared: Arc<Shared>,
    /// `futex_waitv` has no masks.
    masked: Threads,
}

struct Shared {
    state: Mutex<State>,
    /// Tells [`Waitv::close`] that the thread is out of the kernel.
    out: Condvar,
    /// Changes whenever the thread has to look at the state. Waited for and woken with the private flag.
    control: AtomicU32,
    turn: Turn,
    origin: Origin,
}

#[derive(Default)]
struct State {
    /// What the thread is to wait for.
    entries: Vec<Entry>,
    /// The number of the latest entry.
    serial: u64,
    completions: VecDeque<Completion<Word>>,
    running: bool,
    /// There are entries that the thread has not seen, and was not called back for.
    is_news: bool,
    /// The thread is parked, or on its way to or from there.
    in_kernel: bool,
    /// Somebody is calling the thread back from there, so nobody else has to.
    is_called: bool,
    closed: bool,
    handed_on: u64,
}

#[derive(Clone)]
struct Entry {
    /// Tells this wait from a later one with the same `slot`.
    serial: u64,
    slot: u32,
    word: Word,
    expected: u32,
}

impl Waitv {
    pub(crate) fn new(turn: Turn) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            out: Condvar::new(),
            control: AtomicU32::new(0),
            turn: turn.clone(),
            origin: Origin::here(),
        });
        let parked: Weak<Shared> = Arc::downgrade(&shared);
        stray::register(parked);
        Self { shared, masked: Threads::new(turn) }
    }

    /// Whether the kernel has `futex_waitv`, and lets us call it.
    pub(crate) fn probe() -> io::Result<()> {
        let word = AtomicU32::new(1);
        // A word that differs: the call returns at once.
        futex::waitv(&[WaitvEntry::new(&word, Scope::Private, 0)], None)
            .map(drop)
            .map_err(|error| explain(error, "futex_waitv is not available"))
    }
}

impl Backend<Word> for Waitv {
    fn arm(&mut self, slot: u32, word: Word, expected: u32, mask: NonZeroU32) -> io::Result<u32> {
        if mask != MATCH_ANY {
            return self.masked.arm(slot, word, expected, mask);
        }
        let mut state = self.shared.lock();
        if stray::accept(&word, mask) {
            state.completions.push_back(Completion { slot: Some(slot), word, mask, ending: Ending::Woken });
            return Ok(slot);
        }
        if !state.running {
            self.shared.start()?;
            state.running = true;
        }
        state.serial += 1;
        let serial = state.serial;
        state.insert(Entry { serial, slot, word, expected });
        state.is_news = true;
        Ok(slot)
    }

    fn submit(&mut self) -> io::Result<bool> {
        let mut state = self.shared.lock();
        if std::mem::take(&mut state.is_news) {
            self.shared.call_back(state);
        }
        Ok(true)
    }

    fn cancel(&mut self, handle: u32) -> Option<Completion<Word>> {
        if let Some(masked) = self.masked.cancel(handle) {
            return Some(masked);
        }
        let mut state = self.shared.lock();
        if let Some(position) = state.completions.iter().position(|completion| completion.slot == Some(handle)) {
            return state.completions.remove(position);
        }
        let position = state.entries.iter().position(|entry| entry.slot == handle)?;
        // It is over for its owner. If the thread finds that it had been woken, it hands the wake on.
        let entry = state.entries.remove(position);
        self.shared.call_back(state);
        Some(entry.completion(Ending::Cancelled))
    }

    fn reap(&mut self) -> Option<Completion<Word>> {
        let completion = self.shared.lock().completions.pop_front();
        completion.or_else(|| self.masked.reap())
    }

    fn close(&mut self, each: &mut dyn FnMut(Completion<Word>)) {
        self.masked.close(each);
        let mut state = self.shared.lock();
        state.closed = true;
        self.shared.call_back(state);
        let mut state = self.shared.lock();
        while state.in_kernel {
            state = self.shared.out.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let completions = std::mem::take(&mut state.completions);
        let entries = std::mem::take(&mut state.entries);
        drop(state);
        completions.into_iter().for_each(&mut *each);
        entries.into_iter().map(|entry| entry.completion(Ending::Cancelled)).for_each(each);
    }

    fn usage(&self) -> Usage {
        let state = self.shared.lock();
        let masked = self.masked.usage();
        Usage { units: usize::from(state.running) + masked.units, handed_on: state.handed_on + masked.handed_on }
    }
}

impl Drop for Waitv {
    fn drop(&mut self) {
        // A fork has no such thread, and would wait for it.
        if self.shared.origin.is_here() {
            self.close(&mut |completion| perform([Effect::Release(completion.word)]));
        }
    }
}

impl Parked for Shared {
    fn offer(&self, wake: &Offer<'_>) -> bool {
        if !self.origin.is_here() {
            return false;
        }
        let mut state = self.lock();
        // Without a mask a wait matches every wake.
        let found = state.entries.iter().position(|entry| entry.word.same_word(wake.word));
        let Some(position) = found.filter(|_| wake.take()) else { return false };
        // No copy of the entry: it might become the last handle to the word's memory, and be dropped here.
        let entry = state.entries.remove(position);
        state.completions.push_back(entry.completion(Ending::Woken));
        self.call_back(state);
        true
    }

    fn turn(&self) {
        (self.turn)();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the thread look at the state, which the caller has changed.
    fn call_back(&self, mut state: MutexGuard<'_, State>) {
        // Ordering: Relaxed. The thread reads it under the lock that is held here, or the kernel compares it.
        self.control.fetch_add(1, Ordering::Relaxed);
        let call = state.in_kernel && !std::mem::replace(&mut state.is_called, true);
        drop(state);
        if call {
            // It fails only where the word's page is gone.
            let _ = futex::wake(&self.control, Scope::Private, 1);
        }
    }

    fn start(self: &Arc<Self>) -> io::Result<()> {
        let shared = self.clone();
        thread::Builder::new()
            .name("futex-waitv".into())
            .spawn(move || shared.run())
            .map(drop)
            .map_err(|error| explain(error, "cannot start a thread to wait on futex words (see `ulimit -u`)"))
    }

    /// What the thread does: park for all entries, tell what it was woken for, and again.
    fn run(&self) {
        let mut parked: Vec<Entry> = Vec::new();
        let mut state = self.lock();
        loop {
            if state.closed {
                state.running = false;
                return;
            }
            parked.clone_from(&state.entries);
            state.is_news = false;
            let control = self.control.load(Ordering::Relaxed);
            state.in_kernel = true;
            state.is_called = false;
            drop(state);

            let outcome = self.park(&parked, control);

            let mut strays = Vec::new();
            let delivered = self.lock().sort_out(&parked, outcome, &mut strays);
            // Before `close` may return: the wakes of its waits have been handed on then.
            let queues: Vec<_> = strays.iter().filter_map(|word| stray::hand_on(word, MATCH_ANY)).collect();

            state = self.lock();
            state.handed_on += strays.len() as u64;
            state.in_kernel = false;
            if parked.is_empty() && state.entries.is_empty() && control == self.control.load(Ordering::Relaxed) {
                // Nothing to do, for so long that the deadline passed.
                state.running = false;
                return;
            }
            if state.closed {
                self.out.notify_all();
            }
            drop(state);
            if delivered {
                (self.turn)();
            }
            queues.iter().for_each(|queue| queue.turn());
            // They may be the last handles to the words' memory, and the code of the memory's owner anybody's.
            perform(strays.into_iter().chain(parked.drain(..).map(|entry| entry.word)).map(Effect::Release));
            state = self.lock();
        }
    }

    fn park(&self, parked: &[Entry], control: u32) -> io::Result<WaitvOutcome> {
        let mut entries = ArrayVec::<WaitvEntry<'_>, MAX_WAITV>::new();
        entries.push(WaitvEntry::new(&self.control, Scope::Private, control));
        for entry in parked {
            entries.push(WaitvEntry::new(&entry.word, Scope::Shared, entry.expected));
        }
        let deadline = parked.is_empty().then(|| Deadline::after(LINGER));
        futex::waitv(&entries, deadline)
    }
}

impl State {
    /// Puts a wait where the thread finds it.
    ///
    /// Behind the others on its word, so that they are woken in order; else in front of all, so that waits which are
    /// woken often have few in front of them that might have been.
    fn insert(&mut self, entry: Entry) {
        let last = self.entries.iter().rposition(|other| other.word.same_word(&entry.word));
        self.entries.insert(last.map_or(0, |position| position + 1), entry);
    }

    /// Ends the waits that the kernel's answer ended, and collects the wakes whose owner has left. Returns whether there are
    /// completions.
    fn sort_out(&mut self, parked: &[Entry], outcome: io::Result<WaitvOutcome>, strays: &mut Vec<Word>) -> bool {
        let before = self.completions.len();
        match outcome {
            // Index 0 is the control word.
            Ok(WaitvOutcome::Woken(0) | WaitvOutcome::TimedOut) => {}
            Ok(WaitvOutcome::Woken(index)) => {
                for entry in &parked[..index] {
                    // For certain, or possibly: a return without a cause is allowed, a lost wake is not.
                    if !self.end(entry, Ending::Woken) {
                        strays.push(entry.word.clone());
                    }
                }
            }
            Ok(WaitvOutcome::Mismatch) => {
                for entry in parked {
                    if entry.word.value() != entry.expected {
                        self.end(entry, Ending::Mismatch);
                    }
                }
            }
            // The kernel does not tell which word it was about.
            Err(error) => {
                let mut found = false;
                for entry in parked {
                    let outcome = look(entry);
                    // Also if the owner has left: the thread does not park for that entry again.
                    found |= !matches!(outcome, Ok(Outcome::TimedOut));
                    match outcome {
                        Ok(Outcome::TimedOut) => {}
                        Ok(Outcome::Woken) if self.end(entry, Ending::Woken) => {}
                        Ok(Outcome::Woken) => strays.push(entry.word.clone()),
                        Ok(Outcome::Mismatch) => {
                            self.end(entry, Ending::Mismatch);
                        }
                        Err(error) => {
                            self.end(entry, Ending::Failed(explain(error, "cannot wait on a futex word")));
                        }
                    }
                }
                if !found {
                    // It was about none of them, but about memory perhaps. Parking again would go on like that.
                    for entry in parked {
                        let copy = io::Error::new(error.kind(), error.to_string());
                        self.end(entry, Ending::Failed(explain(copy, "cannot wait on futex words")));
                    }
                }
            }
        }
        self.completions.len() > before
    }

    /// Ends a wait, if its owner is there.
    fn end(&mut self, entry: &Entry, ending: Ending) -> bool {
        let Some(position) = self.entries.iter().position(|other| other.serial == entry.serial) else { return false };
        let entry = self.entries.remove(position);
        self.completions.push_back(entry.completion(ending));
        true
    }
}

impl Entry {
    fn completion(self, ending: Ending) -> Completion<Word> {
        Completion { slot: Some(self.slot), word: self.word, mask: MATCH_ANY, ending }
    }
}

/// What the kernel says about one word: [`Outcome::TimedOut`] where it could be waited for.
fn look(entry: &Entry) -> io::Result<Outcome> {
    futex::wait(&entry.word, Scope::Shared, entry.expected, MATCH_ANY, Some(Deadline::after(Duration::ZERO)))
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests;
