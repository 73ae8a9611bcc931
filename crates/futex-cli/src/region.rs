//! Regions of `futex-ipc`: their members and objects, and the waits of the members.

use crate::about::{list, unknown};
use crate::output::printable;
use crate::proc::sleepers::Sleeper;
use crate::proc::state::State;
use crate::proc::{ObjectId, Snapshot};
use crate::scan::{self, Waiters};
use crate::show::shown_word::Word;
use futex_ipc::{Inspection, Kind, LockState, MemberId, ObjectInfo, ObjectState, Share, Tasks};
use futex_sys::{MemoryView, ProcessId};
use rustix::time::{ClockId, clock_gettime};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A region, for people and as JSON. docs/cli.md describes each field.
#[derive(Debug, Serialize)]
pub(crate) struct Region {
    max_members: u32,
    max_objects: u32,
    /// Number of objects that can't be shown, because their entries are damaged.
    damaged_entries: u32,
    pub(crate) members: Vec<Member>,
    pub(crate) objects: Vec<Object>,
    pub(crate) waits: Vec<Wait>,
    /// False if the time was up before the waiters of all words were counted.
    pub(crate) all_counted: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Member {
    slot: u32,
    generation: u32,
    label: String,
    is_alive: bool,
    /// As the member has written it, in its own pid namespace.
    pid: Option<u32>,
    /// `None` if the process is not seen.
    command: Option<String>,
    state: Option<State>,
    process_age_seconds: Option<u64>,
    waits: Vec<MemberWait>,
}

/// A wait that a member has recorded.
#[derive(Debug, Serialize)]
struct MemberWait {
    /// `None` for a word of the region itself.
    object: Option<String>,
    purpose: Option<String>,
    offset: usize,
    /// Seconds since the first record of the wait.
    seconds: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Object {
    name: String,
    #[serde(serialize_with = "kind_json")]
    kind: Option<Kind>,
    kind_number: u32,
    type_name: String,
    type_version: u32,
    value_bytes: u32,
    offset: usize,
    length_bytes: usize,
    state: Value,
    /// The state as a part of a sentence.
    #[serde(skip)]
    text: String,
}

/// A word on which somebody sleeps.
#[derive(Debug, Serialize)]
pub(crate) struct Wait {
    /// `None` for a word of the region itself.
    object: Option<String>,
    purpose: Option<String>,
    #[serde(flatten)]
    pub(crate) word: Word,
}

/// What `ls` says of a region.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    members: usize,
    dead_members: usize,
    objects: usize,
}

impl Summary {
    pub(crate) fn of(inspection: &Inspection) -> Self {
        let members = inspection.members();
        Self {
            members: members.len(),
            dead_members: members.iter().filter(|member| !member.is_alive()).count(),
            objects: inspection.objects().len(),
        }
    }

    pub(crate) fn text(&self) -> String {
        let dead = if self.dead_members > 0 { format!(" ({} dead)", self.dead_members) } else { String::new() };
        format!("region: {}{dead}, {}", count(self.members, "member"), count(self.objects, "object"))
    }

    pub(crate) fn has_dead(&self) -> bool {
        self.dead_members > 0
    }
}

impl Region {
    /// `sleepers` are the threads that are seen to sleep, by the offsets of their words. Waiters are counted for `time`.
    pub(crate) fn of(
        inspection: &Inspection,
        view: &MemoryView,
        (snapshot, id): (&Snapshot, ObjectId),
        sleepers: &BTreeMap<usize, Vec<&Sleeper>>,
        time: Duration,
    ) -> Self {
        let members = members(inspection, snapshot, id);
        let (waits, all_counted) = waits(inspection, view, sleepers, time);
        Self {
            max_members: inspection.max_members(),
            max_objects: inspection.max_objects(),
            damaged_entries: inspection.damaged_entries(),
            objects: inspection.objects().iter().map(|object| Object::of(object, &members)).collect(),
            members,
            waits,
            all_counted,
        }
    }

    /// `a region of 2 members …`
    pub(crate) fn about(&self) -> String {
        let Self { max_members, max_objects, damaged_entries, members, objects, .. } = self;
        let damaged = match damaged_entries {
            0 => String::new(),
            n => format!(", {n} damaged"),
        };
        format!(
            "A region of futex-ipc: {} of {max_members} members, {} of {max_objects} objects{damaged}\n",
            members.len(),
            objects.len()
        )
    }

