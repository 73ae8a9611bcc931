//! What spinning learns, and that it costs little.

use super::*;
use std::sync::Arc;

const LIMIT: Duration = Duration::from_micros(50);

const BRISK: Learned = Learned { brisk: true, ..Learned::NEW };

/// Number of `waits` that spin, if none of them sees a change.
fn look_in_vain(learned: &mut Learned, waits: u32) -> u32 {
    let mut looks = 0;
    for _ in 0..waits {
        let (look, next) = learned.decide();
        *learned = if look { next.looked(false) } else { next };
        looks += u32::from(look);
    }
    looks
}

#[test]
fn a_wait_looks_only_after_one_that_was_over_soon() {
    assert_eq!(Learned::NEW.decide(), (false, Learned::NEW));
    assert_eq!(BRISK.decide(), (true, BRISK));

    let word = Word::from(Arc::new(AtomicU32::new(0)));
    let spinner = Spinner::new(Spin::up_to(Duration::from_millis(1)));
    if spinner.setting() == Spin::OFF {
        return eprintln!("SKIPPED: there is one processor");
    }
    assert!(!spinner.spin(&word, 0) && !spinner.learned().brisk);
    spinner.begun.store(spinner.now(), Ordering::Relaxed);
    spinner.slept();
    assert!(spinner.learned().brisk);
    let long_ago = Spinner { made: Instant::now().checked_sub(Duration::from_secs(1)).unwrap(), ..spinner.clone() };
    long_ago.begun.store(0, Ordering::Relaxed);
    long_ago.slept();
    assert!(!long_ago.learned().brisk);
}

#[test]
fn looking_in_vain_costs_little() {
    let mut learned = BRISK;
    look_in_vain(&mut learned, 20_000);
    // In the long run: eight looks in four thousand waits.
    assert!(look_in_vain(&mut learned, 41_040) <= 8 * 10 + 8);
}

#[test]
fn an_answer_that_is_fast_is_waited_for_again_and_again() {
    let mut learned = BRISK;
    look_in_vain(&mut learned, 20_000);
    learned.pause = 0;
    learned = learned.looked(true);
    assert_eq!(learned, BRISK);
    // And given up after a few disappointments, for a short time at first.
    assert_eq!(look_in_vain(&mut learned, u32::from(TRIES)), u32::from(TRIES));
    assert_eq!(look_in_vain(&mut learned, u32::from(PAUSE)), 0);
    assert!(learned.decide().0);
}

/// Spinning that was given up stayed given up, or its pauses did not grow, and no test noticed.
#[test]
fn spinning_in_vain_pauses_for_twice_as_many_waits_each_time_and_is_tried_again_after_the_longest_pause() {
    let mut learned = BRISK;
    for doublings in [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8] {
        let tries = u32::from(TRIES);
        assert_eq!(look_in_vain(&mut learned, tries), tries);
        let pause = u32::from(PAUSE) << doublings;
        assert_eq!(learned.pause, pause as u16);
        assert_eq!(look_in_vain(&mut learned, pause), 0);
        assert_eq!((learned.pause, learned.decide().0), (0, true));
    }
}

#[test]
fn one_fast_answer_makes_good_for_all_spinning_in_vain() {
    for vain in 0..=DOUBLINGS {
        for tries in 1..=TRIES {
            let mut learned = Learned { brisk: true, tries, pause: 0, vain }.looked(true);
            assert_eq!(learned, BRISK);
            look_in_vain(&mut learned, u32::from(TRIES));
            assert_eq!(learned.pause, PAUSE, "the next pause is a first one");
        }
    }
}

#[test]
fn waits_that_take_long_keep_what_spinning_has_taught() {
    let learned = Learned { brisk: false, tries: 3, pause: 7, vain: 2 };
    assert_eq!(learned.decide(), (false, learned));
    let brisk = Learned { brisk: true, ..learned };
    assert_eq!(brisk.decide(), (false, Learned { pause: 6, ..brisk }));
}

/// All of it, with a word.
#[test]
fn a_spinner_that_gave_up_spins_again_after_its_pause_and_one_fast_answer_ends_all_pauses() {
    let word = Word::from(Arc::new(AtomicU32::new(1)));
    let given_up = Learned { brisk: true, tries: 1, pause: 2, vain: DOUBLINGS };
    let spinner = Spinner {
        spin: Spin::up_to(Duration::from_millis(1)),
        learned: given_up.pack().into(),
        ..Spinner::new(Spin::OFF)
    };
    // In a pause it sleeps, though the word has changed.
    assert!(!spinner.spin(&word, 0) && !spinner.spin(&word, 0));
    assert_eq!(spinner.learned(), Learned { pause: 0, ..given_up });
    // Spinning in vain, for the last time before the next pause.
    assert!(!spinner.spin(&word, 1));
    assert_eq!(spinner.learned(), Learned { tries: TRIES, pause: PAUSE << DOUBLINGS, ..given_up });
    for _ in 0..PAUSE << DOUBLINGS {
        assert!(!spinner.spin(&word, 0));
    }
    // A thread that is delayed before it sees the answer takes it for a slow one. Not each of eight is delayed.
    while spinner.learned() != BRISK {
        assert_eq!(spinner.learned().pause, 0, "eight answers in a row were slow");
        assert!(spinner.spin(&word, 0));
    }
}

#[test]
fn what_was_learned_fits_in_a_word() {
    for brisk in [false, true] {
        for (tries, vain) in (0..=TRIES).flat_map(|tries| (0..=DOUBLINGS).map(move |vain| (tries, vain))) {
            for pause in [0, 1, PAUSE, PAUSE << DOUBLINGS] {
                let learned = Learned { brisk, tries, pause, vain };
                assert_eq!(Learned::unpack(learned.pack()), learned);
            }
        }
    }
}

#[test]
fn a_change_is_seen_and_off_is_off() {
    let word = Word::from(Arc::new(AtomicU32::new(1)));
    let learned = AtomicU32::new(BRISK.pack());
    let spinner = Spinner { spin: Spin::up_to(LIMIT), learned, ..Spinner::new(Spin::OFF) };
    assert!(spinner.spin(&word, 0));
    assert!(!spinner.spin(&word, 1));
    assert!(!Spinner::new(Spin::OFF).spin(&word, 0));
}

#[test]
fn the_limit_is_cut_to_a_millisecond() {
    assert_eq!(Spin::up_to(Duration::from_secs(1)).limit(), Duration::from_millis(1));
    assert_eq!(Spin::up_to(Duration::ZERO), Spin::OFF);
}
