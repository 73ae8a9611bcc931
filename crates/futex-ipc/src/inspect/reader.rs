//! Reading the words of a region that is inspected.

use crate::format::{SLOT, half};
use crate::information::Information;
#[cfg(doc)]
use crate::members::Member;
use crate::steps::{self, Place};
use futex_sys::__private::fail;
use futex_sys::MemoryView;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, fence};

/// Maximum number of words of records that an inspection reads. An intact region has fewer. Damaged entries may overlap, so the length
/// of the region is not a bound.
pub(super) const MOST_RECORDS: usize = 1 << 27;

/// The identity of a member within the region: its slot and its generation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the format identifies a member by these two numbers")]
pub struct MemberId {
    /// See [`Member::slot`].
    pub slot: u32,
    /// See [`Member::generation`].
    pub generation: u32,
}

/// The offset in bytes of the half of a word that the kernel compares.
pub(super) fn offset_of_low_half(place: Place) -> usize {
    half(place) * 4
}

/// Reads the words of a region.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a MemoryView);

impl Reader<'_> {
    /// Reads words. The caller has checked that they lie within the region.
    pub(super) fn words<const N: usize>(self, place: Place) -> io::Result<[u64; N]> {
        let mut words = [0; N];
        self.fill(place, &mut words)?;
        Ok(words)
    }

    pub(super) fn fill(self, place: Place, words: &mut [u64]) -> io::Result<()> {
        let mut bytes = [0; 4096];
        let mut offset = place.0 as usize * 8;
        for words in words.chunks_mut(bytes.len() / 8) {
            let bytes = &mut bytes[..words.len() * 8];
            if self.0.read(offset, bytes)? < bytes.len() {
                return Err(fail(io::ErrorKind::UnexpectedEof, "the region was shortened while it was inspected"));
            }
            for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
                *word = bytes.try_into().map_or(0, u64::from_ne_bytes);
            }
            offset += bytes.len();
        }
        Ok(())
    }

    /// The information of a member in the table. `None` if the member has not written it yet.
    pub(super) fn information(self, slot: Place, member: steps::Member) -> io::Result<Option<Information>> {
        let described = Place(slot.0 + Information::GENERATION);
        let is_described = |[generation]: [u64; 1]| generation == u64::from(member.generation);
        if !is_described(self.words(described)?) {
            return Ok(None);
        }
        fence(Acquire);
        let words = self.words::<{ SLOT as usize }>(slot)?.map(AtomicU64::new);
        fence(Acquire);
        // The caller examines the slot's word after that.
        Ok(is_described(self.words(described)?).then(|| Information::parse(&words)))
    }
}
