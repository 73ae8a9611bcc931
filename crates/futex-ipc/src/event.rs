//! Events.

mod automatic;
mod manual;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

pub use self::automatic::AutoEvent;
pub use self::manual::ManualEvent;

use crate::directory::{Kind, Spec};
use crate::drive;
use crate::object::Object;
use crate::region::Region;
use crate::steps::event::SET;
use crate::steps::{Cancel, Place, Role, Words};
use futex_sys::Deadline;
use std::io;
use std::sync::atomic::Ordering::Acquire;

/// The common part of both events: one word.
#[derive(Debug)]
struct Event(Object);

const WORD: u32 = 0;

impl Event {
    fn spec(kind: Kind, name: &str) -> io::Result<Spec<'_>> {
        Spec::of::<()>(kind, name, 1, 0, &[(Role::Flag, WORD)])
    }

    fn create(region: &Region, kind: Kind, name: &str) -> io::Result<Self> {
        Object::create(region, &Self::spec(kind, name)?, |_| ()).map(Self)
    }

    fn open(region: &Region, kind: Kind, name: &str) -> io::Result<Self> {
        Object::open(region, &Self::spec(kind, name)?).map(Self)
    }

    fn open_or_create(region: &Region, kind: Kind, name: &str) -> io::Result<Self> {
        Object::open_or_create(region, &Self::spec(kind, name)?, |_| ()).map(Self)
    }

    fn word(&self) -> Place {
        self.0.place(WORD)
    }

    /// Ordering: Acquire. The partner is the CAS of `Set` or `SetOne`.
    fn is_set(&self) -> io::Result<bool> {
        let membership = self.0.membership();
        membership.check()?;
        Ok(membership.load(self.word(), Acquire) & SET != 0)
    }

    /// Blocks the thread until a wait for the event is over.
    fn block(&self, wait: impl Cancel<Output = ()>, deadline: Option<Deadline>) -> io::Result<()> {
        let timed_out = || self.0.timed_out(format_args!("{} was not set", self.0), "which members are alive");
        drive::block(self.0.membership(), wait, deadline)?.ok_or_else(timed_out)
    }
}
