//! What spinning learns, and that it costs little.

use super::*;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// A word of value 0, and a spinner for it. A spin that ends at once has loaded the word all the same.
fn spinner() -> (Word, Spinner) {
    (Word::from(Arc::new(AtomicU32::new(0))), Spinner::new(Spin::up_to(Duration::from_nanos(1))))
}

/// Returns true if the next wait would spin. A wait that sleeps at once does not see that the word has changed.
fn spins(word: &Word, spinner: &Spinner) -> bool {
    spinner.clone().spin(word, 1)
}

/// Number of `waits` that spin, if the word never changes.
fn spin_in_vain(word: &Word, spinner: &Spinner, waits: u16) -> u16 {
    let mut spun = 0;
    for _ in 0..waits {
        spun += u16::from(spins(word, spinner));
        assert!(!spinner.spin(word, 0));
    }
    spun
}

#[test]
fn a_change_is_seen_and_off_is_off() {
    let (word, spinner) = spinner();
    assert!(spinner.spin(&word, 1) && !spinner.spin(&word, 0));
    assert!(!Spinner::new(Spin::OFF).spin(&word, 1));
}

/// Spinning that was given up stayed given up, or its pauses did not grow, and no test noticed.
#[test]
fn spinning_in_vain_pauses_for_twice_as_many_waits_each_time_and_is_tried_again_after_the_longest_pause() {
    let (word, spinner) = spinner();
    for pause in [16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 4_096, 4_096] {
        assert_eq!(spin_in_vain(&word, &spinner, 8), 8);
        assert_eq!(spin_in_vain(&word, &spinner, pause), 0);
    }
    assert!(spins(&word, &spinner));
}

#[test]
fn one_change_that_is_seen_makes_good_for_all_spinning_in_vain() {
    for pauses in 0..11 {
        for tries in 0..8 {
            let (word, spinner) = spinner();
            for _ in 0..pauses {
                spin_in_vain(&word, &spinner, 8);
                while !spins(&word, &spinner) {
                    spin_in_vain(&word, &spinner, 1);
                }
            }
            spin_in_vain(&word, &spinner, tries);
            assert!(spinner.spin(&word, 1));
            assert_eq!(spin_in_vain(&word, &spinner, 8), 8, "it has all its tries again");
            assert_eq!(spin_in_vain(&word, &spinner, 16), 0);
            assert!(spins(&word, &spinner), "the next pause is a first one");
        }
    }
}

#[test]
fn the_limit_is_cut_to_a_millisecond() {
    assert_eq!(Spin::up_to(Duration::from_secs(1)).limit(), Duration::from_millis(1));
    assert_eq!(Spin::up_to(Duration::ZERO), Spin::OFF);
}
