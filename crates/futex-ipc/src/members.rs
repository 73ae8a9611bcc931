//! The members of a region, for users.

use crate::drive;
use crate::format::Header;
use crate::information::Information;
use crate::membership::Membership;
use crate::presence::Presence;
use crate::region::Region;
use crate::steps::member::{DEAD, FREE, is_live};
use crate::steps::{self, Cancel, Machine, PATIENCE, Place, Step, Wake, Words, high, low};
use futex_sys::{Deadline, ProcessId};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;

/// A member of a region, as it was when this value was made.
///
/// Its process and its label are information only: any member can write anything there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    slot: u32,
    generation: u32,
    process: Option<ProcessId>,
    label: String,
    is_alive: bool,
    is_me: bool,
}

impl Member {
    /// The member that a word names, if the table still has its information.
    pub(crate) fn named(membership: &Membership, member: steps::Member) -> Option<Self> {
        if member.slot >= membership.slots() {
            return None;
        }
        let information = membership.information(member)?;
        let is_alive = is_live(membership.slot(member.slot, Acquire), member.generation);
        Some(Self::new(membership, member, is_alive, Some(information)))
    }

    fn new(membership: &Membership, member: steps::Member, is_alive: bool, information: Option<Information>) -> Self {
        Self { is_me: member == membership.me(), ..Self::of_others(member, is_alive, information) }
    }

    /// A member, as seen by a process that is not a member itself.
    pub(crate) fn of_others(member: steps::Member, is_alive: bool, information: Option<Information>) -> Self {
        let (process, label) = information.map_or_else(Default::default, |Information { process, label, .. }| {
            (ProcessId::from_words(process).ok(), label)
        });
        let steps::Member { slot, generation } = member;
        Self { slot, generation, process, label, is_alive, is_me: false }
    }

    /// Returns the index of the member's slot in the table of members. A slot has at most one member at a time.
    #[must_use]
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// Returns the number of members that the slot has had, including this one. Slot and generation together identify a member for the
    /// lifetime of the region (until the number wraps after 4 billion members).
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Returns the process of the member. `None` if the member has just joined, has no `/proc`, or has written an invalid value.
    ///
    /// # When other resources of a dead member matter
    ///
    /// A member counts as dead when its threads can't write into the region any more. Its process may end later, because the kernel
    /// closes its other descriptors one after the other. Before you take over a resource outside of the region (a socket address, a
    /// device), wait for the end of the process:
    ///
    /// ```
    /// # fn take_over(predecessor: &futex_ipc::Member) -> std::io::Result<()> {
    /// if let Some(process) = predecessor.process() {
    ///     process.open()?.wait(None)?; // in a task: futex_tokio::process_end(process)?.await?
    /// }
    /// # Ok(())
    /// # }
    /// # let region = futex_ipc::Region::builder().anonymous()?;
    /// # assert!(region.members()?[0].process().is_some());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn process(&self) -> Option<ProcessId> {
        self.process
    }

    /// Returns the [label](crate::Builder::label) of the member.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns false if the member has left or died. A stopped process (`SIGSTOP`) is alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.is_alive
    }

    /// Returns true for the member of the [`Region`] that returned this value.
    #[must_use]
    pub fn is_me(&self) -> bool {
        self.is_me
    }
}

/// A change of a region's members, from [`MemberEvents`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MemberEvent {
    /// A member has joined, or was there when the stream began.
    Joined(Member),
    /// A member has left.
    Left(Member),
    /// The process of a member has ended, and the member has not left before, for example because of `SIGKILL`. The locks of the
    /// member may not be repaired yet.
    Died(Member),
    /// The number of members that have joined, and have left or died, before the stream could report them, because the table of members
    /// has only the last member of each slot. The stream reports nothing else about these members.
    Missed(u64),
    /// The region has lost its name, but not through its members: another program has removed the file, or has renamed it. The members
    /// keep the region, but the next process that opens the name makes another one. (The service `systemd-logind` removes the files
    /// that a user has in `/dev/shm` when the user logs out, unless it is configured with `RemoveIPC=no`.)
    Unlinked,
}

impl MemberEvent {
    /// Returns the member of the event. `None` for [`Missed`](Self::Missed) and [`Unlinked`](Self::Unlinked).
    #[must_use]
    pub fn member(&self) -> Option<&Member> {
        match self {
            Self::Joined(member) | Self::Left(member) | Self::Died(member) => Some(member),
            Self::Missed(_) | Self::Unlinked => None,
        }
    }
}

impl Region {
    /// Returns the member that this handle belongs to.
    ///
    /// # Errors
    ///
    /// Those of [`members`](Self::members). Also `InvalidData` if the table of the region does not have the member any more.
    pub fn me(&self) -> io::Result<Member> {
        let membership = self.membership();
        membership.check()?;
        Member::named(membership, membership.me())
            .ok_or_else(|| membership.damaged("its table of members has something else in the slot of this one"))
    }

