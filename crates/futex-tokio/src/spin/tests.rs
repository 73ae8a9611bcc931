//! When waits spin, and when they pause.

use super::*;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// A word of value 0, and a spinner with the shortest limit. Even with this limit, a spin loads the word.
fn spinner() -> (Word, Spinner) {
    (Word::from(Arc::new(AtomicU32::new(0))), Spinner::new(Spin::up_to(Duration::from_nanos(1))))
}

/// Returns true if the next wait would spin. The value 1 is never that of the word, so only a wait that does not spin returns
/// false.
fn spins(word: &Word, spinner: &Spinner) -> bool {
    spinner.clone().spin(word, 1)
}

/// Makes a number of waits while the word does not change. Returns how many of them spin.
fn spin_in_vain(word: &Word, spinner: &Spinner, waits: u16) -> u16 {
    let mut spun = 0;
    for _ in 0..waits {
        spun += u16::from(spins(word, spinner));
        assert!(!spinner.spin(word, 0));
    }
    spun
}

#[test]
fn a_spin_sees_a_change_and_off_never_spins() {
    let (word, spinner) = spinner();
    assert!(spinner.spin(&word, 1) && !spinner.spin(&word, 0));
    assert!(!Spinner::new(Spin::OFF).spin(&word, 1));
}

/// No test noticed when a pause never ended, or when the pauses did not grow.
#[test]
fn each_pause_doubles_and_spinning_resumes_after_the_longest_pause() {
    let (word, spinner) = spinner();
    for pause in [16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 4_096, 4_096] {
        assert_eq!(spin_in_vain(&word, &spinner, 8), 8);
        assert_eq!(spin_in_vain(&word, &spinner, pause), 0);
    }
    assert!(spins(&word, &spinner));
}

#[test]
fn one_seen_change_resets_the_tries_and_the_pauses() {
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
            assert_eq!(spin_in_vain(&word, &spinner, 8), 8, "all eight tries are there again");
            assert_eq!(spin_in_vain(&word, &spinner, 16), 0);
            assert!(spins(&word, &spinner), "the next pause has the length of the first one");
        }
    }
}

#[test]
fn a_limit_is_reduced_to_a_millisecond() {
    assert_eq!(Spin::up_to(Duration::from_secs(1)).limit(), Duration::from_millis(1));
    assert_eq!(Spin::up_to(Duration::ZERO), Spin::OFF);
}
