//! The membership of this process in a region: its slot, the lock of the slot, and the mapping that keeps the lock.
//!
//! A member has a write lock on the byte of its slot, through an open file description that no other process has. The kernel
//! drops the lock when the process ends, whatever ends it. Other members learn of a death only through that lock.

mod words;

use crate::attachment::Attachment;
use crate::directory::{Directory, Entry};
use crate::format::{FIRST_SLOT_BYTE, Header, Layout, SLOT, half};
use crate::hook::{Point, reach};
use crate::information::{Information, WAITS};
use crate::name::Name;
use crate::os::at_fork::{Identity, NotForked, identity};
use crate::os::byte_lock;
use crate::run::{run, run_at_most};
use crate::stats::Counters;
use crate::steps::member::{DEAD, Join, LIVE, Leave, is_live, slot_word};
use crate::steps::sweep::Sweep;
use crate::steps::{Member, Place, Role, Sleep, Words};
use crate::waits::{Ticket, Waits};
use futex_sys::__private::{Origin, fail, lose_descriptor, words64};
#[cfg(any(test, feature = "tokio"))]
use futex_sys::Word;
use futex_sys::{ProcessId, SharedMemory};
use rustix::fs::{SeekFrom, seek};
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::sync::atomic::Ordering::{self, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, OnceLock};

/// The state of a membership, in this process.
const FINE: u32 = 0;
/// The member was closed by its program.
const CLOSED: u32 = 1;
/// The member has lost its lock, its slot or its descriptor.
const DAMAGED: u32 = 2;

/// See the [module](self).
pub(crate) struct Membership {
    what: String,
    layout: Layout,
    me: Member,
    origin: Origin,
    state: AtomicU32,
    /// True after another program has removed the name of the region.
    unlinked: AtomicBool,
    identity: Identity,
    is_claimed: bool,
    directory: Directory,
    name: OnceLock<Name>,
    waits: Arc<Waits>,
    counters: Arc<Counters>,
    /// Dropped before `memory`, which has the descriptor.
    _not_forked: NotForked,
    memory: SharedMemory,
}

/// Maximum number of lost races in a join. After each, the join may sweep the whole directory.
const JOIN_LIMIT: u32 = 64;

impl Membership {
    /// Makes this process the member of a slot. The attachment has locked the byte of the slot.
    pub(crate) fn of_slot(attachment: Attachment, slot: u32, label: &str) -> io::Result<Self> {
        let Attachment { what, layout, memory, identity, is_claimed, not_forked } = attachment;
        let mut this = Self {
            what,
            layout,
            me: Member { slot, generation: 0 },
            origin: Origin::here(),
            state: AtomicU32::new(FINE),
            unlinked: AtomicBool::new(false),
            identity,
            is_claimed,
            directory: Directory::new(),
            name: OnceLock::new(),
            waits: Arc::new(Waits::new()),
            counters: Arc::default(),
            _not_forked: not_forked,
            memory,
        };
        let Some(me) = run_at_most(JOIN_LIMIT, &Sweeping::new(&this), Join::new(slot)) else {
            // The caller may have another descriptor of the description.
            this.unlock();
            return Err(this.damaged("its table of members changes without end"));
        };
        this.me = me;
        reach(Point::Live);
        this.store(Header::NEXT, u64::from(slot) + 1, Relaxed);
        // The process is information for others. Without /proc it is missing.
        Information::store(this.slot_words(slot), this.me.generation, ProcessId::current().ok(), label);
        this.announce();
        Ok(this)
    }

    /// Frees the slot. Does nothing if the slot does not belong to this member any more.
    pub(crate) fn leave(&self) {
        if self.directory.has_something_of(self.me, self.words(), self.layout) {
            // A guard was leaked. The member leaves like one that dies, so that its locks and permits are free.
            let Member { slot, generation } = self.me;
            if self.replace_slot(slot, slot_word(generation, LIVE), slot_word(generation, DEAD)).is_ok() {
                run(&Sweeping::new(self), Sweep::new(self.me));
            }
            return;
        }
        // On the backends with threads, the thread of a wait that was dropped may still be in the kernel. If it consumes a wake, it passes
        // the wake on, unless the process ends before that. In that case nobody would sweep, because this member has left. If the
        // process is killed between these wakes and the next step, others sweep.
        if self.waits.has_waited() {
            for (_, place) in self.directory.swept(self.words(), self.layout) {
                self.wake(place, u32::MAX);
            }
        }
        if run(self, Leave) == Some(true) {
            self.announce();
        }
    }

