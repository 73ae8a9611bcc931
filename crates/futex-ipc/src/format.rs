//! The format of a region: the place of each field. `docs/ipc-format.md` describes it for other implementations.
//!
//! A region is an array of 64-bit words in the byte order of the processor:
//!
//! | from word | |
//! |---|---|
//! | 0 | the [header](Header), one page |
//! | 512 | the table of members, [`SLOT`] words per slot |
//! | after that | the directory, [`ENTRY`] words per entry |
//! | after that | the objects |
//!
//! Any word of a region may have any value. Each word is loaded once, and then checked.

use crate::steps::{Place, Role, halves, high, low};
use futex_sys::__private::fail;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The format that this crate makes and opens.
pub(crate) const FORMAT: u32 = 1;

/// The first word of a region, which also shows the byte order.
const MAGIC: u64 = u64::from_ne_bytes(*b"futexipc");

/// Number of words of two cache lines, because some processors load lines in pairs.
pub(crate) const LINE: u32 = 16;

/// Number of words of the header.
const HEADER: u32 = 512;
/// Number of words per slot of the table of members.
pub(crate) const SLOT: u32 = LINE;
/// Number of words per entry of the directory.
pub(crate) const ENTRY: u32 = 2 * LINE;

/// Maximum number of members of a region.
pub const MAX_MEMBERS: u32 = 1 << 12;
/// Maximum number of objects of a region.
pub const MAX_OBJECTS: u32 = 1 << 16;

/// Offset of the byte of the file that the sweeper of a region locks. It is not adjacent to the byte of a slot, because the kernel merges
/// adjacent locks of one description, and the lock of a slot must have one byte.
pub(crate) const SWEEP_BYTE: u32 = 0x3fff_fffe;
/// Offset of the byte of the first slot. A lock on the byte `FIRST_SLOT_BYTE + slot` shows that the member of this slot lives.
pub(crate) const FIRST_SLOT_BYTE: u32 = 0x4000_0000;

/// Places in the header.
#[derive(Debug)]
pub(crate) struct Header;

impl Header {
    const MAGIC: usize = 0;
    /// Low half: the format. High half: number of words of the header.
    const FORMAT: usize = 1;
    /// Number of words of the region.
    const LEN: usize = 2;
    /// Low half: number of slots. High half: number of entries.
    const COUNTS: usize = 3;
    /// The mutex of the members that append to the directory, and its predecessor.
    pub(crate) const LOCK: Place = Place(32);
    /// Number of entries in use.
    pub(crate) const USED: Place = Place(48);
    /// A counter that changes with each join, leave and death.
    pub(crate) const CHANGES: Place = Place(64);
    /// Number of times that a member has scanned the table while it had the lock of [`SWEEP_BYTE`].
    pub(crate) const SCANS: Place = Place(80);
    /// The slot that the next member tries first: the one behind that of the last member.
    pub(crate) const NEXT: Place = Place(96);

    /// The words of the header that a sweep repairs.
    pub(crate) const SWEPT: [(Role, Place); 2] = [(Role::Lock, Self::LOCK), (Role::Counter, Self::CHANGES)];
}

/// The parts of a region: the checked copy of its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    /// Number of words of the region.
    pub(crate) len: u32,
    /// Number of slots of the table of members.
    pub(crate) slots: u32,
    /// Number of entries of the directory.
    pub(crate) entries: u32,
}

impl Layout {
    /// The layout of a region with this number of members and objects, and `bytes` for objects. The length is a multiple of `page`.
    pub(crate) fn new(slots: u32, entries: u32, bytes: usize, page: usize) -> io::Result<Self> {
        if !(1..=MAX_MEMBERS).contains(&slots) {
            return Err(refuse(format!("a region can't have {slots} members: ask for 1 to {MAX_MEMBERS}")));
        }
        if !(1..=MAX_OBJECTS).contains(&entries) {
            return Err(refuse(format!("a region can't have {entries} objects: ask for 1 to {MAX_OBJECTS}")));
        }
        let objects = HEADER + slots * SLOT + entries * ENTRY;
        let len = (objects as usize * 8).checked_add(bytes).and_then(|len| len.checked_next_multiple_of(page));
        match len.map(|len| u32::try_from(len / 8)) {
            Some(Ok(len)) => Ok(Self { len, slots, entries }),
            _ => Err(refuse(format!("a region can't have {bytes} bytes of objects: a region is smaller than 32 GiB"))),
        }
    }

