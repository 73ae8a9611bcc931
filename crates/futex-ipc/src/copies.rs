//! A value that changes with one store: two copies, and the number of the current one.
//!
//! A section writes the copy that is not current, and then the number. If a process is killed before the last store, the value is the
//! old one. If it is killed after that store, the value is the new one.

use crate::object::Object;
use crate::steps::mutex::{commit, current};
use crate::value::{self, Value, words_of};
use std::marker::PhantomData;
use std::sync::atomic::AtomicU64;

/// The two copies in an object.
#[derive(Debug)]
pub(crate) struct Copies<T> {
    /// Index of the word that has the number (0 or 1). The copies follow it.
    number: u32,
    value: PhantomData<fn() -> T>,
}

impl<T: Value> Copies<T> {
    /// Number of words.
    pub(crate) const LEN: usize = 1 + 2 * words_of::<T>();

    /// The copies that begin with the word `number` of an object.
    pub(crate) const fn at(number: u32) -> Self {
        Self { number, value: PhantomData }
    }

    /// Writes the first value into the words of a new object.
    pub(crate) fn init(&self, words: &[AtomicU64], value: &T) {
        value::store(&words[self.number as usize + 1..], value);
    }

    /// Copies the value, within a section.
    #[inline]
    pub(crate) fn load(&self, object: &Object) -> T {
        if size_of::<T>() == 0 {
            return T::new_zeroed();
        }
        value::load(self.copy(object, current(object.membership(), object.place(self.number))))
    }

    /// Stores `value` as the new value, within the section of an owner.
    #[inline]
    pub(crate) fn commit(&self, object: &Object, value: &T) {
        if size_of::<T>() == 0 || !object.membership().is_here() {
            return;
        }
        let next = !current(object.membership(), object.place(self.number)) & 1;
        value::store(self.copy(object, next), value);
        commit(object.membership(), object.place(self.number), next);
    }

    fn copy<'a>(&self, object: &'a Object, number: u64) -> &'a [AtomicU64] {
        let words = words_of::<T>();
        object.words(self.number as usize + 1 + if number & 1 == 0 { 0 } else { words }, words)
    }
}
