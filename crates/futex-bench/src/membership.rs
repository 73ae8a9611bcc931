//! Processes that are members of a region.

use crate::hull::Hull;
use anyhow::{Context as _, Result};
use futex_ipc::{MemberEvent, Region};
use futex_tokio::SharedMemory;
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering::AcqRel;
use std::thread;

/// What a process does as a member.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Watcher {
    /// It counts the deaths of others.
    Told,
    /// It waits until it is killed.
    Victim,
}

/// Is a member, until this process is killed.
pub(crate) fn join(watcher: Watcher, mut hull: Hull) -> Result<()> {
    let control = SharedMemory::from_fd(hull.take_fd()?)?;
    let answers = control.word(0)?;
    let region = Region::builder().from_fd(hull.take_fd()?)?;
    let answer = || {
        answers.fetch_add(1, AcqRel);
        answers.wake(1);
    };
    match watcher {
        Watcher::Told => {
            let mut events = region.watch_members().context("a stream of members")?;
            answer();
            loop {
                if let MemberEvent::Died(_) = events.blocking_next()? {
                    answer();
                }
            }
        }
        Watcher::Victim => {
            answer();
            loop {
                thread::park();
            }
        }
    }
}
