//! Waits that begin while a wake is being offered.

use super::*;
use crate::backends::{thread::Threads, waitv::Waitv};
use crate::queue::Queue;
use crate::tests::parked::{Away, arm, has_waitv, next_woken, no_turn, word};
use futex_sys::futex::MATCH_ANY;

/// A queue that, when it is asked, begins a wait in a queue that was asked before.
struct Asked<B> {
    first: Mutex<B>,
    word: Word,
}

impl<B: Queue<Word>> Parked for Asked<B> {
    fn offer(&self, wake: &Offer<'_>) -> Option<Turn> {
        if wake.word.same_word(&self.word) {
            arm(&mut *self.first.lock().expect("no panic"), 1, wake.word, MATCH_ANY);
            assert!(!wake.take(), "the wait that began did not take the wake");
        }
        None
    }
}

#[test]
fn a_wait_that_begins_while_a_wake_is_offered_takes_it_if_its_queue_has_been_asked() {
    fn check<B: Queue<Word> + 'static>(open: fn(Turn) -> B) {
        let asked = Arc::new(Asked { first: Mutex::new(open(no_turn())), word: word() });
        register(&asked);
        // A queue that is asked last. Its wait is outside of the kernel.
        let mut last = open(no_turn());
        arm(&mut last, 2, &asked.word, MATCH_ANY);
        let _away = Away::take(&asked.word, 1);

        assert!(hand_on(&asked.word, MATCH_ANY).is_none());
        let mut first = asked.first.lock().expect("no panic");
        assert_eq!(next_woken(&mut *first), 1);
        assert!(last.reap().is_none(), "one wake has ended two waits");
        arm(&mut *first, 3, &asked.word, MATCH_ANY);
        assert!(first.reap().is_none(), "the wake was taken twice");
    }
    check(Threads::new);
    if has_waitv() {
        check(Waitv::new);
    }
}

#[test]
fn a_wait_takes_an_offered_wake_only_if_word_and_mask_match() {
    let (word, other) = (word(), word());
    let [left, right] = [1, 2].map(|bits| NonZeroU32::new(bits).expect("a bit"));
    let offer = Offer::new(&word, left);
    assert!(!accept(&other, left) && !accept(&word, right) && offer.is_open());
    assert!(accept(&word, MATCH_ANY) && !offer.is_open());
    assert!(!accept(&word, left), "the wake was taken twice");
    drop(offer);
    drop(Offer::new(&word, left));
    assert!(!accept(&word, left), "the wake is no longer offered");
}
