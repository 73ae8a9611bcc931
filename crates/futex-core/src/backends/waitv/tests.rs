//! How a thread of `Waitv` processes the kernel's answers, and how waits are placed in groups.

use super::*;
use crate::tests::parked::{arm, next_woken, until, until_waiting, waiters, waitv, word};
use futex_sys::SharedMemory;
use std::sync::atomic::AtomicBool;

/// Makes a word whose page is gone, so that the kernel refuses waits on it.
fn gone() -> Word {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("futex-core-gone-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path);
    let file = file.expect("a new file");
    std::fs::remove_file(&path).expect("the file exists");
    file.set_len(4096).expect("room for a page");
    let memory = SharedMemory::from_fd(file.try_clone().expect("a descriptor").into()).expect("memory");
    file.set_len(0).expect("the file can be truncated");
    memory.word(0).expect("a word")
}

/// Makes entries on words, numbered from 0.
fn entries<const N: usize>(words: [&Word; N]) -> Vec<Entry> {
    let numbered = words.into_iter().zip(0..);
    numbered.map(|(word, slot)| Entry { serial: slot.into(), slot, word: word.clone(), expected: 0 }).collect()
}

/// The consequences of an answer of the kernel.
struct Sorted {
    /// Slots of the waits that have ended, with their endings.
    ended: Vec<(u32, Ending)>,
    /// Slots of the waits that go on.
    left: Vec<u32>,
    /// Words of the wakes that must be handed on.
    strays: Vec<Word>,
}

/// Processes an `answer` for a thread that was parked for `parked`. The owners of the slots `ownerless` have left meanwhile.
fn sort_out(parked: &[Entry], ownerless: &[u32], answer: io::Result<WaitvOutcome>) -> Sorted {
    let mut state = State::default();
    let key = add_group(&mut state, PARKED);
    // Each entry is placed in front of the entries on other words, so they are inserted in reverse.
    for entry in parked.iter().rev().filter(|entry| !ownerless.contains(&entry.slot)) {
        insert(&mut state, key, entry.clone());
    }
    let strays = state.end(key, endings(parked, answer)).into_iter().cloned().collect();
    let left: Vec<u32> = state.groups[key].entries.iter().map(|entry| entry.slot).collect();
    let ended = state.completions.into_iter().map(|end| (end.slot.expect("an end has a slot"), end.ending)).collect();
    Sorted { ended, left, strays }
}

fn insert(state: &mut State, key: usize, entry: Entry) {
    state.insert((key, state.place_in(key, &entry.word)), entry);
}

/// Adds a group without a thread.
fn add_group(state: &mut State, control: u32) -> usize {
    let key = state.groups.insert(Group {
        entries: Vec::new(),
        control: Arc::new(AtomicU32::new(control)),
        in_kernel: control == PARKED,
    });
    state.with_room.push(key);
    key
}

/// The answer of `futex_waitv` if a page is gone. (14 is EFAULT.)
fn refused() -> io::Result<WaitvOutcome> {
    Err(io::Error::from_raw_os_error(14))
}

/// Regression: a new thread loaded the first wait, parked, and was then called back for that wait. So it left the kernel's queue
/// and returned behind all waiters that had come meanwhile, and a wake without a change found nobody in between.
#[test]
fn a_thread_is_not_called_back_for_a_wait_that_it_has_already_loaded() {
    let Some(mut waitv) = waitv() else { return };
    let word = word();
    waitv.arm(0, word.clone(), 0, MATCH_ANY).unwrap();
    until_waiting(&word, 1);
    assert!(waitv.shared.lock().news.is_empty(), "the thread has already loaded the wait");
    waitv.submit().unwrap();
    assert_eq!((waitv.shared.lock().groups[0].control.load(Ordering::Relaxed), waiters(&word)), (PARKED, 1));
    // For another wait the thread is called back.
    arm(&mut waitv, 1, &word, MATCH_ANY);
    until_waiting(&word, 2);
}

#[test]
fn a_group_takes_waits_until_it_is_full_and_again_when_one_has_ended() {
    let (mut state, word) = (State::default(), word());
    let key = add_group(&mut state, CALLED);
    for slot in 0..ROOM as u32 {
        assert_eq!(state.place_for(&word).map(|(key, _)| key), Some(key));
        insert(&mut state, key, Entry { serial: slot.into(), slot, word: word.clone(), expected: 0 });
    }
    assert_eq!(state.place_for(&word), None);
    for slot in [5, 3] {
        assert_eq!(state.take(key, |entry| entry.slot == slot).map(|entry| entry.slot), Some(slot));
        assert_eq!(state.place_for(&word).map(|(key, _)| key), Some(key));
    }
    assert_eq!(state.with_room, [key], "the group is listed once");
}

/// Regression: the groups were asked one after the other, and the first one that had a wait on the word took the wake.
#[test]
fn a_wake_that_is_handed_on_ends_the_longest_waiting_wait_whichever_thread_has_it() {
    let Some(mut waitv) = waitv() else { return };
    let word = word();
    let mut state = waitv.shared.lock();
    let [first, second] = [(); 2].map(|()| add_group(&mut state, CALLED));
    for (serial, slot, key) in [(1, 30, second), (2, 20, first), (3, 10, second), (4, 0, first)] {
        insert(&mut state, key, Entry { serial, slot, word: word.clone(), expected: 0 });
    }
    drop(state);
    for slot in [30, 20, 10, 0] {
        word.hand_on(MATCH_ANY);
        assert_eq!(next_woken(&mut waitv), slot);
    }
}

/// Regression: each thread was called back only after the one before it had returned from the kernel, so a slow thread delayed
/// all others.
#[test]
fn closing_calls_all_threads_back_before_it_waits_for_one() {
    /// Groups whose threads seem to be in the kernel until this is dropped.
    struct Slow(Arc<Shared>, [usize; 2]);

    impl Drop for Slow {
        fn drop(&mut self) {
            let mut state = self.0.lock();
            self.1.into_iter().for_each(|key| state.groups[key].in_kernel = false);
            self.0.out.notify_all();
        }
    }

    let Some(mut waitv) = waitv() else { return };
    let word = word();
    let shared = waitv.shared.clone();
    // A group without a thread in front of a real one, and one behind it.
    let before = add_group(&mut shared.lock(), PARKED);
    let key = shared.start(&mut shared.lock()).expect("a thread");
    let behind = add_group(&mut shared.lock(), PARKED);
    insert(&mut shared.lock(), key, Entry { serial: 1, slot: 0, word: word.clone(), expected: 0 });
    waitv.submit().expect("the thread is called back");
    until_waiting(&word, 1);

    let mut ended = Vec::new();
    thread::scope(|scope| {
        let slow = Slow(shared.clone(), [before, behind]);
        let closing = scope.spawn(|| waitv.close(&mut |completion| ended.push(completion)));
        until("all threads are called back", || {
            let is_called = |key: &usize| shared.lock().groups[*key].control.load(Ordering::Relaxed) == CALLED;
            slow.1.iter().all(is_called) && waiters(&word) == 0
        });
        assert!(!closing.is_finished(), "`close` returned although two threads seem to be in the kernel");
        drop(slow);
    });
    assert!(matches!(ended[..], [Completion { slot: Some(0), ending: Ending::Cancelled, .. }]), "{ended:?}");
}

#[test]
fn each_wait_up_to_the_one_that_was_woken_ends_or_has_its_wake_handed_on() {
    let words = [word(), word(), word(), word()];
    let parked = entries(words.each_ref());
    let sorted = sort_out(&parked, &[1], Ok(WaitvOutcome::Woken(3)));
    assert!(matches!(sorted.ended[..], [(0, Ending::Woken), (2, Ending::Woken)]), "{:?}", sorted.ended);
    assert!(matches!(&sorted.strays[..], [stray] if stray.as_ptr() == words[1].as_ptr()));
    assert_eq!(sorted.left, [3]);
}

#[test]
fn a_refusal_of_one_word_leaves_healthy_waits_armed() {
    let (healthy, changed) = (word(), word());
    changed.store(1, Ordering::Relaxed);
    let sorted = sort_out(&entries([&healthy, &gone(), &changed]), &[], refused());
    assert!(matches!(sorted.ended[..], [(1, Ending::Failed(_)), (2, Ending::Mismatch)]), "{:?}", sorted.ended);
    assert_eq!((sorted.left, sorted.strays.len()), (vec![0], 0));
}

/// Regression: the owner of the refused wait left before the thread searched for that wait. The thread found no refused wait, and
/// failed all its waits.
#[test]
fn a_refusal_of_a_wait_whose_owner_has_left_ends_no_other_wait() {
    let healthy = word();
    let sorted = sort_out(&entries([&healthy, &gone()]), &[1], refused());
    assert!(sorted.ended.is_empty(), "{:?}", sorted.ended);
    assert_eq!((sorted.left, sorted.strays.len()), (vec![0], 0));
}

/// The cause may be a lack of memory. Parking again would fail again and again.
#[test]
fn a_refusal_that_no_single_word_explains_ends_all_waits() {
    let words = [word(), word()];
    let sorted = sort_out(&entries(words.each_ref()), &[], refused());
    assert!(matches!(sorted.ended[..], [(0, Ending::Failed(_)), (1, Ending::Failed(_))]), "{:?}", sorted.ended);
}

/// To find the refused wait, the thread waits on each word for a moment. This function makes one wake that is counted during that
/// search.
///
/// Returns the slots of the waits that the wake ended, and the number of wakes to be handed on.
fn wake_during_the_search(ownerless: &[u32]) -> (Vec<u32>, usize) {
    let (woken, gone) = (word(), gone());
    let parked = entries([&gone, &woken]);
    let (counted, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (mut ended, mut strays) = (Vec::new(), 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) && woken.wake(1) == 0 {
                std::hint::spin_loop();
            }
            counted.store(true, Ordering::Release);
        });
        // Ends the thread, also if the test fails.
        let _over = OnDrop(&over);
        until("a wake is counted", || {
            // Loaded before the search: if the wake was already counted, an earlier search has seen it.
            let is_last = counted.load(Ordering::Acquire);
            let sorted = sort_out(&parked, ownerless, refused());
            ended.extend(sorted.ended.iter().filter(|(_, end)| matches!(end, Ending::Woken)).map(|(slot, _)| *slot));
            strays += sorted.strays.len();
            is_last
        });
    });
    (ended, strays)
}

struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_wake_during_the_search_for_a_refused_wait_ends_its_wait() {
    for _ in 0..10 {
        assert_eq!(wake_during_the_search(&[]), (vec![1], 0));
    }
}

#[test]
fn a_wake_during_the_search_for_a_refused_wait_is_handed_on_if_the_owner_has_left() {
    for _ in 0..10 {
        assert_eq!(wake_during_the_search(&[1]), (vec![], 1));
    }
}
