//! The common part of all objects: the membership and the place.

use crate::directory::{Entry, Kind, Spec};
use crate::membership::Membership;
use crate::presence::Presence;
use crate::region::Region;
use crate::steps::{Place, Role};
use crate::value::Value;
use futex_sys::__private::fail;
use std::fmt;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// An object that this process has opened.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    membership: Arc<Membership>,
    /// Dropped after `membership`: its drop leaves.
    _presence: Arc<Presence>,
    base: Place,
    len: u32,
    entry: Arc<Entry>,
}

// A panic leaves the memory in the same state as a death, and each object is made for that.
impl UnwindSafe for Object {}
impl RefUnwindSafe for Object {}

impl<'a> Spec<'a> {
    /// The specification of an object with values of type `T`. `len` is its number of words.
    pub(crate) fn of<T: Value>(
        kind: Kind,
        name: &'a str,
        len: usize,
        parameter: u64,
        roles: &'a [(Role, u32)],
    ) -> io::Result<Self> {
        let (Ok(size), Ok(len)) = (u32::try_from(size_of::<T>()), u32::try_from(len)) else {
            return Err(fail(
                io::ErrorKind::InvalidInput,
                format!("a value of {} bytes is too large for a region", size_of::<T>()),
            ));
        };
        let align = align_of::<T>() as u32;
        Ok(Self {
            kind,
            name,
            type_name: T::NAME,
            type_version: T::VERSION,
            size,
            align,
            parameter,
            len,
            roles,
            records: None,
        })
    }

    /// The same for an object that has records of its members.
    pub(crate) fn with_records(self, first: u32) -> Self {
        Self { records: Some(first), ..self }
    }
}

impl Object {
    /// Makes an object. `init` writes into its words, which are zero.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the region has an object of this name. Those of [`open_or_create`](Self::open_or_create).
    pub(crate) fn create(region: &Region, spec: &Spec<'_>, init: impl FnOnce(&[AtomicU64])) -> io::Result<Self> {
        let membership = region.membership();
        match membership.directory().open_or_create(membership, spec, init)? {
            (entry, true) => Ok(Self::new(region, entry)),
            (_, false) => Err(fail(
                io::ErrorKind::AlreadyExists,
                format!("{} has an object {:?} already: open it", membership.what(), spec.name),
            )),
        }
    }

    /// Opens an object.
    pub(crate) fn open(region: &Region, spec: &Spec<'_>) -> io::Result<Self> {
        let membership = region.membership();
        Ok(Self::new(region, membership.directory().open(membership, spec)?))
    }

    /// Opens an object, or makes it. All processes that do so at once get the same object.
    pub(crate) fn open_or_create(
        region: &Region,
        spec: &Spec<'_>,
        init: impl FnOnce(&[AtomicU64]),
    ) -> io::Result<Self> {
        let membership = region.membership();
        let (entry, _) = membership.directory().open_or_create(membership, spec, init)?;
        Ok(Self::new(region, entry))
    }

    fn new(region: &Region, entry: Arc<Entry>) -> Self {
        let (membership, presence) = (region.membership().clone(), region.presence().clone());
        Self { membership, _presence: presence, base: entry.base, len: entry.len, entry }
    }

    #[inline]
    pub(crate) fn membership(&self) -> &Membership {
        &self.membership
    }

    /// True if both objects were opened by the same member.
    pub(crate) fn is_of_the_member_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.membership, &other.membership)
    }

    /// The place of a word of the object.
    #[inline]
    pub(crate) fn place(&self, index: u32) -> Place {
        Place(self.base.0 + index)
    }

    /// The parameter with which the object was made, unchecked.
    pub(crate) fn parameter(&self) -> u64 {
        self.entry.parameter
    }

    /// Some words of the object.
    #[inline]
    pub(crate) fn words(&self, from: usize, len: usize) -> &[AtomicU64] {
        &self.membership.slice(self.base, self.len)[from..][..len]
    }

    /// The error of a call whose deadline has passed. `missed` says what did not happen, and `shows` what the tool shows about it.
    #[cold]
    pub(crate) fn timed_out(&self, missed: impl fmt::Display, shows: &str) -> io::Error {
        let shown = self.membership.tool_argument();
        fail(io::ErrorKind::TimedOut, format!("{missed} before the deadline: `futex show {shown}` shows {shows}"))
    }
}

/// The object in messages: kind, name and region.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Kind::from_number(self.entry.kind) {
            Some(kind) => write!(f, "the {kind}")?,
            None => f.write_str("the object")?,
        }
        write!(f, " {:?} in {}", self.entry.name, self.membership.what())
    }
}
