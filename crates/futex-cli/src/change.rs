//! The commands `wake`, `set`, `add` and `cas`: change a word, then wake.

use crate::args::{Add, Cas, Place, Set, Wake};
use crate::failure::Failure;
use crate::output;
use crate::value::{Count, Number};
use crate::word;
use futex_tokio::Word;
use std::sync::atomic::Ordering;

pub(crate) fn wake(args: &Wake) -> Result<(), Failure> {
    let Place { object, offset } = &args.place;
    let memory = object.open_to_change()?;
    print_woken(&word::find(object, &memory, *offset)?, args.n)
}

pub(crate) fn set(args: &Set) -> Result<(), Failure> {
    change(&args.place, args.wake, |word| {
        word.store(args.value.0, Ordering::SeqCst);
        Ok(())
    })
}

pub(crate) fn add(args: &Add) -> Result<(), Failure> {
    change(&args.place, args.wake, |word| {
        word.fetch_add(args.delta.0, Ordering::SeqCst);
        Ok(())
    })
}

pub(crate) fn cas(args: &Cas) -> Result<(), Failure> {
    let (Number(expected), Number(new)) = (args.expected, args.new);
    change(&args.place, args.wake, |word| {
        word.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst).map(drop).map_err(Failure::OtherValue)
    })
}

fn change(place: &Place, wake: Count, change: impl FnOnce(&Word) -> Result<(), Failure>) -> Result<(), Failure> {
    let (_memory, word) = word::open(place)?;
    change(&word)?;
    print_woken(&word, wake)
}

fn print_woken(word: &Word, Count(n): Count) -> Result<(), Failure> {
    // `Word::wake` makes no call for 0.
    output::line(word.wake(n))
}
