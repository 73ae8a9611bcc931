use super::*;
use crate::directory::Kind;
use crate::format::FORMAT;
use crate::steps::Words as _;
use crate::waits::oldest::seconds_since_boot;
use crate::{AutoEvent, Barrier, Condvar, ManualEvent, Mutex, OnceCell, Region, RwLock, Semaphore};
use futex_sys::SharedMemory;
use futex_tests::{until, without_a_hang};
use proptest::prelude::*;
use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

fn join(region: &Region, label: &str) -> Region {
    Region::builder().label(label).from_fd(region.share().unwrap()).unwrap()
}

fn inspect(region: &Region) -> Inspection {
    Inspection::of(&MemoryView::from_fd(region.share().unwrap()).unwrap()).unwrap().unwrap()
}

fn id(region: &Region) -> MemberId {
    let steps::Member { slot, generation } = region.membership().me();
    MemberId { slot, generation }
}

fn state<'a>(inspection: &'a Inspection, name: &str) -> &'a ObjectState {
    &inspection.objects().iter().find(|object| object.name == name).unwrap().state
}

const FREE_LOCK: LockState =
    LockState { holder: None, may_have_waiters: false, predecessor_died: false, predecessor: None };

#[test]
fn members_and_objects_are_described_with_what_each_member_has() {
    let region = Region::builder().label("first").members(5).objects(9).anonymous().unwrap();
    drop(join(&region, "gone"));
    let other = join(&region, "second");
    let (me, them) = (id(&region), id(&other));

    let _mutex = Mutex::create(&region, "mutex", 7_u64).unwrap();
    let lock = RwLock::create(&region, "rwlock", 7_u32).unwrap();
    let semaphore = Semaphore::create(&region, "semaphore", 7).unwrap();
    let manual = ManualEvent::create(&region, "manual").unwrap();
    let _auto = AutoEvent::create(&region, "auto").unwrap();
    let cell = OnceCell::<u64>::create(&region, "cell").unwrap();
    let barrier = Barrier::create(&region, "barrier").unwrap();
    let _condvar = Condvar::create(&region, "condvar").unwrap();

    let theirs = Mutex::<u64>::open(&other, "mutex").unwrap();
    let _guard = theirs.try_lock().unwrap().unwrap();
    let _readers = [lock.try_read().unwrap().unwrap(), lock.try_read().unwrap().unwrap()];
    let theirs = RwLock::<u32>::open(&other, "rwlock").unwrap();
    let _reader = theirs.try_read().unwrap().unwrap();
    let theirs = Semaphore::open(&other, "semaphore").unwrap();
    let _permits = (semaphore.try_acquire_many(3).unwrap().unwrap(), theirs.try_acquire().unwrap().unwrap());
    manual.set().unwrap();
    cell.set(3).unwrap();
    let mut alone = barrier.attach().unwrap();
    alone.blocking_arrive_and_wait().unwrap();
    let _attached = barrier.attach().unwrap();

    let inspection = inspect(&region);
    let members = inspection.members();
    let seen: Vec<_> = members.iter().map(|it| (it.slot(), it.generation(), it.label(), it.is_alive())).collect();
    assert_eq!(seen, [(0, 1, "first", true), (2, 1, "second", true)]);
    assert!(members.iter().all(|member| member.process().unwrap().pid() == std::process::id() && !member.is_me()));
    assert_eq!(inspection.member(them), Some(&members[1]));
    assert_eq!(inspection.member(MemberId { slot: 1, generation: 1 }), None, "it has left");
    assert_eq!((inspection.max_members(), inspection.max_objects(), inspection.damaged_entries()), (5, 9, 0));

    let object = &inspection.objects()[0];
    assert_eq!((&*object.name, object.kind, object.kind_number), ("mutex", Some(Kind::Mutex), 1));
    assert_eq!((&*object.type_name, object.type_version, object.value_size, object.len), ("u64", 1, 8, 40));
    let share = |member, count| Share { member, count };
    assert_eq!(*state(&inspection, "mutex"), ObjectState::Mutex(LockState { holder: Some(them), ..FREE_LOCK }));
    let readers = vec![share(me, 2), share(them, 1)];
    assert_eq!(*state(&inspection, "rwlock"), ObjectState::RwLock { writer: FREE_LOCK, readers });
    let permits = vec![share(me, 3), share(them, 1)];
    assert_eq!(
        *state(&inspection, "semaphore"),
        ObjectState::Semaphore { capacity: 7, available: 3, may_have_waiters: false, turnstile: FREE_LOCK, permits }
    );
    assert_eq!(*state(&inspection, "manual"), ObjectState::Event { is_set: true, may_have_waiters: false });
    assert_eq!(*state(&inspection, "auto"), ObjectState::Event { is_set: false, may_have_waiters: false });
    assert_eq!(*state(&inspection, "cell"), ObjectState::OnceCell { is_initialized: true, initializer: FREE_LOCK });
    // The arrival was in the phase that is over.
    let tasks = vec![Tasks { member: me, attached: 2, arrived: 0 }];
    assert_eq!(*state(&inspection, "barrier"), ObjectState::Barrier { phase: 1, tasks });
    assert_eq!(*state(&inspection, "condvar"), ObjectState::Condvar { may_have_waiters: false });
}

