//! Points between the steps of the protocols of names and members. Tests end or stop processes at these points. Other builds do not
//! contain them.

/// A point that a process has reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Point {
    /// The file that has the name is open.
    Opened,
    /// The bytes of all slots were free, and are locked by this process.
    Cleaning,
    /// The lock that conflicted with RANGE is known.
    Looked,
    /// The name of the remains was removed, and the bytes are still locked.
    Cleaned,
    /// The new file exists, and is empty.
    Drafted,
    /// The new region is complete, and this process is its first member.
    Made,
    /// The new region has its name.
    Linked,
    /// The byte of a slot is locked.
    SlotLocked,
    /// The caller's check has allowed the join.
    Allowed,
    /// The slot is LIVE, and the information is not written yet.
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
