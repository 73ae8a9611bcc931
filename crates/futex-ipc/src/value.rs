//! The types of values in a region.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A type whose values can be in a region.
///
/// The traits of `zerocopy` guarantee that each bit pattern is a valid value, and that a value has no padding. Other processes may
/// write anything into the region, so check each value that you get, like data from a network.
///
/// Processes that use different programs, or versions of a program, must agree on the type. They compare its name, version, size
/// and alignment when they open an object. Change [`VERSION`](Self::VERSION) when the meaning of the bytes changes.
///
/// # Examples
///
/// ```
/// use zerocopy::{FromBytes, Immutable, IntoBytes};
///
/// #[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
/// #[repr(C)]
/// struct Progress {
///     done: u64,
///     total: u64,
/// }
///
/// impl futex_ipc::Value for Progress {
///     const NAME: &'static str = "example.com/progress";
///     const VERSION: u32 = 1;
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the value of an object in a region",
    label = "not a `Value`",
    note = "implement `Value` for a `#[repr(C)]` struct that derives `FromBytes`, `IntoBytes` and `Immutable` of `zerocopy`",
    note = "a value is plain bytes without padding: `String`, `Vec`, references, `bool`, `char`, enums and tuples are not possible. Use \
            arrays, numbers and structs of these"
)]
pub trait Value: FromBytes + IntoBytes + Immutable + Send + Sync + 'static {
    /// Name of the type, 1 to 64 bytes. All programs that use a region must use the same name.
    const NAME: &'static str;

    /// Version of the type. All programs that use a region must use the same version.
    const VERSION: u32;
}

macro_rules! values {
    ($($t:ty)*) => {$(
        impl Value for $t {
            const NAME: &'static str = stringify!($t);
            const VERSION: u32 = 1;
        }
    )*};
}

values!(() u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);

/// The name does not contain the length of the array. Processes compare the size of the whole array.
impl<T: Value, const N: usize> Value for [T; N] {
    const NAME: &'static str = T::NAME;
    const VERSION: u32 = T::VERSION;
}

/// Number of words of a value.
pub(crate) const fn words_of<T>() -> usize {
    size_of::<T>().div_ceil(8)
}

/// Copies a value out of words. If other members write the words at the same time, the copy is a mixture.
#[inline]
pub(crate) fn load<T: Value>(words: &[AtomicU64]) -> T {
    let mut value = T::new_zeroed();
    for (bytes, word) in value.as_mut_bytes().chunks_mut(8).zip(words) {
        bytes.copy_from_slice(&word.load(Relaxed).to_ne_bytes()[..bytes.len()]);
    }
    value
}

/// Copies a value into words.
#[inline]
pub(crate) fn store<T: Value>(words: &[AtomicU64], value: &T) {
    for (bytes, word) in value.as_bytes().chunks(8).zip(words) {
        let mut eight = [0; 8];
        eight[..bytes.len()].copy_from_slice(bytes);
        word.store(u64::from_ne_bytes(eight), Relaxed);
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_any_length_is_copied_whole() {
        let words: [AtomicU64; 4] = Default::default();
        let value: [u8; 19] = std::array::from_fn(|i| i as u8 + 1);
        store(&words, &value);
        assert_eq!(load::<[u8; 19]>(&words), value);
        assert_eq!(words[2].load(Relaxed).to_ne_bytes(), [17, 18, 19, 0, 0, 0, 0, 0]);
        assert_eq!(words[3].load(Relaxed), 0);
    }
}
