//! Many processes and threads that make, replace and remove one name at the same time. Some of them are killed meanwhile.

use crate::support::child::Process;
use crate::support::name::Name;
use crate::support::until;
use futex_sys::{NamedMemory, SharedMemory, Word};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use std::io::ErrorKind::{AlreadyExists, InvalidInput, NotFound};
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

/// Pseudo-random numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Spins until two threads have reached this turn, so that both continue at the same moment.
fn spin_together(arrived: &AtomicU32, turn: u32) {
    arrived.fetch_add(1, Ordering::AcqRel);
    let mut spins = 0_u32;
    while arrived.load(Ordering::Acquire) < 2 * turn {
        spins += 1;
        if spins % 1_000 == 0 {
            thread::yield_now(); // the other thread may need this processor
        }
        std::hint::spin_loop();
    }
}

#[test]
fn an_owner_that_is_dropped_during_its_replacement_never_removes_its_successors_name() {
    // Two mistakes make an owner remove its successor's name: no lock, so that the name changes between the check and the
    // removal; or a lock without a check after it, so that the name has changed before the lock.
    const ROUNDS: u32 = 4_000;

    let name = Name::new("successors");
    let (turn, old, mut lost) = (AtomicU32::new(0), Mutex::new(None), 0);
    let mut owner = Some(NamedMemory::replace(&name.0, 64).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(3);
            for round in 0..ROUNDS {
                spin_together(&turn, 3 * round + 1);
                let old: Option<NamedMemory> = old.lock().unwrap().take();
                spin_together(&turn, 3 * round + 2);
                // A random delay, so that the drop meets every step of the replacement.
                for _ in 0..random.below(4_000) {
                    std::hint::spin_loop();
                }
                drop(old);
                spin_together(&turn, 3 * round + 3);
            }
        });
        for round in 0..ROUNDS {
            *old.lock().unwrap() = owner.take();
            spin_together(&turn, 3 * round + 1);
            spin_together(&turn, 3 * round + 2);
            let new = NamedMemory::replace(&name.0, 64).unwrap();
            spin_together(&turn, 3 * round + 3);
            lost += u32::from(!new.is_current());
            owner = Some(new);
        }
    });
    assert_eq!(lost, 0, "number of owners that removed their successors' objects");
    assert_eq!(name.files().len(), 1);
    drop(owner);
    assert_eq!(name.files(), [""; 0]);
}

// Offsets of the control words in the memory that all processes share.
const TURN: usize = 0;
const CHANGES: usize = 4;
const STOP: usize = 8;

const TURNS: u32 = 500;

/// Waits until both processes have reached this turn.
fn meet(word: &Word, turn: u32) {
    word.fetch_add(1, Ordering::AcqRel);
    // Polls instead of sleeping on the word: a peer whose check has failed would never wake it.
    until("the other process has reached this turn", || word.load(Ordering::Acquire) >= 2 * turn);
}

/// Owns the name alternately with another process: one process replaces the name while the owner until now removes it.
fn own_in_turns(control: &SharedMemory, name: &str, mut is_mine: bool) {
    let turn = control.word(TURN).expect("a word");
    let mut owner = is_mine.then(|| NamedMemory::replace(name, 64).expect("replace"));
    for now in 0..TURNS {
        meet(&turn, 2 * now + 1);
        if is_mine {
            drop(owner.take());
        } else {
            owner = Some(NamedMemory::replace(name, 64).expect("replace"));
        }
        meet(&turn, 2 * now + 2);
        is_mine = !is_mine;
        assert!(owner.as_ref().is_none_or(NamedMemory::is_current), "turn {now}");
    }
}

pub(crate) fn take_turns(control: &SharedMemory, name: &str) {
    own_in_turns(control, name, false);
}

#[test]
fn processes_that_own_a_name_in_turns_never_remove_each_others_object() {
    let name = Name::new("turns");
    let control = SharedMemory::anonymous(4096).unwrap();
    let peer = Process::start(&format!("take-turns {}", name.0), &control);
    own_in_turns(&control, &name.0, true);
    let status = peer.end();
    assert!(status.success(), "{status}");
    assert_eq!(name.files(), [""; 0]);
}

const LEN: usize = 2 * 4096;

