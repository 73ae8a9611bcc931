//! Files that a child of `fork` must not keep: their open file descriptions hold the locks of its parent.
//!
//! While a child has a descriptor or a mapping of such a description, the kernel keeps the lock after the parent's death, and no
//! other process notices the death. So each child closes these descriptors before `fork` returns in the child. The child also has copies
//! of the parent's values, and their drops must not close the numbers again.
//!
//! A child that was made by a raw `clone` system call keeps the descriptors until it ends or calls `exec`.
#![expect(unsafe_code, reason = "pthread_atfork, fstat and close")]

use futex_sys::__private::{Origin, explain, keep_from_forks};
use futex_sys::SharedMemory;
use rustix::fs::fstat;
use std::cell::RefCell;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Device and inode of a file.
pub(crate) type Identity = (u64, u64);

/// Device and inode of the file of a descriptor.
pub(crate) fn identity(file: impl AsFd) -> io::Result<Identity> {
    let stat = fstat(file).map_err(|errno| explain(errno, "cannot get the metadata of a descriptor"))?;
    Ok((stat.st_dev, stat.st_ino))
}

/// A file whose description is not kept by forks.
#[derive(Debug)]
pub(crate) struct OwnFile {
    /// Dropped before the descriptor.
    note: NotForked,
    identity: Identity,
    file: OwnedFd,
}

impl OwnFile {
    /// Opens a file while no other thread can fork.
    pub(crate) fn open(open: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<Self> {
        prepare()?;
        let _gate = gate();
        let file = open()?;
        let identity = identity(&file)?;
        let note = NotForked::new(file.as_raw_fd(), identity);
        Ok(Self { note, identity, file })
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Returns the descriptor, and the note that forks do not keep it. The caller drops the note first.
    pub(crate) fn into_parts(self) -> (OwnedFd, NotForked) {
        (self.file, self.note)
    }

    /// Maps the file. The mapping is not in a fork either.
    pub(crate) fn map(self) -> io::Result<(SharedMemory, NotForked)> {
        let Self { note, identity: _, file } = self;
        let _gate = gate();
        let memory = SharedMemory::from_fd(file)?;
        keep_from_forks(&memory)?;
        Ok((memory, note))
    }

    /// Closes the file while no other thread can fork, so that no reference to the description is left. (After a drop, a fork that
    /// another thread makes at the same time may have one.)
    pub(crate) fn close(self) {
        let _gate = gate();
        drop(self);
    }
}

impl AsFd for OwnFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A note that forks do not keep a descriptor. It is dropped before the descriptor is closed.
#[derive(Debug)]
pub(crate) struct NotForked {
    cell: &'static Cell,
    origin: Origin,
}

impl NotForked {
    /// Makes a note. The caller has the gate.
    fn new(file: RawFd, (device, inode): Identity) -> Self {
        let cell = free_cell();
        cell.device.store(device, Ordering::Relaxed);
        cell.inode.store(inode, Ordering::Relaxed);
        cell.file.store(file, Ordering::Release);
        Self { cell, origin: Origin::here() }
    }
}

impl Drop for NotForked {
    fn drop(&mut self) {
        // In a fork, the cell is free, or belongs to a file of the fork.
        if self.origin.is_here() {
            self.cell.file.store(NONE, Ordering::Release);
        }
    }
}

const NONE: RawFd = -1;

/// A descriptor that a fork does not keep.
#[derive(Debug)]
struct Cell {
    file: AtomicI32,
    /// The file of the descriptor. If other code has closed the descriptor, the number may be that of another file.
    device: AtomicU64,
    inode: AtomicU64,
}

impl Cell {
    const fn new() -> Self {
        Self { file: AtomicI32::new(NONE), device: AtomicU64::new(0), inode: AtomicU64::new(0) }
    }

    /// Closes the descriptor in a fork.
    fn close(&self) {
        let file = self.file.swap(NONE, Ordering::Relaxed);
        if file == NONE {
            return;
        }
        let mut stat = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: There is room for one `stat`.
        if unsafe { libc::fstat(file, stat.as_mut_ptr()) } != 0 {
            return;
        }
        // SAFETY: The call above has succeeded, so it has filled the `stat`.
        let stat = unsafe { stat.assume_init() };
        let identity = (stat.st_dev, stat.st_ino);
        if identity == (self.device.load(Ordering::Relaxed), self.inode.load(Ordering::Relaxed)) {
            // SAFETY: The number belongs to an `OwnFile` or to the memory that was made of one. No thread of this child uses it,
            // and the copies of these values in the child do not close it again.
            unsafe { libc::close(file) };
        }
    }
}

/// The descriptors of this process that a fork does not keep. Nodes are never freed.
static FIRST: Node = Node::new();

struct Node {
    cells: [Cell; 32],
    next: AtomicPtr<Node>,
}

impl Node {
    const fn new() -> Self {
        Self { cells: [const { Cell::new() }; 32], next: AtomicPtr::new(std::ptr::null_mut()) }
    }

    fn next(&self) -> Option<&'static Self> {
        // SAFETY: The pointer is null, or that of a node that `free_cell` has leaked.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }
}

/// A cell that has no descriptor. The caller has the gate.
fn free_cell() -> &'static Cell {
    let mut node = &FIRST;
    loop {
        if let Some(cell) = node.cells.iter().find(|cell| cell.file.load(Ordering::Acquire) == NONE) {
            return cell;
        }
        node = node.next().unwrap_or_else(|| {
            let new: &'static Node = Box::leak(Box::new(Node::new()));
            node.next.store(std::ptr::from_ref(new).cast_mut(), Ordering::Release);
            new
        });
    }
}

/// Excludes a fork while a descriptor is opened and noted, and while a file is mapped.
static GATE: Mutex<()> = Mutex::new(());

fn gate() -> MutexGuard<'static, ()> {
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// The gate, in a thread that forks.
    static HELD: RefCell<Option<MutexGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Registers the handlers, once.
fn prepare() -> io::Result<()> {
    static REGISTERED: OnceLock<i32> = OnceLock::new();
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
    // In a thread that is about to end, the thread-local value is gone. Then another thread may open a region during the fork.
    let _ = HELD.try_with(|held| held.try_borrow_mut().map(|mut held| *held = Some(guard)));
}

extern "C" fn after_fork() {
    let _ = HELD.try_with(|held| held.try_borrow_mut().map(|mut held| *held = None));
}

/// Makes only calls that a signal handler may make, because other threads of the parent may have held any lock (signal-safety(7)).
extern "C" fn after_fork_in_child() {
    let mut node = Some(&FIRST);
    while let Some(Node { cells, .. }) = node {
        cells.iter().for_each(Cell::close);
        node = node.and_then(Node::next);
    }
    after_fork();
}
