//! Opening a name: the steps 1 to 5.

use super::{Found, Name, RANGE, meaning};
use crate::attachment::Attachment;
use crate::format::Layout;
use crate::hook::{Point, reach};
use crate::os::at_fork::OwnFile;
use crate::os::byte_lock;
use crate::presence::{Joined, Presence};
use futex_sys::__private::{explain, fail};
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// The call with which a program opens a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Intent {
    Open,
    Create,
    OpenOrCreate,
}

/// What a process does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    Make,
    Remove,
    Join,
    Retry,
    RefuseMissing,
    RefuseTaken,
}

pub(super) const fn decide(intent: Intent, found: Found) -> Act {
    match (found, intent) {
        (Found::Nothing, Intent::Open) => Act::RefuseMissing,
        (Found::Nothing, Intent::Create | Intent::OpenOrCreate) => Act::Make,
        (Found::Remains, _) => Act::Remove,
        (Found::Member, Intent::Create) => Act::RefuseTaken,
        (Found::Member, Intent::Open | Intent::OpenOrCreate) => Act::Join,
        (Found::Change, _) => Act::Retry,
    }
}

impl Name {
    /// Opens, joins or makes the region.
    pub(crate) fn open(&self, intent: Intent, layout: Layout, label: &str) -> io::Result<Presence> {
        let mut patience = Patience::new();
        loop {
            let file = self.open_path(&self.path())?;
            reach(Point::Opened);
            let found = match &file {
                None => Found::Nothing,
                Some(file) => self.look(file)?,
            };
            let opened = match (decide(intent, found), file) {
                (Act::Make, _) => self.make(layout, label)?,
                (Act::Join, Some(file)) => self.join(file, label)?,
                (Act::Remove, Some(file)) => {
                    self.remove(file, &self.path())?;
                    None
                }
                (Act::RefuseTaken, _) => {
                    let hint = "open it, or use another name";
                    return Err(fail(io::ErrorKind::AlreadyExists, format!("{self} already has members: {hint}")));
                }
                (Act::RefuseMissing, _) => {
                    return Err(fail(io::ErrorKind::NotFound, format!("{self} does not exist: create it first")));
                }
                (Act::Retry | Act::Join | Act::Remove, _) => None,
            };
            if let Some(opened) = opened {
                return Ok(opened);
            }
            patience.pause(self, found == Found::Change)?;
        }
    }

    /// Step 4. Returns `None` if the caller must open the name again.
    fn join(&self, file: OwnFile, label: &str) -> io::Result<Option<Presence>> {
        let failed = |error| explain(error, format!("cannot join {self}"));
        let attachment = Attachment::new(self.what.clone(), file).map_err(failed)?;
        match Presence::join(attachment, label, |attachment| self.leads_to(attachment.identity())).map_err(failed)? {
            Joined::Member(presence) => {
                presence.set_name(self.clone());
                Ok(Some(presence))
            }
            Joined::Refused(_) => Ok(None),
            Joined::Full(attachment) => {
                if is_changing(&attachment)? || !self.leads_to(attachment.identity())? {
                    return Ok(None);
                }
                Err(attachment.full())
            }
        }
    }
}

/// True if no slot could be locked because another process removes the name, and not because each slot has a member.
pub(crate) fn is_changing(file: impl AsFd) -> io::Result<bool> {
    let lock = byte_lock::locked_by_others(file, RANGE)?;
    Ok(meaning(lock.as_ref()) == Found::Change)
}

/// The pauses between attempts to open a name.
pub(crate) struct Patience {
    /// Number of attempts that need no pause, because another process has made progress.
    free: u32,
    pause: Duration,
    paused: Duration,
}

impl Patience {
    const LONGEST_PAUSE: Duration = Duration::from_millis(10);
    /// Maximum sum of the pauses. A process has RANGE for microseconds only, unless it is stopped.
    const LIMIT: Duration = Duration::from_secs(1);

    pub(crate) const fn new() -> Self {
        Self { free: 16, pause: Duration::from_micros(50), paused: Duration::ZERO }
    }

    /// `name` is the region in messages.
    pub(crate) fn pause(&mut self, name: impl fmt::Display, must_pause: bool) -> io::Result<()> {
        if !must_pause && self.free > 0 {
            self.free -= 1;
            return Ok(());
        }
        if self.paused >= Self::LIMIT {
            return Err(fail(
                io::ErrorKind::ResourceBusy,
                format!(
                    "cannot open {name}: other processes have been removing or replacing it for a second. One of them may be \
                     stopped: continue it (`kill -CONT`) or kill it, and try again"
                ),
            ));
        }
        std::thread::sleep(self.pause);
        self.paused += self.pause;
        self.pause = (self.pause * 2).min(Self::LONGEST_PAUSE);
        Ok(())
    }
}