    /// Unlocks the byte of the slot, after the slot is free. Returns false if other code has closed the descriptor. Then the end of the
    /// mapping unlocks the byte.
    pub(crate) fn unlock(&self) -> bool {
        if !self.descriptor_is_intact() {
            // The number may be that of another file, so it must not be used.
            lose_descriptor(&self.memory);
            return false;
        }
        // Explicitly, because a child of `vfork` or of a raw `clone`, or a word, may keep the description.
        let byte = FIRST_SLOT_BYTE + self.me.slot;
        let _ = byte_lock::unlock(self.memory.as_fd(), byte..byte + 1);
        reach(Point::Unlocked);
        if self.is_claimed {
            let _ = seek(&self.memory, SeekFrom::Start(0));
        }
        true
    }

    /// Sets the name of the region. The last member that leaves removes it.
    pub(crate) fn set_name(&self, name: Name) {
        let _ = self.name.set(name);
    }

    pub(crate) fn name(&self) -> Option<&Name> {
        self.name.get()
    }

    /// The objects of the region. `None` for a damaged entry.
    pub(crate) fn entries(&self) -> Vec<Option<Arc<Entry>>> {
        self.directory.entries(self.words(), self.layout)
    }

    /// True if the name of the region leads to it, or if this member does not know a name. If the name leads elsewhere, another program
    /// has removed it.
    pub(crate) fn name_leads_here(&self) -> io::Result<bool> {
        self.name.get().map_or(Ok(true), |name| name.leads_to(self.identity))
    }

    /// Changes the counter on which the streams of member events sleep, and wakes them.
    pub(crate) fn announce(&self) {
        self.fetch_add(Header::CHANGES, 1, Release);
        self.wake(Header::CHANGES, u32::MAX);
    }

    /// Returns an error if this process must not use the region.
    #[inline]
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.origin.is_here() && self.state.load(Relaxed) == FINE { Ok(()) } else { Err(self.unusable()) }
    }

    #[cold]
    fn unusable(&self) -> io::Error {
        if !self.origin.is_here() {
            return fail(
                io::ErrorKind::Unsupported,
                format!("{} belongs to the process that this one was forked from: open it again", self.what),
            );
        }
        match self.state.load(Relaxed) {
            CLOSED => fail(
                io::ErrorKind::BrokenPipe,
                format!(
                    "{} can't be used any more: this process has called `Region::close`. Open the region again",
                    self.what
                ),
            ),
            _ => fail(
                io::ErrorKind::InvalidData,
                format!(
                    "{} can't be used any more: this member has lost its lock, its slot or its descriptor, because \
                     other code has closed the descriptor, or a member has overwritten the region. Open the region again",
                    self.what
                ),
            ),
        }
    }

    /// True in the process that joined.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        self.origin.is_here()
    }

    /// Marks the membership as damaged, so that each operation fails, including one that sleeps.
    pub(crate) fn mark_damaged(&self) {
        if self.state.swap(DAMAGED, Relaxed) != DAMAGED {
            self.waits.wake_all();
        }
    }

    /// Marks the region as closed by the program, so that each operation fails, including one that sleeps.
    pub(crate) fn mark_closed(&self) {
        if self.state.compare_exchange(FINE, CLOSED, Relaxed, Relaxed).is_ok() {
            self.waits.wake_all();
        }
    }

    /// Records that the region has lost its name.
    pub(crate) fn mark_unlinked(&self) {
        if !self.unlinked.swap(true, Relaxed) {
            self.announce();
        }
    }

    pub(crate) fn is_unlinked(&self) -> bool {
        self.unlinked.load(Relaxed)
    }

    /// Returns an error about the content of the region.
    pub(crate) fn damaged(&self, what: impl fmt::Display) -> io::Error {
        fail(io::ErrorKind::InvalidData, format!("{} is damaged: {what}", self.what))
    }

    /// The region in messages.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// The region as an argument of the tool `futex`. Without a name it is a descriptor of this process.
    pub(crate) fn tool_argument(&self) -> String {
        match self.name.get() {
            Some(name) => name.tool_argument(),
            None => format!("{}:{}", std::process::id(), self.as_fd().as_raw_fd()),
        }
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Registers a wait that is about to sleep, until the ticket is dropped.
    ///
    /// The wait is registered first, and then the region is checked. In this order, a wait also ends if the region is closed while the
    /// wait begins.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check).
    pub(crate) fn register(&self, sleep: Sleep) -> io::Result<Ticket> {
        let (ticket, is_told) = self.waits.register(sleep);
        // A program that closes the descriptors of the watcher usually closes this one too. Then this member does not notice deaths.
        if !is_told && !self.descriptor_is_intact() {
            self.mark_damaged();
        }
        self.check().map(|()| ticket)
    }

    /// The waits of this member that sleep.
    pub(crate) fn waits(&self) -> &Arc<Waits> {
        &self.waits
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Device and inode of the region's file.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// True if the memory is sealed against shrinking.
    pub(crate) fn is_sealed(&self) -> bool {
        self.memory.is_sealed()
    }

    /// The words of the region.
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        words64(&self.memory)
    }

    /// Some words of the region. The caller has checked the range.
    pub(crate) fn slice(&self, from: Place, len: u32) -> &[AtomicU64] {
        &self.words()[from.0 as usize..][..len as usize]
    }

    /// The words of a slot.
    fn slot_words(&self, slot: u32) -> &[AtomicU64] {
        self.slice(self.layout.slot(slot), SLOT)
    }

    /// See [`Information::load`].
    pub(crate) fn information(&self, member: Member) -> Option<Information> {
        Information::load(self.slot_words(member.slot), member.generation)
    }

    /// Stores the oldest waits into the slot, for other processes.
    pub(crate) fn publish_waits(&self) {
        // If the slot does not belong to this member any more, its waits would seem to be those of another member.
        if is_live(self.slot(self.me.slot, Relaxed), self.me.generation) {
            self.store_waits(self.waits.oldest().to_words());
        }
    }

    /// See [`Information::store_waits`].
    pub(crate) fn store_waits(&self, waits: [u64; WAITS]) {
        Information::store_waits(self.slot_words(self.me.slot), waits);
    }

    /// See [`Information::died`].
    pub(crate) fn has_died(&self, member: Member) -> bool {
        Information::died(self.slot_words(member.slot), member.generation)
    }

    /// The half of a word that the kernel compares.
    pub(crate) fn half(&self, place: Place) -> &AtomicU32 {
        &self.memory.as_words()[half(place)]
    }

    /// The half of a word that the kernel compares, as a `Word`, which keeps the mapping alive.
    #[cfg(any(test, feature = "tokio"))]
    pub(crate) fn word(&self, place: Place) -> io::Result<Word> {
        self.memory.word(half(place) * 4)
    }

    /// True if the descriptor still leads to this member's description. Then an answer that it gave *before* counts, because a
    /// descriptor that other code has closed does not come back.
    pub(crate) fn descriptor_is_intact(&self) -> bool {
        // The number may lead to another file, or to another description of this file. The mapping keeps the lock of this member, so
        // another description reports it as the lock of another process.
        let byte = FIRST_SLOT_BYTE + self.me.slot;
        identity(self.memory.as_fd()).is_ok_and(|there| there == self.identity)
            && byte_lock::locked_by_others(self.memory.as_fd(), byte..byte + 1).is_ok_and(|locked| locked.is_none())
    }
}

