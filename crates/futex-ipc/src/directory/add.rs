//! Opening and adding objects.

use super::{Directory, Entry, MAX_NAME, Spec};
use crate::drive;
use crate::format::{ENTRY, Header, LINE, refuse};
use crate::membership::Membership;
use crate::run::run;
use crate::steps::mutex::{Lock, Unlock};
use crate::steps::{Place, Words};
use futex_sys::__private::fail;
use futex_sys::Deadline;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::Duration;

/// Time for which a member waits for another one that adds an object. Adding one takes microseconds.
const PATIENCE: Duration = Duration::from_secs(1);

impl Directory {
    fn find(&self, membership: &Membership, spec: &Spec<'_>) -> io::Result<Option<Arc<Entry>>> {
        let entries = membership.entries();
        match entries.into_iter().flatten().find(|entry| entry.name == spec.name) {
            Some(entry) => entry.verify(spec, membership.what()).map(|()| Some(entry)),
            None => Ok(None),
        }
    }

    /// The object of this name.
    ///
    /// # Errors
    ///
    /// `NotFound`; `InvalidInput` for an object of another kind or type, and for a bad name.
    pub(crate) fn open(&self, membership: &Membership, spec: &Spec<'_>) -> io::Result<Arc<Entry>> {
        membership.check()?;
        check_names(spec)?;
        self.find(membership, spec)?.ok_or_else(|| {
            let Spec { kind, name, .. } = spec;
            fail(
                io::ErrorKind::NotFound,
                format!("{} has no object {name:?}: create the {kind} first", membership.what()),
            )
        })
    }

    /// Adds an object, or returns the one of this name. The result is also true if the object was added. `init` writes into the words
    /// of the new object, which are zero.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), except `NotFound`. `StorageFull` if the region has no room. `ResourceBusy` if another member is
    /// stopped while it adds an object.
    pub(crate) fn open_or_create(
        &self,
        membership: &Membership,
        spec: &Spec<'_>,
        init: impl FnOnce(&[AtomicU64]),
    ) -> io::Result<(Arc<Entry>, bool)> {
        membership.check()?;
        check_names(spec)?;
        if let Some(entry) = self.find(membership, spec)? {
            return Ok((entry, false));
        }
        let deadline = Deadline::after(PATIENCE);
        let Some(locked) = drive::block(membership, Lock::new(Header::LOCK), Some(deadline))? else {
            return Err(fail(
                io::ErrorKind::ResourceBusy,
                format!(
                    "cannot add {:?} to {}: another member has been adding an object for a second. It may be stopped: \
                     continue it (`kill -CONT`) or kill it, and try again",
                    spec.name,
                    membership.what()
                ),
            ));
        };
        let result = match self.find(membership, spec) {
            Ok(Some(entry)) => Ok((entry, false)),
            Ok(None) => self.add(membership, spec, init).map(|entry| (entry, true)),
            Err(error) => Err(error),
        };
        let _ = run(membership, Unlock::new(Header::LOCK, locked, true));
        result
    }

    fn add(&self, membership: &Membership, spec: &Spec<'_>, init: impl FnOnce(&[AtomicU64])) -> io::Result<Arc<Entry>> {
        let layout = membership.layout();
        let entries = membership.entries();
        let full = |what: String| {
            let sentence = format!(
                "cannot add {:?} to {}: {what}. A region never grows: let the process that makes it choose a larger size \
                 (`Builder::objects`, `Builder::bytes`)",
                spec.name,
                membership.what()
            );
            Err(fail(io::ErrorKind::StorageFull, sentence))
        };
        if entries.len() as u32 >= layout.entries {
            let objects = if layout.entries == 1 { "object" } else { "objects" };
            return full(format!("it has {} {objects}, which is its maximum", layout.entries));
        }
        let first = entries.iter().flatten().map(|entry| entry.end()).max().unwrap_or_else(|| layout.objects());
        let base = first.next_multiple_of(LINE);
        if base.checked_add(spec.len).is_none_or(|end| end > layout.len) {
            let free = layout.len.saturating_sub(base);
            return full(format!(
                "the object needs {} bytes, and {} are left",
                u64::from(spec.len) * 8,
                u64::from(free) * 8
            ));
        }
        let words = membership.slice(Place(base), spec.len);
        // A member may have died while it wrote an object here.
        words.iter().for_each(|word| word.store(0, Relaxed));
        init(words);
        let index = entries.len() as u32;
        Entry::store(membership.slice(layout.entry(index), ENTRY), base, spec);
        // Ordering: Release. The partner is the Acquire of `entries`.
        membership.store(Header::USED, u64::from(index) + 1, Release);
        self.find(membership, spec)?
            .ok_or_else(|| membership.damaged("an object that this member has just added is not in its directory"))
    }
}

fn check_names(spec: &Spec<'_>) -> io::Result<()> {
    for (what, text) in [("an object", spec.name), ("a type", spec.type_name)] {
        if text.is_empty() || text.len() > MAX_NAME || text.contains('\0') {
            return Err(refuse(format!(
                "{text:?} can't be the name of {what}: a name has 1 to {MAX_NAME} bytes, and no zero byte"
            )));
        }
    }
    Ok(())
}
