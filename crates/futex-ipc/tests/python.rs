//! A member in Python that follows `docs/ipc-format.md` (`member.py`), and members of this crate, in one region.

use futex_ipc::{Mutex, Region, RwLock};
use futex_tests::{skip, until, without_a_hang};

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const MEMBER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/member.py");

/// A region of which other processes know the path.
struct Shared {
    region: Region,
    file: OwnedFd,
}

impl Shared {
    fn new() -> Self {
        let region = Region::builder().members(9).label("a member in Rust").anonymous().expect("a region");
        let file = region.share().expect("a descriptor");
        Self { region, file }
    }

    fn member(&self, arguments: &[&str]) -> Command {
        let path = format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd());
        member(&path, arguments)
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.member(arguments).output().expect("python3 starts");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Starts a member that holds the mutex `m`, and returns it with its first line.
    fn hold(&self) -> (Holder, String) {
        let mut child =
            self.member(&["hold", "m"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        (Holder(child), line)
    }
}

fn member(path: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.arg(MEMBER).arg(arguments[0]).arg(path).args(&arguments[1..]);
    command
}

/// A member in Python that is killed at the end of a test.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a test, if the member in Python can run here.
fn with_python(test: impl FnOnce() + Send + 'static) {
    static CAN_RUN: LazyLock<bool> = LazyLock::new(|| {
        let script = "import ctypes, fcntl; fcntl.F_OFD_SETLK; ctypes.CDLL('libatomic.so.1')";
        Command::new("python3").args(["-c", script]).output().is_ok_and(|output| output.status.success())
    });
    if !*CAN_RUN {
        return skip("there is no python3 (3.9 or later) with ctypes and libatomic.so.1 (Debian: libatomic1)");
    }
    without_a_hang(test);
}

#[test]
fn python_lists_the_members_and_the_objects() {
    with_python(|| {
        let shared = Shared::new();
        let _mutex = Mutex::create(&shared.region, "mutex of ünïcode", [1_u16; 5]).expect("a mutex");
        let _second = Mutex::create(&shared.region, "second", 0_u64).expect("a mutex");
        let _lock = RwLock::create(&shared.region, "lock", [0_u8; 21]).expect("a read-write lock");
        let list = shared.run(&["list"]);
        for part in [
            "\"slots\": 9,".to_owned(),
            format!("\"slot\": 0, \"generation\": 1, \"pid\": {},", std::process::id()),
            "\"label\": \"a member in Rust\"".to_owned(),
            "\"kind\": \"Mutex\", \"type_version\": 1,".to_owned(),
            // Three words, and two copies of two words each.
            "\"length\": 7, \"size\": 10, \"align\": 2, \"parameter\": 0, \"roles\": [[1, 0]], \"records\": null".to_owned(),
            "\"name\": \"mutex of \\u00fcn\\u00efcode\", \"type_name\": \"u16\"".to_owned(),
            "\"name\": \"second\", \"type_name\": \"u64\"".to_owned(),
            // 128 bytes, and 128 bytes for each of nine slots.
            "\"kind\": \"RwLock\", \"type_version\": 1,".to_owned(),
            "\"length\": 160, \"size\": 21, \"align\": 1, \"parameter\": 0, \"roles\": [[1, 0], [2, 2]], \"records\": 16".to_owned(),
        ] {
            assert!(list.contains(&part), "{part} is not in {list}");
        }
    });
}

#[test]
fn members_in_python_and_rust_count_to_the_sum() {
    with_python(|| {
        const TIMES: u64 = 2_000;

        let shared = Shared::new();
        let mutex = Mutex::create(&shared.region, "m", 0_u64).expect("a mutex");
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| shared.run(&["count", "m", &TIMES.to_string()]));
            }
            for _ in 0..TIMES {
                mutex.blocking_update(|count| *count += 1).expect("the mutex");
            }
        });
        let guard = mutex.try_lock().expect("the mutex").expect("no other member has it");
        assert_eq!(*guard, 3 * TIMES);
        assert!(!guard.predecessor_died());
    });
}

#[test]
fn the_death_of_a_member_in_python_is_noticed_in_rust() {
    with_python(|| {
        let shared = Shared::new();
        let mutex = Mutex::create(&shared.region, "m", 0_u64).expect("a mutex");
        let (holder, line) = shared.hold();
        assert_eq!(line, "locked\n");
        assert!(mutex.try_lock().expect("the mutex").is_none());
        drop(holder);
        let guard = mutex.blocking_lock().expect("the mutex");
        assert!(guard.predecessor_died());
    });
}

#[test]
fn the_death_of_a_member_is_noticed_in_python() {
    with_python(|| {
        let shared = Shared::new();
        let mutex = Mutex::create(&shared.region, "m", 0_u64).expect("a mutex");
        let (first, _) = shared.hold();
        let second = std::thread::scope(|scope| {
            let second = scope.spawn(|| shared.hold());
            drop(first);
            second.join().expect("a member")
        });
        let (mut holder, line) = second;
        assert_eq!(line, "a predecessor died\n");
        holder.0.stdin.take().expect("a pipe").write_all(b"\n").expect("the member reads");
        assert!(holder.0.wait().expect("the member ends").success());
        // It has settled the death, and left.
        let guard = mutex.try_lock().expect("the mutex").expect("no other member has it");
        assert!(!guard.predecessor_died());
        assert!(!shared.run(&["list"]).contains("in Python"));
    });
}

#[test]
fn members_in_python_and_rust_open_and_leave_a_name() {
    with_python(|| {
        let name = format!("futex-ipc-python-{}", std::process::id());
        let path = format!("/dev/shm/{name}");
        // Opens or makes the region, and leaves it.
        let visit = || {
            let region = Region::builder().open_or_create(&name).expect("the region");
            let here = File::from(region.share().expect("a descriptor")).metadata().expect("metadata");
            let there = fs::metadata(&path).expect("the name exists while there is a member");
            assert_eq!((here.dev(), here.ino()), (there.dev(), there.ino()), "the name leads to another region");
        };
        let start = |times: &str| Holder(member(&path, &["churn", times]).spawn().expect("python3 starts"));
        let mut others = [start("100"), start("100")];
        let victims = [start("1000000"), start("1000000")];
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    visit();
                }
            });
            // They are killed while the others are at work, wherever they are.
            until(|| fs::metadata(&path).is_ok());
            drop(victims);
            for other in &mut others {
                assert!(other.0.wait().expect("wait").success());
            }
            done.store(true, Relaxed);
        });
        // What a victim has left is replaced.
        visit();
        assert!(fs::metadata(&path).is_err(), "the last member has left the name behind");
    });
}