/// Replaces the name until this process is killed or the test ends. Never removes the name.
pub(crate) fn replace_on_and_on(control: &SharedMemory, name: &str) {
    let (changes, stop) = (control.word(CHANGES).expect("a word"), control.word(STOP).expect("a word"));
    while stop.load(Ordering::Relaxed) == 0 {
        let memory = NamedMemory::replace(name, LEN).expect("replace").keep();
        assert_eq!(memory.len(), LEN);
        changes.fetch_add(1, Ordering::Relaxed);
    }
}

/// Kills `children` one by one while they work, and starts new ones in their places.
fn kill_and_start(control: &SharedMemory, role: &str, children: &mut [Process], kills: usize, random: &mut Random) {
    let changes = control.word(CHANGES).expect("a word");
    for kill in 0..kills {
        let enough = changes.load(Ordering::Relaxed) + 20 + u32::try_from(random.below(50)).expect("a small number");
        until("the processes have progressed", || changes.load(Ordering::Relaxed) >= enough);
        let index = kill % children.len();
        let child = &mut children[index];
        let status = child.kill_running();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "a process has failed before it was killed: {status}");
        *child = Process::start(role, control);
    }
}

fn stop(control: &SharedMemory, children: Vec<Process>) {
    control.word(STOP).expect("a word").store(1, Ordering::Relaxed);
    for child in children {
        let status = child.end();
        assert!(status.success(), "{status}");
    }
}

/// Checks that only hidden files of killed processes are left, and that the name can be taken.
fn assert_clean(name: &Name, kills: usize) {
    let memory = NamedMemory::replace(&name.0, 64).expect("replace");
    assert!(memory.is_current());
    drop(memory);
    let files = name.files();
    assert!(files.iter().all(|file| file.starts_with('.') && file.ends_with(".tmp")), "{files:?}");
    assert!(files.len() <= kills, "{kills} kills, and {files:?}");
}

#[test]
fn a_name_that_is_replaced_repeatedly_is_never_missing_and_never_half_made() {
    const KILLS: usize = 20;

    let name = Name::new("replacers");
    let control = SharedMemory::anonymous(4096).unwrap();
    let _first = NamedMemory::replace(&name.0, LEN).unwrap();
    let role = format!("replace-on-and-on {}", name.0);
    let mut children: Vec<_> = (0..3).map(|_| Process::start(&role, &control)).collect();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let observer = scope.spawn(|| {
            let mut checks = 0;
            while !is_over.load(Ordering::Relaxed) {
                let memory = SharedMemory::open(&name.0).expect("the name always has an object");
                let stat = rustix::fs::fstat(&memory).expect("fstat");
                assert_eq!((memory.len(), stat.st_blocks * 512, stat.st_mode & 0o777), (LEN, stat.st_size, 0o600));
                assert!(memory.as_words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
                checks += 1;
            }
            checks
        });
        kill_and_start(&control, &role, &mut children, KILLS, &mut Random(1));
        is_over.store(true, Ordering::Relaxed);
        assert!(observer.join().expect("the observer") > 0);
    });
    stop(&control, children);
    assert_clean(&name, KILLS);
}

/// Makes, replaces, opens and removes the name until this process is killed or the test ends.
pub(crate) fn change_on_and_on(control: &SharedMemory, name: &str) {
    let (changes, stop) = (control.word(CHANGES).expect("a word"), control.word(STOP).expect("a word"));
    let mut random = Random(std::process::id().into());
    let mut owned = Vec::new();
    while stop.load(Ordering::Relaxed) == 0 {
        let result = match random.below(8) {
            0 | 1 => NamedMemory::create(name, LEN).map(|memory| owned.push(memory)),
            2 => NamedMemory::replace(name, LEN).map(|memory| owned.push(memory)),
            3 => NamedMemory::replace(name, LEN).map(drop),
            4 => SharedMemory::open_or_create(name, LEN).map(|memory| assert_eq!(memory.len(), LEN)),
            5 => SharedMemory::open(name).map(|memory| assert_eq!(memory.len(), LEN)),
            6 => SharedMemory::unlink(name),
            _ => owned.pop().map_or(Ok(()), NamedMemory::unlink),
        };
        match result {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), AlreadyExists | NotFound) => {}
            Err(error) => panic!("{error}"),
        }
        if owned.len() > 5 {
            drop(owned.remove(0));
        }
        changes.fetch_add(1, Ordering::Relaxed);
    }
}