#[test]
fn each_word_on_which_a_step_sleeps_has_its_purpose() {
    let region = Region::builder().anonymous().unwrap();
    let _mutex = Mutex::create(&region, "mutex", ()).unwrap();
    let _lock = RwLock::create(&region, "rwlock", ()).unwrap();
    let _semaphore = Semaphore::create(&region, "semaphore", 7).unwrap();
    let inspection = inspect(&region);
    let words: Vec<_> = inspection
        .sleep_words()
        .map(|(offset, object, purpose)| {
            let base = object.map_or(0, |object| object.offset);
            // Of the word, and not of its low half.
            (object.map_or("", |object| &*object.name), (offset - base) / 8 * 8, purpose)
        })
        .collect();
    let expected = [
        ("", 256, SleepPurpose::Directory),
        ("", 512, SleepPurpose::Members),
        ("mutex", 0, SleepPurpose::Lock),
        ("rwlock", 0, SleepPurpose::ReadOrWrite),
        ("rwlock", 16, SleepPurpose::Readers),
        ("semaphore", 128, SleepPurpose::Permits),
        ("semaphore", 144, SleepPurpose::Turn),
    ];
    assert_eq!(words, expected);
}

#[test]
fn a_member_that_died_is_dead_as_soon_as_its_lock_is_gone() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let other = join(&region, "other");
        let _busy = region.presence().keep_watcher_busy();
        let dead = id(&other);
        other.die();
        let inspection = inspect(&region);
        let alive: Vec<_> = inspection.members().iter().map(Member::is_alive).collect();
        assert_eq!(alive, [true, false]);
        assert_eq!(inspection.member(dead).unwrap().label(), "other");
    });
}

#[test]
fn a_wait_is_listed_with_its_member_and_its_time_until_it_is_over() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let other = join(&region, "other");
        let mutex = Mutex::create(&region, "mutex", ()).unwrap();
        let theirs = Mutex::<()>::open(&other, "mutex").unwrap();
        let guard = mutex.blocking_lock().unwrap();
        assert_eq!(inspect(&region).waits(), []);
        let before = Duration::from_secs(seconds_since_boot().into());
        std::thread::scope(|scope| {
            scope.spawn(|| theirs.blocking_lock().map(drop).unwrap());
            until(|| !inspect(&region).waits().is_empty());
            let inspection = inspect(&region);
            let [wait] = inspection.waits() else { panic!("{:?}", inspection.waits()) };
            assert_eq!((wait.member, wait.offset), (id(&other), offset_of_low_half(mutex.word())));
            assert!(wait.since >= before && wait.since <= Duration::from_secs(seconds_since_boot().into()));
            let (_, object, purpose) = inspection.sleep_words().find(|(offset, ..)| *offset == wait.offset).unwrap();
            assert_eq!((&*object.unwrap().name, purpose), ("mutex", SleepPurpose::Lock));
            drop(guard);
        });
        until(|| inspect(&region).waits().is_empty());
    });
}

#[test]
fn the_waits_of_a_member_end_with_it_and_those_outside_of_the_region_are_left_out() {
    let region = Region::builder().members(2).anonymous().unwrap();
    let other = join(&region, "other");
    let membership = other.membership();
    let len = membership.layout().len;
    membership.store_waits([steps::halves(70, len), steps::halves(60, 700), steps::halves(50, len - 1)]);
    let found: Vec<_> = inspect(&region).waits().iter().map(|wait| (wait.member, wait.since.as_secs())).collect();
    assert_eq!(found, [(id(&other), 50), (id(&other), 60)]);
    drop(other);
    assert_eq!(inspect(&region).waits(), []);
    let _next = join(&region, "next");
    assert_eq!(inspect(&region).waits(), []);
}

#[test]
fn other_memory_is_not_a_region_and_other_formats_are_refused_with_both_numbers() {
    let memory = SharedMemory::anonymous(8192).unwrap();
    let view = MemoryView::from_fd(memory.as_fd().try_clone_to_owned().unwrap()).unwrap();
    assert!(Inspection::of(&view).unwrap().is_none());
    let words = futex_sys::__private::words64(&memory);
    words[0].store(u64::from_ne_bytes(*b"futexipc"), Relaxed);
    words[1].store(512 << 32 | 77, Relaxed);
    let error = Inspection::of(&view).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(
        error.to_string().contains("format 77") && error.to_string().contains(&format!("format {FORMAT}:")),
        "{error}"
    );
    words[1].store(512 << 32 | u64::from(FORMAT), Relaxed);
    let error = Inspection::of(&view).unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
    words[0].store(u64::from_be_bytes(*b"futexipc").to_be().swap_bytes(), Relaxed);
    assert!(Inspection::of(&view).is_err() || cfg!(target_endian = "big"));

    let small = SharedMemory::anonymous(4).unwrap();
    let view = MemoryView::from_fd(small.as_fd().try_clone_to_owned().unwrap()).unwrap();
    assert!(Inspection::of(&view).unwrap().is_none());
}

