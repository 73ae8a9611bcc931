//! `docs/ipc-format.md` is true: in a region of this crate, each value has the place that the tables of the document give.

mod objects;
mod table;

use self::table::{Field, fields, number, table};
use crate::Region;
use crate::directory::{Kind, MAX_NAME, Spec};
use crate::format::{ENTRY, FIRST_SLOT_BYTE, FORMAT, Header, LINE, MAX_MEMBERS, MAX_OBJECTS, SLOT, SWEEP_BYTE};
use crate::information::Information;
use crate::steps::barrier::MAX_TASKS;
use crate::steps::member::{DEAD, FREE, LIVE, slot_word};
use crate::steps::mutex::{C, INC};
use crate::steps::semaphore::MAX_PERMITS;
use crate::steps::{Place, Role, Words, high, low};
use futex_sys::ProcessId;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;

/// What a field must have.
enum Value<'a> {
    Number(u64),
    Text(&'a str),
    Bytes(&'a [u8]),
}
use Value::{Bytes, Number, Text};

/// The bytes of a region, in the order of a little-endian processor.
struct Image(Vec<u8>);

impl Image {
    fn of(region: &Region) -> Self {
        Self(region.membership().words().iter().flat_map(|word| word.load(Relaxed).to_le_bytes()).collect())
    }

    /// Checks that the fields of a structure are those that the document lists, and have these values.
    #[track_caller]
    fn check(&self, begin: usize, listed: &[Field], values: &[(&str, Value<'_>)]) {
        let names = |all: &mut dyn Iterator<Item = &str>| all.map(str::to_owned).collect::<Vec<_>>();
        let (ours, theirs) =
            (names(&mut values.iter().map(|(name, _)| *name)), names(&mut listed.iter().map(|field| &*field.name)));
        assert_eq!(ours, theirs, "the fields of the document are not those of the code");
        for (Field { name, offset, bytes }, (_, value)) in listed.iter().zip(values) {
            let there = &self.0[begin + offset..][..*bytes];
            match value {
                Number(expected) => {
                    assert!(*expected > 0, "a zero proves nothing: {name}");
                    let mut eight = [0; 8];
                    eight[..*bytes].copy_from_slice(there);
                    assert_eq!(u64::from_le_bytes(eight), *expected, "{name}");
                }
                // Text is an array of bytes, which the words of another byte order would show in another order here.
                Text(expected) if cfg!(target_endian = "little") => {
                    let mut padded = expected.as_bytes().to_vec();
                    padded.resize(*bytes, 0);
                    assert_eq!(there, padded, "{name}");
                }
                Bytes(expected) if cfg!(target_endian = "little") => assert_eq!(there, *expected, "{name}"),
                _ => {}
            }
        }
    }
}

/// Two members of one region. The second one has slot 1, for the second time.
fn region() -> [Region; 2] {
    let region = Region::builder().members(5).objects(7).bytes(4000).anonymous().unwrap();
    let join = || Region::builder().label("a label of ünïcode").from_fd(region.membership().as_fd()).unwrap();
    (1..5).for_each(|_| drop(join()));
    let other = join();
    [region, other]
}

fn place_of(region: &Region, name: &str) -> u32 {
    let entries = region.membership().entries();
    entries.into_iter().flatten().find(|entry| entry.name == name).unwrap().base.0
}

/// The roles of an object, as its entry has them: their numbers, and the indices of the words.
fn roles_of(region: &Region, name: &str) -> Vec<(u32, u32)> {
    let membership = region.membership();
    let entries = membership.entries();
    let index = entries.iter().flatten().position(|entry| entry.name == name).unwrap();
    let entry = membership.slice(membership.layout().entry(index as u32), ENTRY);
    let roles = entry[4..8].iter().map(|word| word.load(Relaxed));
    roles.filter(|role| *role != 0).map(|role| (low(role), high(role))).collect()
}

#[test]
fn the_constants_are_those_of_the_code() {
    let ours: [(&str, u64); 18] = [
        ("FORMAT", FORMAT.into()),
        ("HEADER_WORDS", 512),
        ("SLOT_WORDS", SLOT.into()),
        ("ENTRY_WORDS", ENTRY.into()),
        ("LINE", LINE.into()),
        ("MAX_MEMBERS", MAX_MEMBERS.into()),
        ("MAX_OBJECTS", MAX_OBJECTS.into()),
        ("MAX_NAME", MAX_NAME as u64),
        ("MAX_LABEL", Information::MAX_LABEL as u64),
        ("SWEEP_BYTE", SWEEP_BYTE.into()),
        ("FIRST_SLOT_BYTE", FIRST_SLOT_BYTE.into()),
        ("FREE", FREE.into()),
        ("LIVE", LIVE.into()),
        ("DEAD", DEAD.into()),
        ("INC", INC),
        ("C", C),
        ("MAX_PERMITS", MAX_PERMITS.into()),
        ("MAX_TASKS", MAX_TASKS.into()),
    ];
    let listed: Vec<_> =
        table("**Constants**").into_iter().map(|row| (row[0].trim_matches('`').to_owned(), number(&row[1]))).collect();
    // The unit tests of the steps have another distance of records. The integration tests check the real one.
    let listed: Vec<_> =
        listed.iter().map(|(name, value)| (&**name, *value)).filter(|(name, _)| *name != "STRIDE").collect();
    assert_eq!(listed, ours);
}

#[test]
fn the_kinds_are_those_of_the_code() {
    for row in table("| kind | object |") {
        let kind = Kind::from_number(number(&row[0]).try_into().unwrap()).unwrap();
        assert!(row[1].contains(&format!("[`{kind:?}`]")), "{row:?} is {kind:?}");
    }
    let count = table("| kind | object |").len();
    assert!(Kind::from_number(count as u32).is_some() && Kind::from_number(count as u32 + 1).is_none());
}

#[test]
fn the_header_is_as_described() {
    let [region, other] = region();
    let membership = region.membership();
    let layout = membership.layout();
    // A scan counts in the header.
    let busy = [&region, &other].map(|member| member.presence().keep_watcher_busy());
    membership.store(Header::LOCK, 11 << 32 | 12, Relaxed);
    membership.store(Place(Header::LOCK.0 + 1), 13 << 32 | 14, Relaxed);
    membership.store(Header::CHANGES, 15 << 32 | 16, Relaxed);
    membership.store(Header::USED, 17 << 32 | 18, Relaxed);
    membership.store(Header::SCANS, 19 << 32 | 20, Relaxed);
    membership.store(Header::NEXT, 21, Relaxed);
    let values = [
        ("magic", Text("futexipc")),
        ("format", Number(FORMAT.into())),
        ("header_words", Number(512)),
        ("words", Number(layout.len.into())),
        ("slots", Number(5)),
        ("entries", Number(7)),
        ("directory_lock", Number(11 << 32 | 12)),
        ("directory_predecessor", Number(13 << 32 | 14)),
        ("used", Number(17 << 32 | 18)),
        ("changes", Number(15 << 32 | 16)),
        ("scans", Number(19 << 32 | 20)),
        ("next_slot", Number(21)),
    ];
    let image = Image::of(&region);
    drop(busy);
    // So that the region can be left.
    membership.store(Header::LOCK, 0, Relaxed);
    membership.store(Header::USED, 0, Relaxed);
    image.check(0, &fields("### Header"), &values);
}

#[test]
fn a_slot_is_as_described() {
    let [region, other] = region();
    let me = other.membership().me();
    assert_eq!((me.slot, me.generation), (1, 2));
    // As if another member had recorded the death of an earlier member.
    assert!(region.membership().replace_slot(1, slot_word(9, DEAD), slot_word(9, FREE)).is_err());
    other.membership().store_waits([2, 3, 4].map(|n| n << 32 | (n + 5)));
    let waits: Vec<u8> = [2 << 32 | 7, 3 << 32 | 8, 4_u64 << 32 | 9].into_iter().flat_map(u64::to_le_bytes).collect();
    let [pid, low, high, namespace] = ProcessId::current().unwrap().to_words();
    let values = [
        ("state", Number(LIVE.into())),
        ("generation", Number(2)),
        ("died", Number(1 << 9)),
        ("described", Number(2)),
        ("pid", Number(pid.into())),
        ("start_low", Number(low.into())),
        ("start_high", Bytes(&high.to_le_bytes())),
        ("pid_namespace", Number(namespace.into())),
        ("label", Text("a label of ünïcode")),
        ("waits", Bytes(&waits)),
    ];
    Image::of(&region).check(4096 + 128, &fields("### Slot"), &values);
}

#[test]
fn an_entry_is_as_described() {
    let [region, _other] = region();
    let membership = region.membership();
    let spec = Spec {
        kind: Kind::Condvar,
        name: "the name",
        type_name: "example.com/type",
        type_version: 21,
        size: 22,
        align: 23,
        parameter: 24 << 32 | 25,
        len: 64,
        roles: &[(Role::Lock, 31), (Role::Counter, 32), (Role::Flag, 33)],
        records: Some(34),
    };
    for name in ["first", "the name"] {
        let spec = Spec { name, ..spec.clone() };
        membership.directory().open_or_create(membership, &spec, |_| {}).unwrap();
    }
    let role = |name: &str| -> u64 {
        let row = table("| role | name |").into_iter().find(|row| row[1] == format!("`{name}`")).unwrap();
        number(&row[0])
    };
    let roles = [31 << 32 | role("Lock"), 32 << 32 | role("Counter"), 33 << 32 | role("Flag")];
    let roles: Vec<u8> = roles.into_iter().flat_map(u64::to_le_bytes).collect();
    let values = [
        ("kind", Number(8)),
        ("type_version", Number(21)),
        ("base", Number(place_of(&region, "the name").into())),
        ("length", Number(64)),
        ("size", Number(22)),
        ("align", Number(23)),
        ("parameter", Number(24 << 32 | 25)),
        ("roles", Bytes(&roles)),
        ("records", Number(34 << 32 | 4)),
        ("name", Text("the name")),
        ("type_name", Text("example.com/type")),
    ];
    let image = Image::of(&region);
    image.check(4096 + 128 * 5 + 256, &fields("### Entry of the directory"), &values);
    // The objects begin behind the directory, each at a multiple of LINE words.
    assert_eq!(place_of(&region, "first"), (4096 + 128 * 5 + 256 * 7) / 8);
    assert_eq!(place_of(&region, "the name"), place_of(&region, "first") + 64);
}

#[test]
fn the_variants_that_are_wrong_are_mutants() {
    let table_of_mutants = concat!(env!("CARGO_MANIFEST_DIR"), "/../../xtask/src/mutants/table.rs");
    let mutants = std::fs::read_to_string(table_of_mutants).unwrap();
    let rows = table("| mutant |");
    assert!(rows.len() > 40, "too few rows were found");
    for row in rows {
        let name = row[0].trim_matches('`');
        assert!(mutants.contains(&format!("name: \"{name}\"")), "there is no mutant {name}");
    }
}
