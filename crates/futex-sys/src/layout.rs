//! Properties of types on which other code relies, checked by the compiler.

use crate::deadline::Deadline;
use crate::eventfd::EventFd;
use crate::futex::WaitOutcome;
use crate::named_memory::NamedMemory;
use crate::origin::Origin;
use crate::per_process::PerProcess;
use crate::process::{Process, ProcessId};
use crate::shared_memory::SharedMemory;
use crate::view::MemoryView;
use crate::waitv::WaitvEntry;
use crate::word::Word;
use static_assertions::{assert_eq_align, assert_eq_size, assert_impl_all, const_assert_eq};
use std::fmt::Debug;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::AtomicU32;

// The futex word, futex(2): four bytes, aligned to four.
assert_eq_size!(AtomicU32, u32);
const_assert_eq!(align_of::<AtomicU32>(), 4);

// `struct futex_waitv` of <linux/futex.h>: u64, u64, u32, u32.
assert_eq_size!(WaitvEntry<'static>, rustix::thread::futex::Wait, [u64; 3]);
assert_eq_align!(WaitvEntry<'static>, rustix::thread::futex::Wait);

// A wait stores a handle, so a handle stays two pointers wide. The null address is the niche for `None`.
assert_eq_size!(Word, Option<Word>, [usize; 2]);

// The types that users move between threads.
assert_impl_all!(Word: Clone, Send, Sync, Unpin, Debug, std::ops::Deref<Target = AtomicU32>);
assert_impl_all!(SharedMemory: Clone, Send, Sync, Unpin, Debug, AsFd, AsRawFd, TryFrom<OwnedFd>);
assert_impl_all!(MemoryView: Send, Sync, Unpin, Debug, AsFd, AsRawFd);
assert_impl_all!(NamedMemory: Send, Sync, Unpin, Debug, std::ops::Deref<Target = SharedMemory>);
assert_impl_all!(WaitvEntry<'static>: Copy, Send, Sync, Debug);
assert_impl_all!(EventFd: Send, Sync, Debug, AsFd);
assert_impl_all!(Origin: Copy, Send, Sync);
assert_impl_all!(PerProcess<std::sync::Mutex<Vec<u8>>>: Send, Sync, Debug);
assert_impl_all!(Deadline: Copy, Ord, Send, Sync);
assert_impl_all!(ProcessId: Copy, Eq, std::hash::Hash, Send, Sync, Unpin, Debug);
assert_impl_all!(Process: Send, Sync, Unpin, Debug);
assert_impl_all!(WaitOutcome: Copy, Eq, Send, Sync);
#[cfg(feature = "uring")]
assert_impl_all!(crate::uring::ring::FutexRing: Send, Debug);
