//! The commands `wake`, `set`, `add` and `cas`: change a word, then wake.

use crate::args::{Add, Cas, Set, Wake};
use crate::failure::Failure;
use crate::object::Object;
use crate::output;
use crate::value::{Count, Number, Offset};
use crate::word;
use futex_tokio::Word;
use std::sync::atomic::Ordering;

pub(crate) fn wake(args: &Wake) -> Result<(), Failure> {
    let memory = args.object.open_to_change()?;
    let word = memory.word(args.offset.0).map_err(|error| Failure::new(format_args!("{}: {error}", args.object)))?;
    print_woken(&word, args.n)
}

pub(crate) fn set(args: &Set) -> Result<(), Failure> {
    change(&args.object, args.offset, args.wake, |word| {
        word.store(args.value.0, Ordering::SeqCst);
        Ok(())
    })
}

pub(crate) fn add(args: &Add) -> Result<(), Failure> {
    change(&args.object, args.offset, args.wake, |word| {
        word.fetch_add(args.delta.0, Ordering::SeqCst);
        Ok(())
    })
}

pub(crate) fn cas(args: &Cas) -> Result<(), Failure> {
    let (Number(expected), Number(new)) = (args.expected, args.new);
    change(&args.object, args.offset, args.wake, |word| {
        word.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst).map(drop).map_err(Failure::OtherValue)
    })
}

fn change(
    object: &Object,
    offset: Offset,
    wake: Count,
    change: impl FnOnce(&Word) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (_memory, word) = word::open(object, offset)?;
    change(&word)?;
    print_woken(&word, wake)
}

fn print_woken(word: &Word, Count(n): Count) -> Result<(), Failure> {
    // `Word::wake` makes no call for 0.
    output::line(word.wake(n))
}