    /// Writes the header of new memory, which is all zero.
    pub(crate) fn write(self, words: &[AtomicU64]) {
        words[Header::FORMAT].store(halves(HEADER, FORMAT), Relaxed);
        words[Header::LEN].store(self.len.into(), Relaxed);
        words[Header::COUNTS].store(halves(self.entries, self.slots), Relaxed);
        words[Header::MAGIC].store(MAGIC, Relaxed);
    }

    /// Reads and checks the header of a region.
    pub(crate) fn read(words: &[AtomicU64]) -> io::Result<Self> {
        if words.len() < HEADER as usize {
            return Err(invalid(format!(
                "the memory is not a region: it has {} bytes, and a header has 4096",
                words.len() * 8
            )));
        }
        let fields =
            [Header::MAGIC, Header::FORMAT, Header::LEN, Header::COUNTS].map(|field| words[field].load(Relaxed));
        Self::check(fields, words.len())
    }

    /// Checks the first four words of a region that has this number of words.
    pub(crate) fn check([magic, format, len, counts]: [u64; 4], words: usize) -> io::Result<Self> {
        if magic == MAGIC.swap_bytes() {
            return Err(invalid("the region was made by a processor of the other byte order".into()));
        }
        if magic != MAGIC {
            return Err(invalid("the memory is not a region of futex-ipc: it does not begin with \"futexipc\"".into()));
        }
        if low(format) != FORMAT {
            return Err(invalid(format!(
                "the region has format {}, and this program knows format {FORMAT}: use the same version of futex-ipc \
                 in all programs of the region",
                low(format)
            )));
        }
        let layout = Self { len: low(len), slots: low(counts), entries: high(counts) };
        let fits = high(format) == HEADER
            && len == u64::from(layout.len)
            && layout.len as usize == words
            && (1..=MAX_MEMBERS).contains(&layout.slots)
            && (1..=MAX_OBJECTS).contains(&layout.entries)
            && layout.objects() <= layout.len;
        if !fits {
            return Err(invalid(format!(
                "the region is damaged: its header says {len} words, {} of them in the header, {} members and {} objects, and the \
                 memory has {words} words",
                high(format),
                layout.slots,
                layout.entries
            )));
        }
        Ok(layout)
    }

    /// True if a file begins like a region, of any format and byte order.
    pub(crate) fn is_of_a_region(first_word: [u8; 8]) -> bool {
        let word = u64::from_ne_bytes(first_word);
        word == MAGIC || word == MAGIC.swap_bytes()
    }

    /// Number of bytes of the region.
    pub(crate) fn bytes(self) -> usize {
        self.len as usize * 8
    }

    /// The first word of a slot.
    pub(crate) fn slot(self, slot: u32) -> Place {
        debug_assert!(slot < self.slots);
        Place(HEADER + slot * SLOT)
    }

    /// The first word of an entry of the directory.
    pub(crate) fn entry(self, entry: u32) -> Place {
        debug_assert!(entry < self.entries);
        Place(HEADER + self.slots * SLOT + entry * ENTRY)
    }

    /// The first word of the objects.
    pub(crate) fn objects(self) -> u32 {
        HEADER + self.slots * SLOT + self.entries * ENTRY
    }
}

/// Index of the low half of a word, in an array of 32-bit words.
pub(crate) const fn half(place: Place) -> usize {
    place.0 as usize * 2 + cfg!(target_endian = "big") as usize
}

/// Stores text in a field of words, and fills the rest with zero bytes. Text that is too long is cut.
pub(crate) fn store_text(field: &[AtomicU64], text: &str) {
    let mut bytes = text.as_bytes().iter().copied().chain(std::iter::repeat(0));
    for word in field {
        let eight = std::array::from_fn(|_| bytes.next().unwrap_or(0));
        word.store(u64::from_ne_bytes(eight), Relaxed);
    }
}

/// Loads text from a field of words. Bytes that are not UTF-8 become the replacement character.
pub(crate) fn load_text(field: &[AtomicU64]) -> String {
    let bytes: Vec<u8> = field.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

pub(crate) fn refuse(sentence: impl Into<String>) -> io::Error {
    fail(io::ErrorKind::InvalidInput, sentence)
}

fn invalid(sentence: String) -> io::Error {
    fail(io::ErrorKind::InvalidData, sentence)
}