    /// Returns the members of the region, including this one, in the order of their slots.
    ///
    /// A member that has died is in the list until its locks are repaired; [`Member::is_alive`] is false for it. The call makes up to three
    /// system calls for each other member.
    ///
    /// # Errors
    ///
    /// `Unsupported` in a fork of the process that opened the region. `BrokenPipe` if the region was closed. `InvalidData` if it is
    /// damaged.
    pub fn members(&self) -> io::Result<Vec<Member>> {
        let membership = self.membership();
        membership.check()?;
        let members = (0..membership.slots()).filter_map(|slot| member_of_slot(membership, slot)).collect();
        // The calls may have shown that the descriptor does not lead to the region any more.
        membership.check().map(|()| members)
    }

    /// Returns a stream of the changes of the region's members. It begins with [`Joined`](MemberEvent::Joined) for each *other* member
    /// that is present.
    ///
    /// # Errors
    ///
    /// Those of [`members`](Self::members).
    pub fn watch_members(&self) -> io::Result<MemberEvents> {
        let membership = self.membership();
        membership.check()?;
        let known = (0..membership.slots()).map(|slot| Known::begin(membership, slot)).collect();
        Ok(MemberEvents {
            presence: Arc::clone(self.presence()),
            known,
            events: VecDeque::new(),
            changes: None,
            unlinked: false,
        })
    }
}

/// The member of a slot that is alive, or dead and not swept.
fn member_of_slot(membership: &Membership, slot: u32) -> Option<Member> {
    for _ in 0..PATIENCE {
        let word = membership.slot(slot, Acquire);
        let member = steps::Member { slot, generation: high(word) };
        let is_alive = match low(word) {
            FREE => return None,
            DEAD => false,
            _ => membership.is_locked(slot),
        };
        let information = membership.information(member);
        // Otherwise the answers may be about another member.
        if membership.slot(slot, Acquire) == word {
            return Some(Member::new(membership, member, is_alive, information));
        }
    }
    // The members of the slot change so fast that this loop can't examine one.
    None
}

/// What a stream knows of a slot.
#[derive(Debug)]
struct Known {
    /// The last generation that was reported.
    generation: u32,
    /// The member of that generation, unless its end was reported.
    present: Option<Member>,
}

impl Known {
    /// If the slot has a member now, that member is reported next.
    fn begin(membership: &Membership, slot: u32) -> Self {
        let word = membership.slot(slot, Acquire);
        let reported = if matches!(low(word), FREE | DEAD) { high(word) } else { high(word).wrapping_sub(1) };
        Self { generation: reported, present: None }
    }

    /// Reports the changes of the slot. Returns the number of members that were missed.
    fn look(&mut self, membership: &Membership, slot: u32, mut report: impl FnMut(MemberEvent)) -> u64 {
        let word = membership.slot(slot, Acquire);
        let member = steps::Member { slot, generation: high(word) };
        let has_ended = matches!(low(word), FREE | DEAD);
        let end = |known: Member, report: &mut dyn FnMut(MemberEvent)| {
            let ended = steps::Member { slot, generation: known.generation };
            let is_dead = (ended == member && low(word) == DEAD) || membership.has_died(ended);
            let known = Member { is_alive: false, ..known };
            report(if is_dead { MemberEvent::Died(known) } else { MemberEvent::Left(known) });
        };
        if has_ended || self.generation != member.generation {
            if let Some(known) = self.present.take() {
                end(known, &mut report);
            }
        }
        let between = member.generation.wrapping_sub(self.generation);
        if between == 0 {
            return 0;
        }
        let information = membership.information(member);
        if information.is_none() && !has_ended {
            // The member changes the counter after it has written the information.
            return 0;
        }
        self.generation = member.generation;
        let Some(information) = information else { return between.into() };
        let joined = Member::new(membership, member, !has_ended, Some(information));
        report(MemberEvent::Joined(joined.clone()));
        if has_ended {
            end(joined, &mut report);
        } else {
            self.present = Some(joined);
        }
        u64::from(between) - 1
    }
}

/// The changes of a region's members, from [`Region::watch_members`].
///
/// The member does not leave while the stream exists, as with a clone of the region.
///
/// # What it reports
///
/// For each member of a slot, the stream reports one [`Joined`](MemberEvent::Joined) and one [`Left`](MemberEvent::Left) or
/// [`Died`](MemberEvent::Died), in this order. Events of different slots may be reported in another order than they happened.
///
/// The stream examines the table of members, which has only the last member of each slot. If a slot has had several members since
/// the last call, the stream reports the last one, the end of the one that it had reported before, and
/// [`Missed`](MemberEvent::Missed) with the number of the others. If 64 or more members have followed in the slot, it can't
/// distinguish a death from a leave, and reports `Left`.
///
/// # When a death is reported
///
/// The kernel reports the end of a process by inotify, after it has freed the memory of the process. Then one of the living members
/// marks the dead member. Without inotify or `/proc`, each member examines the others every 10 ms while one of its tasks or threads
/// waits, for example for this stream, and once a second otherwise.
#[derive(Debug)]
#[must_use = "a stream does nothing unless its methods are called"]
pub struct MemberEvents {
    presence: Arc<Presence>,
    known: Vec<Known>,
    events: VecDeque<MemberEvent>,
    /// The counter before the table was examined last.
    changes: Option<u64>,
    /// True after it was reported.
    unlinked: bool,
}

