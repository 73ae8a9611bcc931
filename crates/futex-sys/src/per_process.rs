//! Values that a process does not share with its forks.
#![expect(unsafe_code, reason = "a pointer to a node that is never freed once it is published")]

use crate::origin::Origin;
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A static that has a separate value in each child of `fork`.
///
/// If another thread holds the lock of a plain static at the time of a `fork`, the lock stays locked for ever in the child,
/// because the child does not have that thread. With this type, the child gets its own value and never drops the value of
/// its parent. An access costs a load and [`Origin::is_here`].
///
/// # Examples
///
/// ```
/// use futex_sys::__private::PerProcess;
/// use std::sync::Mutex;
///
/// static NAMES: PerProcess<Mutex<Vec<String>>> = PerProcess::new();
///
/// NAMES.get().lock().unwrap().push("a name that a fork starts without".to_owned());
/// assert_eq!(NAMES.get().lock().unwrap().len(), 1);
/// ```
pub struct PerProcess<T> {
    /// Null, or the node of this process or of one of its ancestors. A published node is never freed.
    node: AtomicPtr<Node<T>>,
}

struct Node<T> {
    origin: Origin,
    value: T,
}

impl<T> PerProcess<T> {
    /// A cell that has no value yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { node: AtomicPtr::new(ptr::null_mut()) }
    }
}

impl<T: Sync> PerProcess<T> {
    /// The value of the calling process, which is `T::default()` at first: [`get_or_make`](PerProcess::get_or_make) with that
    /// default.
    #[must_use]
    pub fn get(&'static self) -> &'static T
    where
        T: Default,
    {
        self.get_or_make(|_| T::default())
    }

    /// The value of the calling process. If the process has none yet, `make` makes it.
    ///
    /// `make` receives the value of the process that this one was forked from, if that process had one. Each lock in that
    /// value may be locked for ever. `make` must not call this function on the same cell.
    ///
    /// If several threads call this function at once, each may make a value. All threads get the same value, and the others
    /// are dropped. The function takes no lock, so a fork can't leave a lock behind. (It allocates memory. The allocators of
    /// glibc and musl stay usable in a child of `fork`.)
    #[must_use]
    pub fn get_or_make(&'static self, make: impl Fn(Option<&'static T>) -> T) -> &'static T {
        // Ordering: Acquire pairs with the Release of the exchange below, so the content of the node is visible here.
        let mut current = self.node.load(Ordering::Acquire);
        loop {
            // SAFETY: The pointer is null, or the exchange below published it. A published node is never freed or changed, in
            // this process or in a fork, so a shared reference stays valid for ever. Threads may share it, because `T` is `Sync`.
            let node: Option<&'static Node<T>> = unsafe { current.as_ref() };
            if let Some(node) = node.filter(|node| node.origin.is_here()) {
                return &node.value;
            }
            let value = make(node.map(|node| &node.value));
            let made = Box::into_raw(Box::new(Node { origin: Origin::here(), value }));
            match self.node.compare_exchange(current, made, Ordering::Release, Ordering::Acquire) {
                Ok(_) => current = made,
                Err(theirs) => {
                    // SAFETY: The pointer was made above. The exchange failed, so it was not published.
                    drop(unsafe { Box::from_raw(made) });
                    current = theirs;
                }
            }
        }
    }
}

impl<T> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for PerProcess<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerProcess").finish_non_exhaustive()
    }
}
