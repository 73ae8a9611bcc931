//! Values that a process does not share with its forks.
#![expect(unsafe_code, reason = "a pointer to a node that is never freed once others can have it")]

use crate::origin::Origin;
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A static that is made anew in each child of `fork`.
///
/// A lock in a plain static that another thread holds at the time of a `fork` is locked for ever in the child, which
/// doesn't have that thread. Here the child gets a value of its own, and never drops its parent's. It costs a load, and
/// [`Origin::is_here`].
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
    /// Null, or the node of this process or of one that this process comes from. It is never freed.
    node: AtomicPtr<Node<T>>,
}

struct Node<T> {
    origin: Origin,
    value: T,
}

impl<T> PerProcess<T> {
    /// A cell without a value yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { node: AtomicPtr::new(ptr::null_mut()) }
    }
}

impl<T: Sync> PerProcess<T> {
    /// The value of the calling process, which is `T::default()` at first.
    ///
    /// As [`get_or_make`](PerProcess::get_or_make).
    #[must_use]
    pub fn get(&'static self) -> &'static T
    where
        T: Default,
    {
        self.get_or_make(|_| T::default())
    }

    /// The value of the calling process, made by `make` if there is none. `make` gets the value of the process that this one
    /// was forked from, if that had one: a copy of which any lock may be locked for ever. It must not call this on the same
    /// cell.
    ///
    /// Threads that call it at once may each make a value; all of them get the same one, and the others are dropped. No lock
    /// is taken, so no fork can leave one behind. (Making a value allocates, and glibc and musl keep their allocators usable
    /// in a child of `fork`.)
    #[must_use]
    pub fn get_or_make(&'static self, make: impl Fn(Option<&'static T>) -> T) -> &'static T {
        // Ordering: Acquire pairs with the Release of the exchange below: what the node holds is there with its address.
        let mut current = self.node.load(Ordering::Acquire);
        loop {
            // SAFETY: The pointer is null, or the exchange below published it. Such a node is never freed nor changed, here
            // or in a fork, so it may be shared for ever, between threads too since `T` is `Sync`.
            let node: Option<&'static Node<T>> = unsafe { current.as_ref() };
            if let Some(node) = node.filter(|node| node.origin.is_here()) {
                return &node.value;
            }
            let value = make(node.map(|node| &node.value));
            let made = Box::into_raw(Box::new(Node { origin: Origin::here(), value }));
            match self.node.compare_exchange(current, made, Ordering::Release, Ordering::Acquire) {
                Ok(_) => current = made,
                Err(theirs) => {
                    // SAFETY: The pointer was made above, and the exchange that failed showed it to nobody.
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
