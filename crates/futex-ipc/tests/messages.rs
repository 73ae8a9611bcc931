//! What the messages of errors say. A message names the object, says what went wrong, and says what to do.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use futex_ipc::{AutoEvent, Barrier, Condvar, ManualEvent, Mutex, OnceCell, Region, RwLock, Semaphore};
use futex_tests::in_its_own_process;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};
use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// A name of a region that no other test has.
fn new_name(test: &str) -> String {
    format!("futex-ipc-messages-{test}-{}", std::process::id())
}

#[track_caller]
fn says<T>(result: io::Result<T>, kind: io::ErrorKind, sentence: &str) {
    let error = result.err().unwrap();
    assert_eq!((error.kind(), &*error.to_string()), (kind, sentence));
}

/// The story: "the mutex in the anonymous region was not there before the deadline" read as if there were no mutex, and did not say
/// which one.
#[test]
fn a_deadline_that_has_passed_names_the_object_and_what_shows_the_cause() {
    let name = new_name("late");
    let region = Region::builder().open_or_create(&name).unwrap();
    let late = |result: io::Result<()>, missed: &str, shows: &str| {
        let missed = missed.replace("HERE", &format!("in the region {name:?}"));
        let sentence = format!("{missed} before the deadline: `futex show {name}` shows {shows}");
        says(result, io::ErrorKind::TimedOut, &sentence);
    };

    let mutex = Mutex::create(&region, "m", ()).unwrap();
    let guard = mutex.blocking_lock().unwrap();
    late(
        mutex.blocking_lock_deadline(Instant::now()).map(drop),
        "could not lock the mutex \"m\" HERE",
        "which member has it",
    );

    let lock = RwLock::create(&region, "l", ()).unwrap();
    let writer = lock.blocking_write().unwrap();
    let read = lock.blocking_read_deadline(Instant::now()).map(drop);
    late(read, "could not lock the read-write lock \"l\" HERE to read", "which members have it");
    let write = lock.blocking_write_deadline(Instant::now()).map(drop);
    late(write, "could not lock the read-write lock \"l\" HERE to write", "which members have it");

    let semaphore = Semaphore::create(&region, "s", 3).unwrap();
    let permits = semaphore.blocking_acquire_many(3).unwrap();
    let shows = "which members have permits";
    let one = semaphore.blocking_acquire_deadline(Instant::now()).map(drop);
    late(one, "could not take 1 permit of the semaphore \"s\" HERE", shows);
    let two = semaphore.blocking_acquire_many_deadline(2, Instant::now()).map(drop);
    late(two, "could not take 2 permits of the semaphore \"s\" HERE", shows);

    let event = ManualEvent::create(&region, "e").unwrap().blocking_wait_deadline(Instant::now());
    late(event, "the manual event \"e\" HERE was not set", "which members are alive");
    let event = AutoEvent::create(&region, "a").unwrap().blocking_wait_deadline(Instant::now());
    late(event, "the auto event \"a\" HERE was not set", "which members are alive");

    let barrier = Barrier::create(&region, "b").unwrap();
    let (mut first, second) = (barrier.attach().unwrap(), barrier.attach().unwrap());
    let phase = first.blocking_arrive_and_wait_deadline(Instant::now()).map(drop);
    late(phase, "the phase of the barrier \"b\" HERE did not end", "how many tasks of each member have arrived");

    let cell = OnceCell::<u32>::create(&region, "o").unwrap();
    let value = cell.blocking_get_or_init(|| {
        let value = cell.blocking_get_or_init_deadline(|| 1, Instant::now()).map(drop);
        late(value, "the once cell \"o\" HERE did not get its value", "which member initialises it");
        2
    });
    assert_eq!(value.unwrap(), 2);

    let condvar = Condvar::create(&region, "c").unwrap();
    let shows = "which members are alive, and which one has the mutex";
    let wait = condvar.blocking_wait_deadline(guard, Instant::now()).map(drop);
    late(wait, "the wait for the condvar \"c\" HERE did not end", shows);
    drop((writer, permits, second));
}

#[test]
fn a_deadline_in_a_region_without_a_name_leads_to_its_descriptor() {
    let region = Region::builder().anonymous().unwrap();
    let mutex = Mutex::create(&region, "m", ()).unwrap();
    let _guard = mutex.blocking_lock().unwrap();
    let message = mutex.blocking_lock_deadline(Instant::now()).unwrap_err().to_string();
    let start = format!(
        "could not lock the mutex \"m\" in the anonymous region before the deadline: `futex show {}:",
        std::process::id()
    );
    assert!(message.starts_with(&start), "{message}");
}

#[test]
fn an_object_of_a_closed_region_says_who_closed_it() {
    let name = new_name("closed");
    let region = Region::builder().open_or_create(&name).unwrap();
    let mutex = Mutex::create(&region, "m", ()).unwrap();
    region.close();
    let sentence = format!(
        "the region {name:?} can't be used any more: this process has called `Region::close`. Open the region again"
    );
    says(mutex.blocking_lock(), io::ErrorKind::BrokenPipe, &sentence);
}