    pub(crate) fn has_living(&self) -> bool {
        self.members.iter().any(|member| member.is_alive)
    }

    /// Rows of the table of members, and whether each is a warning.
    pub(crate) fn member_rows(&self) -> Vec<(Vec<String>, bool)> {
        self.members.iter().map(Member::row).collect()
    }

    /// Rows of the table of objects. `who` is the text of the waiters of a word.
    pub(crate) fn object_rows(&self, who: impl Fn(&Word) -> String) -> Vec<(Vec<String>, bool)> {
        let of_word = |wait: &&Wait| {
            let count = wait.word.waiters.map_or_else(String::new, |count| format!("{count} "));
            let purpose = wait.purpose.as_deref().map_or_else(|| format!("on {:#x}", wait.word.offset), printable);
            let who = who(&wait.word);
            let colon = if who.is_empty() { "" } else { ": " };
            (format!("{count}{purpose}{colon}{who}"), wait.word.sleepers.iter().any(|it| it.state.is_halted()))
        };
        let waiting = |name: Option<&str>| {
            let waits: Vec<_> = self.waits.iter().filter(|wait| wait.object.as_deref() == name).collect();
            let (texts, warnings): (Vec<_>, Vec<_>) = waits.iter().map(of_word).unzip();
            (texts.join("; "), warnings.contains(&true))
        };
        let row = |object: &Object| {
            let (waits, warns) = waiting(Some(&object.name));
            let kind = object.kind.map_or_else(|| format!("kind {}", object.kind_number), |kind| kind.to_string());
            let values = if object.value_bytes == 0 { unknown() } else { printable(&object.type_name) };
            (vec![printable(&object.name), kind, values, object.text.clone(), waits], warns)
        };
        let mut rows: Vec<_> = self.objects.iter().map(row).collect();
        let (waits, warns) = waiting(None);
        if !waits.is_empty() {
            rows.push((vec![unknown(), "region".to_owned(), unknown(), String::new(), waits], warns));
        }
        rows
    }
}

impl Member {
    fn row(&self) -> (Vec<String>, bool) {
        let state = match (self.is_alive, self.state) {
            (false, _) => "dead, not swept".to_owned(),
            (true, Some(state)) => state.to_string(),
            (true, None) => "alive".to_owned(),
        };
        let columns = [
            format!("{}/{}", self.slot, self.generation),
            self.pid.map_or_else(unknown, |pid| pid.to_string()),
            self.command.as_ref().map_or_else(unknown, printable),
            state,
            self.process_age_seconds.map_or_else(unknown, crate::about::age),
            if self.waits.is_empty() { unknown() } else { list(&self.waits, MemberWait::text) },
            printable(&self.label),
        ];
        (columns.to_vec(), !self.is_alive || self.state.is_some_and(State::is_halted))
    }