#[test]
fn a_region_that_was_shortened_is_an_error() {
    let file = tempfile::tempfile().unwrap();
    let layout = Layout::new(4, 4, 4096, 4096).unwrap();
    file.set_len(layout.bytes() as u64).unwrap();
    let memory = SharedMemory::from_fd(file.try_clone().unwrap().into()).unwrap();
    layout.write(futex_sys::__private::words64(&memory));
    let view = MemoryView::from_fd(file.try_clone().unwrap().into()).unwrap();
    assert!(Inspection::of(&view).unwrap().is_some());
    file.set_len(4096).unwrap();
    assert_eq!(Inspection::of(&view).unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn a_look_allocates_no_page_and_changes_no_word() {
    use rustix::fs::{FallocateFlags, fallocate, fstat};
    let memory = SharedMemory::anonymous(Layout::new(64, 64, 4096, 4096).unwrap().bytes()).unwrap();
    let layout = Layout::new(64, 64, 4096, 4096).unwrap();
    let words = futex_sys::__private::words64(&memory);
    layout.write(words);
    words[Header::USED.0 as usize].store(64, Relaxed);
    let rest = 4096..layout.bytes() as u64;
    fallocate(&memory, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, rest.start, rest.end - rest.start)
        .unwrap();
    let before = (fstat(&memory).unwrap().st_blocks, words[..512].iter().map(|word| word.load(Relaxed)).sum::<u64>());
    let view = MemoryView::from_fd(memory.as_fd().try_clone_to_owned().unwrap()).unwrap();
    let inspection = Inspection::of(&view).unwrap().unwrap();
    assert_eq!((inspection.objects().len(), inspection.damaged_entries()), (0, 64));
    let after = (fstat(&memory).unwrap().st_blocks, words[..512].iter().map(|word| word.load(Relaxed)).sum::<u64>());
    assert_eq!(before, after);
}

/// Words that are often near what a region has.
fn word() -> impl Strategy<Value = u64> {
    let half = || prop_oneof![3 => 0_u32..9, 3 => (0_u32..9).prop_map(|n| 512 + n * 16), 1 => any::<u32>()];
    prop_oneof![6 => (half(), half()).prop_map(|(low, high)| steps::halves(high, low)), 1 => any::<u64>()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_words_behind_a_good_header_are_described_somehow(words in prop::collection::vec(word(), 512)) {
        let layout = Layout::new(3, 8, 4096, 4096).unwrap();
        let memory = SharedMemory::anonymous(layout.bytes()).unwrap();
        let region = futex_sys::__private::words64(&memory);
        for (word, value) in region[HEADER_END..].iter().zip(words.iter().cycle()) {
            word.store(*value, Relaxed);
        }
        // So that some entries are those of objects.
        for index in 0..layout.entries {
            let entry = layout.entry(index).0 as usize;
            region[entry].store(u64::from(index + 1), Relaxed);
            region[entry + 1].store(steps::halves(80, layout.objects().next_multiple_of(16)), Relaxed);
            region[entry + 4..entry + 8].iter().for_each(|word| word.store(0, Relaxed));
            region[entry + 7].store(steps::halves(index, 4), Relaxed);
        }
        region[Header::USED.0 as usize].store(words[0], Relaxed);
        layout.write(region);
        let view = MemoryView::from_fd(memory.as_fd().try_clone_to_owned().unwrap()).unwrap();
        let inspection = Inspection::of(&view).unwrap().unwrap();
        prop_assert!(inspection.members().len() <= 3);
        let all = inspection.objects().len() as u64 + u64::from(inspection.damaged_entries());
        prop_assert_eq!(all, words[0].min(8));
    }

    #[test]
    fn random_bytes_are_refused_or_described(words in prop::collection::vec(word(), 0..2048), magic in any::<bool>()) {
        let memory = SharedMemory::anonymous(16384).unwrap();
        let region = futex_sys::__private::words64(&memory);
        region.iter().zip(&words).for_each(|(word, value)| word.store(*value, Relaxed));
        if magic {
            let header = [u64::from_ne_bytes(*b"futexipc"), steps::halves(512, FORMAT), 2048];
            region.iter().zip(header).for_each(|(word, value)| word.store(value, Relaxed));
        }
        let view = MemoryView::from_fd(memory.as_fd().try_clone_to_owned().unwrap()).unwrap();
        if let Ok(Some(inspection)) = Inspection::of(&view) {
            prop_assert!(inspection.sleep_words().all(|(offset, _, _)| offset + 4 <= view.len()));
            prop_assert!(inspection.waits().iter().all(|wait| wait.offset + 4 <= view.len()));
        }
    }
}

/// Number of words of the header.
const HEADER_END: usize = 512;
