//! A region that is mapped, but not joined.

use crate::format::Layout;
use crate::os::at_fork::{Identity, NotForked, OwnFile};
use futex_sys::__private::{explain, fail, reserve_file, words64};
use futex_sys::SharedMemory;
use rustix::fs::{SeekFrom, seek};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A region that is mapped, but not joined.
pub(crate) struct Attachment {
    /// The region in messages.
    pub(crate) what: String,
    pub(crate) layout: Layout,
    pub(crate) identity: Identity,
    /// True if this process has not opened the description itself. Another member may use it after this one.
    pub(crate) is_claimed: bool,
    /// Dropped before `memory`, which has the descriptor.
    pub(crate) not_forked: NotForked,
    pub(crate) memory: SharedMemory,
}

impl Attachment {
    /// Maps the file of a region. No other process or attachment has the description of the file.
    pub(crate) fn new(what: String, file: OwnFile) -> io::Result<Self> {
        let identity = file.identity();
        let (memory, not_forked) = file.map()?;
        let layout = Layout::read(words64(&memory))?;
        Ok(Self { what, layout, memory, identity, is_claimed: false, not_forked })
    }

    /// Makes a region of an empty file.
    pub(crate) fn make(what: String, file: OwnFile, layout: Layout) -> io::Result<Self> {
        // Before the file is mapped: no thread can fork during that, and reserving a large region takes some time.
        reserve_file(&file, layout.bytes(), &what)?;
        let identity = file.identity();
        let (memory, not_forked) = file.map().map_err(|error| explain(error, format!("cannot create {what}")))?;
        layout.write(words64(&memory));
        Ok(Self { what, layout, memory, identity, is_claimed: false, not_forked })
    }

    /// Device and inode of the region's file.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// The error if each slot has a member.
    pub(crate) fn full(&self) -> io::Error {
        let slots = self.layout.slots;
        let members = if slots == 1 { "member" } else { "members" };
        fail(
            io::ErrorKind::ResourceBusy,
            format!(
                "{} is full: it has {slots} {members}, which is its maximum. A region never grows: let the process that makes it \
                 choose a larger maximum (`Builder::members`)",
                self.what
            ),
        )
    }

    /// Claims a description that this process has not opened itself. Two members can't have one description, because its locks do
    /// not exclude each other.
    pub(crate) fn claim(mut self) -> io::Result<Self> {
        // The offset belongs to the description, and nothing else uses it.
        let offset = seek(&self.memory, SeekFrom::Current(1))
            .map_err(|errno| explain(errno, "cannot move the file offset of a descriptor"))?;
        if offset != 1 {
            let _ = seek(&self.memory, SeekFrom::Current(-1));
            return Err(fail(
                io::ErrorKind::ResourceBusy,
                format!(
                    "cannot join {} through this descriptor: another member has joined through the same open file description, and \
                     without /proc this process can't open another one. Mount /proc, or let a member share the region again",
                    self.what
                ),
            ));
        }
        self.is_claimed = true;
        Ok(self)
    }

    /// Gives a claimed description back.
    pub(crate) fn give_back(&self) {
        if self.is_claimed {
            let _ = seek(&self.memory, SeekFrom::Start(0));
        }
    }
}

impl AsFd for Attachment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}