    /// `1234 worker`, and what is not as usual.
    fn text(&self) -> String {
        let pid = self.pid.map_or_else(|| format!("member {}/{}", self.slot, self.generation), |pid| pid.to_string());
        let name = self.command.as_ref().filter(|_| self.label.is_empty()).unwrap_or(&self.label);
        let name = if name.is_empty() { String::new() } else { format!(" {}", printable(name)) };
        let state = match self.state {
            _ if !self.is_alive => " (dead)".to_owned(),
            Some(state) if state.is_halted() => format!(" ({state})"),
            _ => String::new(),
        };
        format!("{pid}{name}{state}")
    }
}

impl MemberWait {
    /// `jobs 12s`
    fn text(&self) -> String {
        let what = match (&self.object, &self.purpose) {
            (Some(object), _) => printable(object),
            (None, Some(_)) => "the region".to_owned(),
            (None, None) => format!("{:#x}", self.offset),
        };
        format!("{what} {}", crate::about::age(self.seconds))
    }
}

fn members(inspection: &Inspection, snapshot: &Snapshot, object: ObjectId) -> Vec<Member> {
    let index = snapshot.index();
    let processes: Vec<_> =
        index.users_of(object).filter_map(|it| Some((ProcessId::from_pid(it.pid).ok()?, it))).collect();
    let now = u64::try_from(clock_gettime(ClockId::Boottime).tv_sec).unwrap_or(0);
    let words: BTreeMap<_, _> =
        inspection.sleep_words().map(|(offset, object, purpose)| (offset, (object, purpose))).collect();
    let wait = |wait: &futex_ipc::MemberWait| {
        let known = words.get(&wait.offset);
        MemberWait {
            object: known.and_then(|(object, _)| Some(object.as_ref()?.name.clone())),
            purpose: known.map(|(_, purpose)| purpose.to_string()),
            offset: wait.offset,
            seconds: now.saturating_sub(wait.since.as_secs()),
        }
    };
    let waits_of = |member: &futex_ipc::Member| {
        let id = MemberId { slot: member.slot(), generation: member.generation() };
        inspection.waits().iter().filter(|wait| wait.member == id).map(wait).collect()
    };
    let member = |member: &futex_ipc::Member| {
        let seen = processes.iter().find(|(id, _)| Some(*id) == member.process()).map(|(_, process)| process);
        let birth = member.process().filter(|_| seen.is_some()).map(|process| {
            let [_, low, high, _] = process.to_words();
            // In units of 1/100 s.
            (u64::from(high) << 32 | u64::from(low)) / 100
        });
        Member {
            slot: member.slot(),
            generation: member.generation(),
            label: member.label().to_owned(),
            is_alive: member.is_alive(),
            pid: member.process().map(ProcessId::pid),
            command: seen.map(|process| process.command.clone()),
            state: seen.map(|process| process.state),
            process_age_seconds: birth.and_then(|birth| now.checked_sub(birth)),
            waits: waits_of(member),
        }
    };
    inspection.members().iter().map(member).collect()
}

/// The words on which somebody sleeps. False if not all were counted.
fn waits(
    inspection: &Inspection,
    view: &MemoryView,
    sleepers: &BTreeMap<usize, Vec<&Sleeper>>,
    time: Duration,
) -> (Vec<Wait>, bool) {
    let start = Instant::now();
    let mut all_counted = true;
    let mut words: BTreeMap<_, _> = sleepers.keys().map(|&offset| (offset, (None, None))).collect();
    for (offset, object, purpose) in inspection.sleep_words() {
        words.insert(offset, (object.map(|object| object.name.clone()), Some(purpose.to_string())));
    }
    let mut waits = Vec::new();
    for (offset, (object, purpose)) in words {
        let waiters = if start.elapsed() < time { scan::waiters(view, offset).ok() } else { None };
        all_counted &= waiters.is_some();
        let asleep = sleepers.get(&offset).cloned().unwrap_or_default();
        let waiters = waiters.unwrap_or(Waiters::NotCounted);
        if asleep.is_empty() && matches!(waiters, Waiters::NotCounted | Waiters::Count(0)) {
            continue;
        }
        let mut value = [0; 4];
        let value = view.read(offset, &mut value).map_or(0, |_| u32::from_ne_bytes(value));
        waits.push(Wait { object, purpose, word: Word::new(offset, value, waiters, asleep) });
    }
    (waits, all_counted)
}

impl Object {
    fn of(object: &ObjectInfo, members: &[Member]) -> Self {
        Self {
            name: object.name.clone(),
            kind: object.kind,
            kind_number: object.kind_number,
            type_name: object.type_name.clone(),
            type_version: object.type_version,
            value_bytes: object.value_size,
            offset: object.offset,
            length_bytes: object.len,
            state: state_json(&object.state),
            text: state_text(&object.state, members),
        }
    }
}

fn kind_json<S: Serializer>(kind: &Option<Kind>, serializer: S) -> Result<S::Ok, S::Error> {
    let name = kind.map(|kind| match kind {
        Kind::Mutex => "mutex",
        Kind::RwLock => "rwlock",
        Kind::Semaphore => "semaphore",
        Kind::ManualEvent => "manual_event",
        Kind::AutoEvent => "auto_event",
        Kind::OnceCell => "once_cell",
        Kind::Barrier => "barrier",
        Kind::Condvar => "condvar",
    });
    name.serialize(serializer)
}

fn state_json(state: &ObjectState) -> Value {
    let id = |id: MemberId| json!({ "slot": id.slot, "generation": id.generation });
    let lock = |lock: &LockState| {
        json!({
            "holder": lock.holder.map(id),
            "may_have_waiters": lock.may_have_waiters,
            "predecessor_died": lock.predecessor_died,
            "predecessor": lock.predecessor.map(id),
        })
    };
    let shares = |shares: &[Share]| -> Value {
        let share =
            |it: &Share| json!({ "slot": it.member.slot, "generation": it.member.generation, "count": it.count });
        shares.iter().map(share).collect()
    };
    match state {
        ObjectState::Mutex(state) => lock(state),
        ObjectState::RwLock { writer, readers, .. } => json!({ "writer": lock(writer), "readers": shares(readers) }),
        ObjectState::Semaphore { capacity, available, may_have_waiters, turnstile, permits, .. } => json!({
            "capacity": capacity,
            "available": available,
            "may_have_waiters": may_have_waiters,
            "turnstile": lock(turnstile),
            "permits": shares(permits),
        }),
        ObjectState::Event { is_set, may_have_waiters, .. } => {
            json!({ "is_set": is_set, "may_have_waiters": may_have_waiters })
        }
        ObjectState::OnceCell { is_initialized, initializer, .. } => {
            json!({ "is_initialized": is_initialized, "initializer": lock(initializer) })
        }
        ObjectState::Barrier { phase, tasks, .. } => {
            let of = |it: &Tasks| {
                let Tasks { member, attached, arrived, .. } = it;
                json!({ "slot": member.slot, "generation": member.generation, "attached": attached, "arrived": arrived })
            };
            json!({ "phase": phase, "tasks": tasks.iter().map(of).collect::<Value>() })
        }
        ObjectState::Condvar { may_have_waiters, .. } => json!({ "may_have_waiters": may_have_waiters }),
        _ => Value::Null,
    }
}

fn state_text(state: &ObjectState, members: &[Member]) -> String {
    let name = |id: MemberId| {
        let member = members.iter().find(|member| (member.slot, member.generation) == (id.slot, id.generation));
        member.map_or_else(|| format!("member {}/{}, which is gone", id.slot, id.generation), Member::text)
    };
    let lock = |lock: &LockState, verb: &str| {
        let holder = lock.holder.map(|holder| format!("{verb} {}", name(holder)));
        let died = lock.predecessor_died.then(|| match lock.predecessor {
            Some(id) => format!("an owner died ({})", name(id)),
            None => "an owner died".to_owned(),
        });
        [holder, died].into_iter().flatten().collect::<Vec<_>>().join(", ")
    };
    let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
    let share = |it: &Share| format!("{} by {}", it.count, name(it.member));
    match state {
        ObjectState::Mutex(state) if state.holder.is_some() => lock(state, "held by"),
        ObjectState::Mutex(state) => or(lock(state, "").replacen("an owner", "free, an owner", 1), "free"),
        ObjectState::RwLock { writer, readers, .. } => {
            let readers = if readers.is_empty() { String::new() } else { format!("read {}", list(readers, share)) };
            let parts = [lock(writer, "writer"), readers];
            or(parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "), "free")
        }
        ObjectState::Semaphore { capacity, available, permits, .. } => {
            let held = if permits.is_empty() { String::new() } else { format!(", held {}", list(permits, share)) };
            format!("{available} of {capacity} available{held}")
        }
        ObjectState::Event { is_set, .. } => (if *is_set { "set" } else { "not set" }).to_owned(),
        ObjectState::OnceCell { is_initialized: true, .. } => "has its value".to_owned(),
        ObjectState::OnceCell { initializer, .. } => or(lock(initializer, "being initialised by"), "empty"),
        ObjectState::Barrier { phase, tasks, .. } => {
            let of = |it: &Tasks| format!("{} of {} of {}", it.arrived, it.attached, name(it.member));
            let arrived = if tasks.is_empty() { "no tasks".to_owned() } else { format!("arrived {}", list(tasks, of)) };
            format!("phase {phase}, {arrived}")
        }
        ObjectState::Condvar { .. } => unknown(),
        _ => "not known".to_owned(),
    }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