impl MemberEvents {
    /// Returns the next event if there is one.
    ///
    /// # Errors
    ///
    /// Those of [`Region::members`]. The stream can be used after an error.
    pub fn try_next(&mut self) -> io::Result<Option<MemberEvent>> {
        let membership: &Membership = &self.presence;
        membership.check()?;
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        let changes = membership.load(Header::CHANGES, Acquire);
        if self.changes == Some(changes) {
            return Ok(None);
        }
        self.changes = Some(changes);
        let mut missed = 0;
        for (slot, known) in (0..).zip(&mut self.known) {
            if slot != membership.me().slot {
                missed += known.look(membership, slot, |event| self.events.push_back(event));
            }
        }
        if missed > 0 {
            self.events.push_front(MemberEvent::Missed(missed));
        }
        if membership.is_unlinked() && !self.unlinked {
            self.unlinked = true;
            self.events.push_back(MemberEvent::Unlinked);
        }
        Ok(self.events.pop_front())
    }

    /// Waits for the next event, and returns it.
    ///
    /// # Errors
    ///
    /// Those of [`try_next`](Self::try_next). `Unsupported` if the call has to wait outside a Tokio runtime. Those of a wait (see
    /// `futex_tokio::WaitAsync`).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it is ready, no event is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use futex_ipc::{MemberEvent, Region};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let region = Region::builder().anonymous()?;
    /// let mut events = region.watch_members()?;
    ///
    /// # let share = region.share()?;
    /// let worker = Region::builder().label("worker 1").from_fd(share)?; // in another process
    /// match events.next().await? {
    ///     MemberEvent::Joined(member) => assert_eq!(member.label(), "worker 1"),
    ///     event => panic!("{event:?}"),
    /// }
    ///
    /// drop(worker);
    /// assert!(matches!(events.next().await?, MemberEvent::Left(_)));
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tokio")]
    pub async fn next(&mut self) -> io::Result<MemberEvent> {
        loop {
            if let Some(event) = self.try_next()? {
                return Ok(event);
            }
            if let Some(changed) = self.change() {
                drive::operate(&self.presence, || changed).await?;
            }
        }
    }

    /// Returns the next event, and blocks the thread until there is one.
    ///
    /// # Errors
    ///
    /// Those of [`try_next`](Self::try_next), and those of a wait (see `futex_sys::futex::wait`).
    pub fn blocking_next(&mut self) -> io::Result<MemberEvent> {
        loop {
            if let Some(event) = self.next_before(None)? {
                return Ok(event);
            }
        }
    }

    /// Like [`blocking_next`](Self::blocking_next), but returns `None` when the deadline has passed.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_next`](Self::blocking_next).
    pub fn blocking_next_deadline(&mut self, deadline: impl Into<Deadline>) -> io::Result<Option<MemberEvent>> {
        self.next_before(Some(deadline.into()))
    }

    fn next_before(&mut self, deadline: Option<Deadline>) -> io::Result<Option<MemberEvent>> {
        loop {
            if let Some(event) = self.try_next()? {
                return Ok(Some(event));
            }
            if let Some(changed) = self.change() {
                // A member may change the counter and nothing else, again and again, so that no wait sees the deadline.
                let ended = drive::block(&self.presence, changed, deadline)?.is_none();
                if ended || deadline.is_some_and(|deadline| deadline <= Deadline::after(Duration::ZERO)) {
                    return self.try_next();
                }
            }
        }
    }

    /// The wait for the next change, after the table was examined without a result.
    fn change(&self) -> Option<Change> {
        self.changes.map(|last| Change { last: low(last) })
    }
}

/// Waits until the table of members changes.
///
/// 1. Load the counter (Acquire; the partner is the Release of the member that announces a change). It differs: done.
/// 2. Otherwise sleep on it. Then 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Change {
    last: u32,
}

const COUNTER: Place = Header::CHANGES;

impl Machine for Change {
    type Output = ();

    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        if low(words.load(COUNTER, Acquire)) == self.last { Step::sleep(COUNTER, self.last) } else { Step::Done(()) }
    }
}

impl Cancel for Change {
    type Undo = Wake;

    /// Undoes nothing, because each wake is for all sleepers.
    fn cancel(self) -> Wake {
        Wake::new(COUNTER, 0)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