impl AsFd for Membership {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if !self.origin.is_here() {
            // A fork does not have the mapping. It may have another mapping at this address, which must not be unmapped. (The fork also
            // keeps the share of the watcher, which usually prevents this drop.)
            std::mem::forget(self.memory.clone());
        }
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership").field("region", &self.what).field("me", &self.me).finish_non_exhaustive()
    }
}

/// The words of a region for a sweep, with a list of the words to sweep. The list is made when the sweep begins.
pub(crate) struct Sweeping<'a> {
    membership: &'a Membership,
    words: RefCell<Vec<(Role, Place)>>,
}

impl<'a> Sweeping<'a> {
    pub(crate) fn new(membership: &'a Membership) -> Self {
        Self { membership, words: RefCell::default() }
    }
}

impl Words for Sweeping<'_> {
    fn load(&self, place: Place, order: Ordering) -> u64 {
        self.membership.load(place, order)
    }

    fn store(&self, place: Place, value: u64, order: Ordering) {
        self.membership.store(place, value, order);
    }

    fn compare_exchange(&self, place: Place, current: u64, new: u64, order: Ordering) -> Result<u64, u64> {
        self.membership.compare_exchange(place, current, new, order)
    }

    fn fetch_add(&self, place: Place, n: u64, order: Ordering) -> u64 {
        self.membership.fetch_add(place, n, order)
    }

    fn wake(&self, place: Place, n: u32) -> u32 {
        self.membership.wake(place, n)
    }

    fn slot(&self, slot: u32, order: Ordering) -> u64 {
        self.membership.slot(slot, order)
    }

    fn replace_slot(&self, slot: u32, current: u64, new: u64) -> Result<u64, u64> {
        self.membership.replace_slot(slot, current, new)
    }

    fn is_locked(&self, slot: u32) -> bool {
        self.membership.is_locked(slot)
    }

    fn slots(&self) -> u32 {
        self.membership.slots()
    }

    fn me(&self) -> Member {
        self.membership.me
    }

    fn swept(&self, index: u32) -> Option<(Role, Place)> {
        let mut words = self.words.borrow_mut();
        if index == 0 {
            *words = self.membership.directory.swept(self.membership.words(), self.membership.layout);
        }
        words.get(index as usize).copied()
    }
}