/// An observer of the kernel's events (inotify) for one name in `/dev/shm`.
struct Observer {
    watch: rustix::fd::OwnedFd,
    entry: String,
    /// True if the name exists. `None` if that is unknown, because events were lost.
    is_there: Option<bool>,
    replaced: u32,
    removed: u32,
}

impl Observer {
    /// Observes a name that does not exist yet.
    fn new(name: &Name) -> Self {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).expect("inotify");
        inotify::add_watch(&watch, "/dev/shm", WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE)
            .expect("inotify");
        Self { watch, entry: name.0[1..].to_owned(), is_there: Some(false), replaced: 0, removed: 0 }
    }

    /// Processes all available events.
    fn observe(&mut self) {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 64 << 10];
        let mut reader = inotify::Reader::new(&self.watch, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(rustix::io::Errno::WOULDBLOCK) => return,
                Err(errno) => panic!("inotify: {errno}"),
            };
            let events = event.events();
            if events.contains(ReadFlags::QUEUE_OVERFLOW) {
                self.is_there = None;
            }
            if event.file_name().is_none_or(|name| name.to_bytes() != self.entry.as_bytes()) {
                continue;
            }
            if events.contains(ReadFlags::CREATE) {
                assert_ne!(self.is_there, Some(true), "the name was created while it existed");
                self.is_there = Some(true);
            } else if events.contains(ReadFlags::MOVED_TO) {
                // A replacement locks the object that has the name, so the name can't be removed before it is replaced.
                assert_ne!(self.is_there, Some(false), "the replaced object had lost its name");
                self.is_there = Some(true);
                self.replaced += 1;
            } else {
                assert_ne!(self.is_there, Some(false), "the name was removed twice");
                self.is_there = Some(false);
                self.removed += 1;
            }
        }
    }
}

#[test]
fn a_name_that_many_processes_change_has_one_object_at_a_time_and_leaves_nothing_behind() {
    const KILLS: usize = 20;

    let name = Name::new("changers");
    let control = SharedMemory::anonymous(4096).unwrap();
    let mut observer = Observer::new(&name);
    let role = format!("change-on-and-on {}", name.0);
    let mut children: Vec<_> = (0..3).map(|_| Process::start(&role, &control)).collect();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let observer = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                observer.observe();
                thread::yield_now();
            }
            observer
        });
        kill_and_start(&control, &role, &mut children, KILLS, &mut Random(2));
        stop(&control, children);
        is_over.store(true, Ordering::Relaxed);
        let mut observer = observer.join().expect("the observer");
        observer.observe();
        assert!(observer.replaced > 0 && observer.removed > 0, "{} {}", observer.replaced, observer.removed);
        if let Some(is_there) = observer.is_there {
            let opened = SharedMemory::open(&name.0).map_err(|error| error.kind());
            assert_eq!(opened.map(|memory| memory.len()), if is_there { Ok(LEN) } else { Err(NotFound) });
        }
    });
    assert_clean(&name, KILLS);
}

#[test]
fn threads_that_make_and_remove_one_name_own_it_one_after_the_other() {
    // A name that its owner makes and removes works like a lock: two owners at once would be two objects under one name.
    const ROUNDS: usize = 300;

    let name = Name::new("one-owner");
    let owners = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let memory = loop {
                        match NamedMemory::create(&name.0, 64) {
                            Ok(memory) => break memory,
                            Err(error) if error.kind() == AlreadyExists => thread::yield_now(),
                            Err(error) => panic!("{error}"),
                        }
                    };
                    assert_eq!(owners.fetch_add(1, Ordering::AcqRel), 0, "two owners");
                    assert!(memory.is_current());
                    assert_eq!(SharedMemory::open_or_create(&name.0, 8).unwrap_err().kind(), InvalidInput);
                    owners.fetch_sub(1, Ordering::AcqRel);
                    memory.unlink().expect("only the owner removes the name");
                }
            });
        }
    });
    assert_eq!(name.files(), [""; 0]);
}
