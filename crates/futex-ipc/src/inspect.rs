//! Inspecting a region without joining it, for tools.
//!
//! An inspection reads the region with `pread`, and asks the kernel for the locks of the members. It writes nothing, allocates no page,
//! and always ends: all sizes are bounded, and no loop waits for a value.

mod objects;
mod reader;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
mod waits;

pub use self::objects::{LockState, ObjectInfo, ObjectState, Share, SleepPurpose, Tasks};
pub use self::reader::MemberId;
use self::reader::{Reader, offset_of_low_half};
pub use self::waits::MemberWait;
use crate::directory::Entry;
use crate::format::{ENTRY, FIRST_SLOT_BYTE, Header, Layout};
use crate::members::Member;
use crate::os::byte_lock;
use crate::steps::member::{DEAD, FREE, LIVE};
use crate::steps::{self, Place, high, low};
use futex_sys::MemoryView;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{Ordering::Acquire, fence};

/// The state of a region: its members, its objects, and which member has which object. The inspecting process is not a member.
///
/// The parts are from different moments, because the members go on during the inspection. All data were written by members, and a
/// member can write anything.
///
/// # Examples
///
/// ```
/// use futex_ipc::{Inspection, Mutex, ObjectState, Region};
/// use futex_sys::MemoryView;
///
/// let region = Region::builder().label("worker").anonymous()?;
/// let jobs = Mutex::create(&region, "jobs", 0_u64)?;
/// let guard = jobs.blocking_lock()?;
///
/// let view = MemoryView::from_fd(region.share()?)?;
/// let inspection = Inspection::of(&view)?.expect("the memory is a region");
/// let object = &inspection.objects()[0];
/// assert_eq!(object.name, "jobs");
/// let ObjectState::Mutex(lock) = &object.state else { panic!("the object is a mutex") };
/// let holder = lock.holder.and_then(|holder| inspection.member(holder)).expect("the mutex is locked");
/// assert_eq!(holder.label(), "worker");
/// # drop(guard);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Inspection {
    layout: Layout,
    members: Vec<Member>,
    waits: Vec<MemberWait>,
    objects: Vec<ObjectInfo>,
    damaged: u32,
    /// The words on which members sleep, by offset. Each has the index of its object, if it belongs to one.
    words: BTreeMap<usize, (Option<usize>, SleepPurpose)>,
}

impl Inspection {
    /// Inspects a region. `None` if the memory is not a region of futex-ipc.
    ///
    /// The view must not use the descriptor of a member in this process, nor a duplicate of it. The kernel does not report the locks of
    /// the same open file description, so this member would seem to be dead.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the region has another format or byte order, or if its header is damaged. `UnexpectedEof` if the memory was
    /// shortened. Otherwise those of `pread(2)` and `fcntl(2)`.
    pub fn of(view: &MemoryView) -> io::Result<Option<Self>> {
        let reader = Reader(view);
        let mut magic = [0; 8];
        if view.read(0, &mut magic)? < magic.len() || !Layout::is_of_a_region(magic) {
            return Ok(None);
        }
        let layout = Layout::check(reader.words(Place(0))?, view.len() / 8)?;
        let Table { members, live, waits } = members(reader, layout)?;
        let [used] = reader.words(Header::USED)?;
        let mut inspection = Self { layout, members, waits, objects: Vec::new(), damaged: 0, words: BTreeMap::new() };
        let mut look = objects::Look::new(reader, &live);
        // Ordering: Acquire. The entries are read after their number, which a member stores last.
        fence(Acquire);
        for index in 0..used.min(layout.entries.into()) as u32 {
            match Entry::parse(reader.words::<{ ENTRY as usize }>(layout.entry(index))?, layout) {
                Some(entry) => inspection.objects.push(look.at(&entry)?),
                None => inspection.damaged += 1,
            }
        }
        let objects = inspection.objects.iter().enumerate();
        let of_objects =
            objects.flat_map(|(i, object)| object.sleeps.iter().map(move |&(at, what)| (at, Some(i), what)));
        let of_region = [(Header::LOCK, SleepPurpose::Directory), (Header::CHANGES, SleepPurpose::Members)];
        let of_region = of_region.map(|(place, what)| (offset_of_low_half(place), None, what));
        for (at, object, what) in of_region.into_iter().chain(of_objects) {
            inspection.words.entry(at).or_insert((object, what));
        }
        Ok(Some(inspection))
    }

    /// Returns the members, in the order of their slots. A member that [is not alive](Member::is_alive) has died, and its locks are not
    /// repaired yet. Living members repair them soon.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Returns the member with this slot and generation. `None` if it has left, or if it has died and its locks were repaired.
    #[must_use]
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.iter().find(|member| (member.slot(), member.generation()) == (id.slot, id.generation))
    }

    /// Returns the oldest waits of each member: at most three per member, each on another word. They are in the order of the slots, and
    /// for each member the oldest one is the first.
    ///
    /// A member records its waits once a second. So a wait of less than a second may be missing, and a wait that has just ended may
    /// still be listed.
    #[must_use]
    pub fn waits(&self) -> &[MemberWait] {
        &self.waits
    }

    /// Returns the objects, in the order in which they were made.
    #[must_use]
    pub fn objects(&self) -> &[ObjectInfo] {
        &self.objects
    }

    /// Returns the maximum number of members.
    #[must_use]
    pub fn max_members(&self) -> u32 {
        self.layout.slots
    }

    /// Returns the maximum number of objects.
    #[must_use]
    pub fn max_objects(&self) -> u32 {
        self.layout.entries
    }

    /// Returns the number of damaged entries of the directory. They are not among the [objects](Self::objects).
    #[must_use]
    pub fn damaged_entries(&self) -> u32 {
        self.damaged
    }

    /// Returns the futex words on which members sleep, in ascending order: the offset in bytes, the object, and the purpose of a sleep. A
    /// word without an object belongs to the region itself.
    pub fn sleep_words(&self) -> impl Iterator<Item = (usize, Option<&ObjectInfo>, SleepPurpose)> {
        let object = |index: Option<usize>| index.and_then(|index| self.objects.get(index));
        self.words.iter().map(move |(&offset, &(index, purpose))| (offset, object(index), purpose))
    }
}

/// The contents of the table of members.
#[derive(Default)]
struct Table {
    members: Vec<Member>,
    /// The slots that are LIVE, in ascending order.
    live: Vec<objects::Live>,
    waits: Vec<MemberWait>,
}

fn members(reader: Reader<'_>, layout: Layout) -> io::Result<Table> {
    let mut table = Table::default();
    for slot in 0..layout.slots {
        let place = layout.slot(slot);
        // As in `member_of_slot`. If the members of a slot change too fast, the slot is left out.
        for _ in 0..4 {
            let [word] = reader.words(place)?;
            let member = steps::Member { slot, generation: high(word) };
            let byte = FIRST_SLOT_BYTE + slot;
            let is_alive = match low(word) {
                FREE => break,
                DEAD => false,
                _ => byte_lock::locked_by_others(reader.0, byte..byte + 1)?.is_some(),
            };
            let information = reader.information(place, member)?;
            if reader.words(place)? == [word] {
                if low(word) == LIVE {
                    table.live.push((slot, member.generation));
                    table.waits.extend(information.iter().flat_map(|it| waits::of(member, it, layout)));
                }
                table.members.push(Member::of_others(member, is_alive, information));
                break;
            }
        }
    }
    Ok(table)
}
