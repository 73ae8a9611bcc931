//! The directory: the list of the objects of a region.
//!
//! Objects are added, and never removed. Each entry lists the words of its object that a sweep repairs after a death. So a process can
//! sweep objects of kinds that it does not know.
//!
//! To add an object, a member locks [`Header::LOCK`], writes the object and then the entry, and adds 1 to the number of entries in
//! use (Release). If the member dies before the last step, nothing was added.
//!
//! Each process copies and checks an entry once.

mod add;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use crate::format::{ENTRY, Header, LINE, Layout, load_text, refuse, store_text};
use crate::steps::mutex::owner;
use crate::steps::record::{Records, STRIDE};
use crate::steps::{Member, Place, Role, halves, high, low};
use std::fmt;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Maximum number of bytes of an object's name, and of a type's name.
pub const MAX_NAME: usize = 64;

/// Maximum number of words of an object that a sweep repairs.
const MAX_ROLES: usize = 3;

/// Places in an entry.
mod field {
    /// Low half: the kind. High half: version of the type.
    pub(super) const KIND: usize = 0;
    /// Low half: first word of the object. High half: number of words.
    pub(super) const PLACE: usize = 1;
    /// Low half: size of the value in bytes. High half: its alignment.
    pub(super) const SIZE: usize = 2;
    pub(super) const PARAMETER: usize = 3;
    pub(super) const ROLES: usize = 4;
    /// As a role, with the number [`RECORDS_ROLE`](super::RECORDS_ROLE).
    pub(super) const RECORDS: usize = 7;
    pub(super) const NAME: usize = 8;
    pub(super) const TYPE: usize = 16;
}

/// The object that a program opens or makes.
#[derive(Clone, Debug)]
pub(crate) struct Spec<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    /// Name and version of the type of the values, which the program gives.
    pub(crate) type_name: &'a str,
    pub(crate) type_version: u32,
    /// Size and alignment of the values in bytes.
    pub(crate) size: u32,
    pub(crate) align: u32,
    /// Given when the object is made, and not compared when it is opened.
    pub(crate) parameter: u64,
    /// Number of words.
    pub(crate) len: u32,
    /// The words that a sweep repairs, by their index in the object.
    pub(crate) roles: &'a [(Role, u32)],
    /// The first [record](crate::steps::record) of the members, by its index in the object.
    pub(crate) records: Option<u32>,
}

/// The kinds of objects.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum Kind {
    /// A [`Mutex`](crate::Mutex).
    Mutex = 1,
    /// An [`RwLock`](crate::RwLock).
    RwLock = 2,
    /// A [`Semaphore`](crate::Semaphore).
    Semaphore = 3,
    /// A [`ManualEvent`](crate::ManualEvent).
    ManualEvent = 4,
    /// An [`AutoEvent`](crate::AutoEvent).
    AutoEvent = 5,
    /// A [`OnceCell`](crate::OnceCell).
    OnceCell = 6,
    /// A [`Barrier`](crate::Barrier).
    Barrier = 7,
    /// A [`Condvar`](crate::Condvar).
    Condvar = 8,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Mutex,
        Self::RwLock,
        Self::Semaphore,
        Self::ManualEvent,
        Self::AutoEvent,
        Self::OnceCell,
        Self::Barrier,
        Self::Condvar,
    ];

    /// The kind with this number in the format.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|&kind| kind as u32 == number)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mutex => "mutex",
            Self::RwLock => "read-write lock",
            Self::Semaphore => "semaphore",
            Self::ManualEvent => "manual event",
            Self::AutoEvent => "auto event",
            Self::OnceCell => "once cell",
            Self::Barrier => "barrier",
            Self::Condvar => "condvar",
        })
    }
}

/// The checked copy of an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Number of the kind, which this version may not know.
    pub(crate) kind: u32,
    /// The first word of the object, and the number of words.
    pub(crate) base: Place,
    pub(crate) len: u32,
    pub(crate) type_name: String,
    pub(crate) type_version: u32,
    pub(crate) size: u32,
    pub(crate) align: u32,
    pub(crate) parameter: u64,
    pub(crate) name: String,
    roles: [Option<(Role, Place)>; MAX_ROLES],
    pub(crate) records: Option<Records>,
}

/// Number of the role of the first record.
const RECORDS_ROLE: u32 = 4;

impl Entry {
    /// Copies and checks an entry. `None` if it is damaged.
    fn load(region: &[AtomicU64], layout: Layout, index: u32) -> Option<Self> {
        let words = &region[layout.entry(index).0 as usize..];
        Self::parse(std::array::from_fn(|i| words[i].load(Relaxed)), layout)
    }

