//! What a child of `fork` must not keep: the descriptions that hold the locks of its parent.
//!
//! While a child has a descriptor of such a description, the kernel keeps the lock after the parent's death, and nobody notices
//! the death. So in each child the descriptors are replaced by one of an eventfd, before `fork` returns. They are replaced, not
//! closed, so that the copies of the parent's values in the child may close their numbers as usual.
//!
//! A child that was made by a raw `clone` system call keeps the descriptors until it ends or calls `exec`.
#![expect(unsafe_code, reason = "pthread_atfork and dup3")]

use futex_sys::__private::explain;
use futex_sys::EventFd;
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// A note that forks do not keep a descriptor. It is dropped before the descriptor is closed.
#[derive(Debug)]
pub(crate) struct NotForked {
    cell: &'static AtomicI32,
}

impl NotForked {
    /// Opens a file while no other thread can fork.
    pub(crate) fn open(open: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<(OwnedFd, Self)> {
        prepare()?;
        let _gate = gate();
        let file = open()?;
        let cell = free_cell();
        cell.store(file.as_raw_fd(), Ordering::Release);
        Ok((file, Self { cell }))
    }
}

impl Drop for NotForked {
    fn drop(&mut self) {
        let _gate = gate();
        self.cell.store(NONE, Ordering::Release);
    }
}

const NONE: RawFd = -1;

/// The descriptors of this process that a fork does not keep. Nodes are never freed.
static FIRST: Node = Node::new();

struct Node {
    cells: [AtomicI32; 32],
    next: AtomicPtr<Node>,
}

impl Node {
    const fn new() -> Self {
        Self { cells: [const { AtomicI32::new(NONE) }; 32], next: AtomicPtr::new(std::ptr::null_mut()) }
    }

    fn next(&self) -> Option<&'static Self> {
        // SAFETY: The pointer is null, or that of a node that `free_cell` has leaked.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }
}

/// A cell that has no descriptor. The caller has the gate.
fn free_cell() -> &'static AtomicI32 {
    let mut node = &FIRST;
    loop {
        if let Some(cell) = node.cells.iter().find(|cell| cell.load(Ordering::Relaxed) == NONE) {
            return cell;
        }
        node = node.next().unwrap_or_else(|| {
            let new: &'static Node = Box::leak(Box::new(Node::new()));
            node.next.store(std::ptr::from_ref(new).cast_mut(), Ordering::Release);
            new
        });
    }
}

/// Excludes a fork while a descriptor is opened and noted.
static GATE: Mutex<()> = Mutex::new(());

fn gate() -> MutexGuard<'static, ()> {
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// The gate, in a thread that forks.
    static HELD: RefCell<Option<MutexGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// The descriptor that takes the place of the others in a child.
static PLACEHOLDER: OnceLock<EventFd> = OnceLock::new();

/// Makes the placeholder and registers the handlers, once.
fn prepare() -> io::Result<()> {
    static REGISTERED: OnceLock<i32> = OnceLock::new();
    if PLACEHOLDER.get().is_none() {
        let _ = PLACEHOLDER.set(EventFd::new()?);
    }
    // SAFETY: The handlers are functions that stay loaded as long as this code does, and don't unwind.
    let result = REGISTERED.get_or_init(|| unsafe {
        libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(after_fork_in_child))
    });
    match *result {
        0 => Ok(()),
        code => Err(explain(
            io::Error::from_raw_os_error(code),
            "cannot register the handlers that keep a region's descriptors out of forks",
        )),
    }
}

extern "C" fn before_fork() {
    let guard = gate();
    // In a thread that is about to end there is no cell to hold the guard, and a region may be opened meanwhile.
    let _ = HELD.try_with(|held| held.try_borrow_mut().map(|mut held| *held = Some(guard)));
}

extern "C" fn after_fork() {
    let _ = HELD.try_with(|held| held.try_borrow_mut().map(|mut held| *held = None));
}

/// Only what a signal handler may do: other threads of the parent may have held any lock (signal-safety(7)).
extern "C" fn after_fork_in_child() {
    if let Some(placeholder) = PLACEHOLDER.get() {
        let placeholder = placeholder.as_fd().as_raw_fd();
        let mut node = Some(&FIRST);
        while let Some(Node { cells, next: _ }) = node {
            for cell in cells {
                let file = cell.swap(NONE, Ordering::Relaxed);
                if file != NONE {
                    // SAFETY: The number belongs to a `NotForked`, which no thread of this child uses meanwhile. What replaces
                    // the description is valid until the copy of the `NotForked` is dropped.
                    unsafe { libc::dup3(placeholder, file, libc::O_CLOEXEC) };
                }
            }
            node = node.and_then(Node::next);
        }
    }
    after_fork();
}
