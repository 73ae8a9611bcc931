//! The presence of this process in a region: from the join to the drop of the last handle, which leaves.

use crate::attachment::Attachment;
use crate::format::{FIRST_SLOT_BYTE, Header, Layout};
use crate::hook::{Point, reach};
use crate::membership::Membership;
use crate::name::Name;
use crate::os::at_fork::Identity;
use crate::os::byte_lock;
use crate::steps::member::FREE;
use crate::steps::{Place, low};
use crate::watcher::{self, Watch};
use futex_sys::__private::words64;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

/// Result of an attempt to join.
pub(crate) enum Joined {
    Member(Presence),
    /// Each slot is locked.
    Full(Attachment),
    /// The caller's check refused, after the slot was locked.
    Refused(Attachment),
}

/// A membership that ends when this value is dropped. Until then, the watcher also has a share of the [`Membership`].
pub(crate) struct Presence {
    watch: OnceLock<Watch>,
    membership: Arc<Membership>,
    /// Dropped after `membership`, whose mapping has the lock.
    _remains: Option<Remains>,
    /// True if the drop does not leave, as the end of a process does not.
    #[cfg(test)]
    dies: bool,
}

impl Presence {
    /// Joins a region. `label` is information for others. `may_join` is called after the slot is locked, and before the slot is LIVE.
    pub(crate) fn join(
        attachment: Attachment,
        label: &str,
        may_join: impl Fn(&Attachment) -> io::Result<bool>,
    ) -> io::Result<Joined> {
        // The first one is usually the slot that was unused for longest. The join overwrites the information about the last member of
        // the slot, which the next owner of a lock may still need.
        let Layout { slots, .. } = attachment.layout;
        let load = |place: Place| words64(&attachment.memory)[place.0 as usize].load(Relaxed);
        let next = low(load(Header::NEXT)) % slots;
        let order = (next..slots).chain(0..next);
        // FREE slots first: a member that is dead and not marked seems alive while another process has the lock of its byte.
        let free: Vec<u32> = order.clone().filter(|&slot| low(load(attachment.layout.slot(slot))) == FREE).collect();
        for slot in free.into_iter().chain(order) {
            let byte = FIRST_SLOT_BYTE + slot;
            if !byte_lock::try_lock(&attachment, byte..byte + 1)? {
                continue;
            }
            reach(Point::SlotLocked);
            let allowed = may_join(&attachment);
            if !matches!(allowed, Ok(true)) {
                byte_lock::unlock(&attachment, byte..byte + 1)?;
                return allowed.map(|_| Joined::Refused(attachment));
            }
            reach(Point::Allowed);
            return Membership::of_slot(attachment, slot, label)
                .map(|membership| Joined::Member(Self::new(membership)));
        }
        Ok(Joined::Full(attachment))
    }

    fn new(membership: Membership) -> Self {
        Self {
            watch: OnceLock::new(),
            membership: Arc::new(membership),
            _remains: None,
            #[cfg(test)]
            dies: false,
        }
    }

    /// The shared part.
    pub(crate) fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }

    /// Begins to watch the other members, until this value is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`watch`](watcher::watch).
    pub(crate) fn watch(&self) -> io::Result<()> {
        let watch = watcher::watch(&self.membership)?;
        // The caller has just made this value, so there is no other watch.
        let _ = self.watch.set(watch);
        Ok(())
    }

    /// Drops the membership without leaving, as the end of a process does.
    #[cfg(test)]
    pub(crate) fn die(mut self) {
        self.dies = true;
    }

    /// What the watcher has to do after the last event.
    #[cfg(test)]
    pub(crate) fn watcher_state(&self) -> String {
        self.watch.get().expect("a watch").state()
    }

    /// Ends the watcher's scans and checks after the last event. Returns false if some of them are due soon.
    #[cfg(test)]
    pub(crate) fn rest_watcher(&self) -> bool {
        self.watch.get().expect("a watch").rest()
    }

    /// Takes the watcher's events away, as if there were no inotify.
    #[cfg(test)]
    pub(crate) fn take_events(&self) {
        self.watch.get().expect("a watch").take_events();
    }

    /// Keeps the watcher from its work until the result is dropped.
    #[cfg(test)]
    pub(crate) fn keep_watcher_busy(&self) -> impl Drop + '_ {
        self.watch.get().expect("a watch").keep_busy()
    }
}

impl Deref for Presence {
    type Target = Membership;

    fn deref(&self) -> &Membership {
        &self.membership
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if !self.membership.is_here() {
            return;
        }
        // Afterwards the watcher does not use the mapping.
        drop(self.watch.take());
        #[cfg(test)]
        if self.dies {
            return;
        }
        self.membership.leave();
        reach(Point::Freed);
        let is_unlocked = self.membership.unlock();
        if let Some(name) = self.membership.name() {
            let identity = self.membership.identity();
            if is_unlocked {
                name.leave(self.membership.as_fd(), identity);
            } else {
                self._remains = Some(Remains { name: name.clone(), identity });
            }
        }
        if is_unlocked {
            reach(Point::Left);
        }
    }
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.membership.fmt(f)
    }
}

/// The name of a region whose member has lost its descriptor.
struct Remains {
    name: Name,
    identity: Identity,
}

impl Drop for Remains {
    fn drop(&mut self) {
        self.name.leave_again(self.identity);
    }
}
