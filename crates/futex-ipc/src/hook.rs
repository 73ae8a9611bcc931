//! Points between the steps of the protocols of names and members. Tests end or stop processes there. In a build that is not a
//! test, nothing is left of them.

/// A point that a process has reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Point {
    /// The file that has the name is open.
    Opened,
    /// The bytes of all slots were free, and are locked by this process.
    Cleaning,
    /// A lock was in the way of RANGE, and is known.
    Looked,
    /// The name of remains was removed, and the bytes are locked still.
    Cleaned,
    /// A file without a name is there, and empty.
    Drafted,
    /// The new region is complete, and this process is its first member.
    Made,
    /// The new region has its name.
    Linked,
    /// The byte of a slot is locked.
    SlotLocked,
    /// The caller's check has allowed to join.
    Allowed,
    /// The slot is LIVE, and its information is not there yet.
    Live,
    /// The slot is FREE again, and its byte locked.
    Freed,
    /// The byte is unlocked.
    Unlocked,
    /// The member that left has locked the bytes of all slots.
    Last,
    /// The member that left has removed the name.
    Removed,
    /// The member has left, and its file is still open.
    Left,
}

#[cfg(not(test))]
#[inline(always)]
pub(crate) fn reach(_: Point) {}

#[cfg(test)]
pub(crate) fn reach(point: Point) {
    if let Some(hook) = HOOK.get() {
        hook(point);
    }
}

/// The function of a test, which has a process of its own.
#[cfg(test)]
pub(crate) static HOOK: std::sync::OnceLock<fn(Point)> = std::sync::OnceLock::new();

/// True in a process that tests how regions are made without `O_TMPFILE`.
#[cfg(test)]
pub(crate) static ONLY_HIDDEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