    /// Checks the copy of an entry. `None` if it is damaged.
    pub(crate) fn parse(copy: [u64; ENTRY as usize], layout: Layout) -> Option<Self> {
        let copy = copy.map(AtomicU64::new);
        let field = |i: usize| copy[i].load(Relaxed);
        let (base, len) = (low(field(field::PLACE)), high(field(field::PLACE)));
        let fits = base >= layout.objects()
            && base % LINE == 0
            && len > 0
            && base.checked_add(len).is_some_and(|end| end <= layout.len);
        if !fits {
            return None;
        }
        let records = match field(field::RECORDS) {
            0 => None,
            word => {
                let needs = layout.slots * STRIDE;
                if low(word) != RECORDS_ROLE || high(word).checked_add(needs).is_none_or(|end| end > len) {
                    return None;
                }
                Some(Records(Place(base + high(word))))
            }
        };
        let mut roles = [None; MAX_ROLES];
        for (i, role) in roles.iter_mut().enumerate() {
            let word = field(field::ROLES + i);
            if word != 0 {
                // The word of the predecessor follows a lock.
                let (known, needs) = match low(word) {
                    1 => (Role::Lock, 2),
                    2 => (Role::Counter, 1),
                    3 => (Role::Flag, 1),
                    _ => return None,
                };
                if high(word).checked_add(needs).is_none_or(|end| end > len) {
                    return None;
                }
                *role = Some((known, Place(base + high(word))));
            }
        }
        Some(Self {
            kind: low(field(field::KIND)),
            type_version: high(field(field::KIND)),
            base: Place(base),
            len,
            size: low(field(field::SIZE)),
            align: high(field(field::SIZE)),
            parameter: field(field::PARAMETER),
            name: load_text(&copy[field::NAME..field::TYPE]),
            type_name: load_text(&copy[field::TYPE..field::TYPE + 8]),
            roles,
            records,
        })
    }

    /// Writes an entry that no member reads yet.
    fn store(words: &[AtomicU64], base: u32, spec: &Spec<'_>) {
        words.iter().for_each(|word| word.store(0, Relaxed));
        words[field::KIND].store(halves(spec.type_version, spec.kind as u32), Relaxed);
        words[field::PLACE].store(halves(spec.len, base), Relaxed);
        words[field::SIZE].store(halves(spec.align, spec.size), Relaxed);
        words[field::PARAMETER].store(spec.parameter, Relaxed);
        for (word, &(role, index)) in words[field::ROLES..].iter().zip(spec.roles) {
            let number = match role {
                Role::Lock => 1,
                Role::Counter => 2,
                Role::Flag => 3,
            };
            word.store(halves(index, number), Relaxed);
        }
        if let Some(records) = spec.records {
            words[field::RECORDS].store(halves(records, RECORDS_ROLE), Relaxed);
        }
        store_text(&words[field::NAME..field::TYPE], spec.name);
        store_text(&words[field::TYPE..field::TYPE + 8], spec.type_name);
    }

    fn end(&self) -> u32 {
        self.base.0 + self.len
    }

    /// Refuses an object that is not the one that the program wants. The message names both sides.
    fn verify(&self, spec: &Spec<'_>, what: &str) -> io::Result<()> {
        let kind =
            |number| Kind::from_number(number).map_or_else(|| format!("{number} (unknown)"), |it| it.to_string());
        if self.kind != spec.kind as u32 {
            return Err(refuse(format!(
                "{:?} in {what} has the kind {}, and this program opens it with the kind {}: use another name",
                spec.name,
                kind(self.kind),
                spec.kind
            )));
        }
        let (theirs, ours) = (self.shape(), (spec.type_name, spec.type_version, spec.size, spec.align));
        if theirs != ours || self.len < spec.len {
            let show = |(name, version, size, align): (&str, u32, u32, u32)| {
                format!("{name:?} version {version} ({size} bytes, aligned to {align})")
            };
            return Err(refuse(format!(
                "the {} {:?} in {what} has values of type {}, and this program opens it with {}: \
                 use the same version of the program everywhere, or another name",
                spec.kind,
                spec.name,
                show(theirs),
                show(ours)
            )));
        }
        Ok(())
    }

    fn shape(&self) -> (&str, u32, u32, u32) {
        (&self.type_name, self.type_version, self.size, self.align)
    }
}

/// The entries of the directory that this process has copied.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// One per entry in use. `None` for a damaged one.
    entries: Mutex<Vec<Option<Arc<Entry>>>>,
}

impl Directory {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Copies the entries that were added since the last call, and returns all.
    pub(crate) fn entries(&self, region: &[AtomicU64], layout: Layout) -> Vec<Option<Arc<Entry>>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // Ordering: Acquire. The partner is the Release of `add`.
        let used = region[Header::USED.0 as usize].load(Acquire).min(layout.entries.into());
        while (entries.len() as u64) < used {
            let index = entries.len() as u32;
            entries.push(Entry::load(region, layout, index).map(Arc::new));
        }
        entries.clone()
    }

    /// The words that a sweep repairs, in the whole region.
    pub(crate) fn swept(&self, region: &[AtomicU64], layout: Layout) -> Vec<(Role, Place)> {
        let entries = self.entries(region, layout);
        let objects = entries.iter().flatten().flat_map(|entry| entry.roles.into_iter().flatten());
        Header::SWEPT.into_iter().chain(objects).collect()
    }

    /// True if a member owns a lock, or has a record that is not 0.
    pub(crate) fn has_something_of(&self, me: Member, region: &[AtomicU64], layout: Layout) -> bool {
        let load = |place: Place| region[place.0 as usize].load(Relaxed);
        let owns = |(role, place)| matches!(role, Role::Lock) && owner(load(place)) == Some(me);
        let holds = |records: Records| {
            let record = load(records.of(me.slot));
            high(record) == me.generation && low(record) != 0
        };
        let entries = self.entries(region, layout);
        entries.iter().flatten().filter_map(|entry| entry.records).any(holds)
            || self.swept(region, layout).into_iter().any(owns)
    }
}