/// The story: the error was that of futex-tokio, which advised to "give the futex a reactor". A program has neither.
#[cfg(feature = "tokio")]
#[test]
fn an_async_call_that_has_to_wait_outside_of_a_runtime_names_the_blocking_form() {
    let region = Region::builder().anonymous().unwrap();
    let mutex = Mutex::create(&region, "m", ()).unwrap();
    let guard = futex_tests::block_on(mutex.lock()).unwrap();
    says(
        futex_tests::block_on(mutex.lock()),
        io::ErrorKind::Unsupported,
        "an async call on an object of the anonymous region has to wait, and there is no Tokio runtime here: await it in a runtime, \
         or use the form of the call that blocks the thread (`blocking_…`)",
    );
    drop(guard);
    drop(mutex.try_lock().unwrap().unwrap());
}

#[test]
fn a_region_without_room_says_who_has_chosen_its_size() {
    for (maximum, objects) in [(1, "1 object"), (2, "2 objects")] {
        let region = Region::builder().objects(maximum).anonymous().unwrap();
        for name in ["a", "b"].iter().take(maximum as usize) {
            ManualEvent::create(&region, name).unwrap();
        }
        let sentence = format!(
            "cannot add \"c\" to the anonymous region: it has {objects}, which is its maximum. A region never grows: let the process \
             that makes it choose a larger size (`Builder::objects`, `Builder::bytes`)"
        );
        says(ManualEvent::create(&region, "c"), io::ErrorKind::StorageFull, &sentence);
    }
}

#[test]
fn a_full_region_says_who_can_choose_a_larger_one() {
    let region = Region::builder().members(1).anonymous().unwrap();
    says(
        Region::builder().from_fd(region.share().unwrap()),
        io::ErrorKind::ResourceBusy,
        "the region of the descriptor is full: it has 1 member, which is its maximum. A region never grows: let \
         the process that makes it choose a larger maximum (`Builder::members`)",
    );
}

/// The story: the error was "Resource temporarily unavailable", and nothing else.
#[test]
fn a_socket_that_would_block_says_how_to_wait_for_it() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    says(
        Region::builder().receive(&theirs),
        io::ErrorKind::WouldBlock,
        "no region has arrived yet, and the socket is non-blocking: make it blocking, or await it (`async_io` of a Tokio socket calls \
         this function again): Resource temporarily unavailable (os error 11)",
    );
    drop(ours);
    assert_eq!(Region::builder().receive(&theirs).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

/// The story: "there is no directory /proc", of kind `NotFound`.
#[test]
fn a_directory_that_cannot_have_files_is_not_called_missing() {
    let sentence = "cannot create the region \"r\" in /proc: the file system of /proc can't make files and link them. Use another \
                    directory (`Builder::directory`)";
    says(Region::builder().directory("/proc").open_or_create("r"), io::ErrorKind::Unsupported, sentence);
    let missing = Region::builder().directory("/proc/nothing").open_or_create("r");
    assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_file_that_is_not_regular_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display();
    let socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket"));
    std::fs::create_dir(directory.path().join("directory")).unwrap();
    for name in ["socket", "directory"] {
        let sentence = format!(
            "the region {name:?} in {path} can't be opened: the file of this name is not a regular file. Use another name"
        );
        says(
            Region::builder().directory(directory.path()).open_or_create(name),
            io::ErrorKind::InvalidInput,
            &sentence,
        );
    }
    drop(socket);
}

/// The story: the errors were the kernel's words "Text file busy" and "Is a directory".
#[test]
fn a_descriptor_that_cannot_be_written_has_the_documented_kind() {
    let program = Region::builder().from_fd(File::open(std::env::current_exe().unwrap()).unwrap()).unwrap_err();
    assert_eq!(program.kind(), io::ErrorKind::PermissionDenied, "{program}");
    assert!(program.to_string().contains("which has to be open for reading and writing"), "{program}");
    let directory = Region::builder().from_fd(File::open("/").unwrap()).unwrap_err();
    assert_eq!(directory.kind(), io::ErrorKind::InvalidInput, "{directory}");
    assert!(directory.to_string().contains("the region of the descriptor"), "{directory}");
}

/// The story: the others saw the label up to the zero byte.
#[test]
fn a_label_with_a_zero_byte_is_refused() {
    let sentence = "\"a\\0b\" can't be the label of a member: a label has no zero byte";
    says(Region::builder().label("a\0b").anonymous(), io::ErrorKind::InvalidInput, sentence);
}

/// The story: the kind was `WouldBlock`. A task that received the region by `async_io` took this for a socket without a message, and
/// waited forever.
#[test]
fn a_thread_that_cannot_be_started_is_not_taken_for_a_socket_without_a_message() {
    in_its_own_process("a_thread_that_cannot_be_started_is_not_taken_for_a_socket_without_a_message", || {
        let rules = [libc::SYS_clone, libc::SYS_clone3].map(|number| (number, Vec::new())).into();
        let deny = SeccompAction::Errno(libc::EAGAIN as u32);
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, deny, std::env::consts::ARCH.try_into().unwrap());
        apply_filter_all_threads(&BpfProgram::try_from(filter.unwrap()).unwrap()).unwrap();
        says(
            Region::builder().anonymous(),
            io::ErrorKind::OutOfMemory,
            "cannot start the thread that notices the death of a region's members (see `ulimit -u`): Resource temporarily \
             unavailable (os error 11)",
        );
    });
}
