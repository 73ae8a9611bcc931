//! Objects: names, paths, descriptors of processes, and what can't be one. Also `futex create` and `futex rm`.

use crate::support::{Running, ended, futex, name, new_name, page, run, skip, until, until_waiters, word};
use futex_sys::{NamedMemory, SharedMemory};
use rustix::fs::{CWD, FileType, Mode, inotify, mknodat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

/// `futex set OBJECT 0 9`, which opens the object to change it.
fn set(object: impl AsRef<OsStr>) -> Command {
    let mut command = futex(["set"]);
    command.arg(object).args(["0", "9"]);
    command
}

#[track_caller]
fn refuses(command: &mut Command, sentence: &str) {
    assert_eq!(run(command), ended(1, "", &format!("futex: {sentence}\n")));
}

#[test]
fn an_object_is_a_name_a_path_or_a_descriptor_of_a_process() {
    let page = page();
    let memfd = SharedMemory::anonymous(4096).expect("a memfd");
    let path = format!("/dev/shm/{}", name(&page));
    for object in [name(&page), &format!("/{}", name(&page)), &path] {
        word(&page, 0).store(0, Ordering::SeqCst);
        assert_eq!(run(&mut set(object)), ended(0, "0\n", ""), "{object}");
        assert_eq!(word(&page, 0).load(Ordering::SeqCst), 9, "{object}");
    }
    let object = format!("{}:{}", std::process::id(), memfd.as_raw_fd());
    assert_eq!(run(&mut set(object)), ended(0, "0\n", ""));
    assert_eq!(memfd.as_words()[0].load(Ordering::SeqCst), 9);
}

#[test]
fn a_descriptor_of_a_waiter_leads_to_the_object_whose_name_is_gone() {
    let page = page();
    let waiter = Running::start(&mut futex(["wait", name(&page), "0", "0"]));
    until_waiters(&word(&page, 0), 1);
    SharedMemory::unlink(name(&page)).expect("the name is there");
    let is_it = |path: &Path| fs::metadata(path).is_ok_and(|file| file.ino() == fs_inode(&page));
    let descriptors = fs::read_dir(format!("/proc/{}/fd", waiter.id())).expect("it lives");
    let descriptor = descriptors.map(|entry| entry.expect("a descriptor").path()).find(|path| is_it(path));
    let descriptor = descriptor.expect("it has the object open");
    let fd = descriptor.file_name().and_then(OsStr::to_str).expect("a number");
    assert_eq!(run(&mut set(format!("{}:{fd}", waiter.id()))).status, Some(0));
    let ended = waiter.end();
    assert_eq!((ended.status, &*ended.stdout), (Some(0), "9\n"));
}

fn fs_inode(page: &NamedMemory) -> u64 {
    rustix::fs::fstat(&**page).expect("it is open").st_ino
}

#[test]
fn a_name_or_a_path_may_have_bytes_that_are_not_utf_8() {
    let mut object = new_name().into_bytes();
    object.push(0xff);
    let object = OsString::from_vec(object);
    let page = NamedMemory::create(&object, 4096).expect("shared memory");
    assert_eq!(run(&mut set(&object)), ended(0, "0\n", ""));
    assert_eq!(run(&mut set(Path::new("/dev/shm").join(&object))), ended(0, "0\n", ""));
    assert_eq!(word(&page, 0).load(Ordering::SeqCst), 9);
}

#[test]
fn an_object_that_does_not_exist_is_a_clear_error() {
    let missing = new_name();
    refuses(
        &mut set(&missing),
        &format!(
            "cannot open shared memory \"{missing}\": No such file or directory (os error 2); `futex ls` lists the names that \
             exist"
        ),
    );
    let path = format!("./{missing}");
    refuses(&mut set(&path), &format!("cannot open {path} as shared memory: No such file or directory (os error 2)"));

    // Perhaps the file was meant.
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join(&missing), [0; 4096]).expect("a file");
    refuses(
        set(&missing).current_dir(&directory),
        &format!(
            "cannot open shared memory \"{missing}\": No such file or directory (os error 2); for the file in this directory, \
             write ./{missing}"
        ),
    );
    assert_eq!(run(set(&path).current_dir(&directory)), ended(0, "0\n", ""));
}

#[test]
fn what_is_not_a_name_is_a_clear_error() {
    for wrong in ["", "/", ".", "..", &"n".repeat(256)] {
        let ended = run(&mut set(wrong));
        let sentence = format!("futex: “{wrong}” is not a POSIX name, which has 1 to 255 bytes, and is not . or ..; ");
        assert_eq!((ended.status, &*ended.stdout), (Some(1), ""));
        assert!(ended.stderr.starts_with(&sentence), "{}", ended.stderr);
    }
}

#[test]
fn what_is_not_a_regular_file_is_a_clear_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("it is UTF-8");
    refuses(&mut set(path), &format!("{path} is a directory, and not shared memory"));

    let pipe = format!("{path}/pipe");
    mknodat(CWD, &*pipe, FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
    refuses(&mut set(&pipe), &format!("{pipe} is a pipe, and not shared memory"));

    let child = Command::new("sleep").arg("1000").stdin(Stdio::piped()).spawn().expect("a process");
    let object = format!("{}:0", child.id());
    let child = KilledAtTheEnd(child);
    refuses(&mut set(&object), &format!("{object} is a pipe, and not shared memory"));
    drop(child);
}

#[test]
fn a_link_under_a_name_is_not_followed() {
    let link = new_name();
    symlink("/etc/passwd", format!("/dev/shm/{link}")).expect("a link");
    let ended = run(&mut set(&link));
    assert_eq!(run(&mut futex(["rm", &link])), crate::support::ended(0, "", ""));
    assert_eq!((ended.status, &*ended.stdout), (Some(1), ""));
    assert!(ended.stderr.contains("because a symbolic link has the name"), "{}", ended.stderr);
}

struct KilledAtTheEnd(std::process::Child);

impl Drop for KilledAtTheEnd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_process_that_has_ended_and_a_descriptor_that_does_not_exist_are_clear_errors() {
    let memfd = SharedMemory::anonymous(4096).expect("a memfd");
    let mut child = KilledAtTheEnd(Command::new("true").spawn().expect("a process"));
    let pid = child.0.id();
    let object = format!("{pid}:0");
    // Nobody has asked for its status.
    until(|| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z ")));
    refuses(&mut set(&object), &format!("cannot open {object}: process {pid} has ended"));
    child.0.wait().expect("a child");
    refuses(&mut set(&object), &format!("cannot open {object}: there is no process {pid} that this one can see"));

    let (pid, fd) = (std::process::id(), memfd.as_raw_fd() + 100_000);
    refuses(&mut set(format!("{pid}:{fd}")), &format!("cannot open {pid}:{fd}: process {pid} has no descriptor {fd}"));
}

#[test]
fn an_object_without_a_word_at_the_offset_is_a_clear_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("object").to_str().expect("it is UTF-8").to_owned();
    let file = File::create(&path).expect("a file");
    let hint = "its creator has not set its length, or died before it did. Wait, or remove it";
    refuses(&mut set(&path), &format!("{path} has no bytes yet: {hint}"));
    file.set_len(3).expect("a length");
    refuses(&mut set(&path), &format!("{path} can't be shared memory: it has 3 bytes, and a word needs 4"));
    file.set_len(7).expect("a length");
    assert_eq!(run(&mut set(&path)), ended(0, "0\n", ""));
    let beyond = format!("{path}: a word at offset 4 ends beyond the shared memory, which has 7 bytes");
    for arguments in [["wait", &path, "4", "0"], ["set", &path, "4", "0"]] {
        refuses(&mut futex(arguments), &beyond);
    }
    for command in ["wake", "watch"] {
        refuses(&mut futex([command, &path, "4"]), &beyond);
    }
    let last = run(&mut futex(["wake", &path, "0xfffffffffffffffc"]));
    assert_eq!((last.status, last.stderr.lines().count()), (Some(1), 1), "{}", last.stderr);
}

#[test]
fn an_object_of_another_user_is_a_clear_error() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root can become another user");
    }
    let become_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    // That of busybox does less.
    if !Command::new("setpriv").args(become_nobody).arg("true").output().is_ok_and(|output| output.status.success()) {
        return skip("there is no setpriv (util-linux)");
    }
    // The other user may not enter the directory that the program was built in.
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("futex");
    fs::copy(env!("CARGO_BIN_EXE_futex"), &program).expect("a copy");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let nobody = |object: &str| {
        let mut command = Command::new("setpriv");
        command.args(become_nobody).arg(&program);
        command.current_dir("/").args(["set", object, "0", "9"]);
        run(&mut command)
    };

    let page = page();
    let memfd = SharedMemory::anonymous(4096).expect("a memfd");
    let sentence = format!(
        "futex: cannot open shared memory \"{0}\", which belongs to another user, or whose mode forbids it: Permission denied \
         (os error 13) (this command needs permission to read and to write; `show` and `get` only to read); try it as the user to whom it belongs, or as root\n",
        name(&page)
    );
    assert_eq!(nobody(name(&page)), ended(1, "", &sentence));
    let (pid, fd) = (std::process::id(), memfd.as_raw_fd());
    let sentence = format!(
        "futex: cannot open {pid}:{fd}: process {pid} or its object belongs to another user; try it as that user, or as root\n"
    );
    assert_eq!(nobody(&format!("{pid}:{fd}")), ended(1, "", &sentence));
    assert_eq!(word(&page, 0).load(Ordering::SeqCst), 0);

    // What that user has, it can use.
    let path = format!("{}/object", directory.path().display());
    fs::write(&path, [0; 8]).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("it is ours");
    assert_eq!(nobody(&path), ended(0, "0\n", ""));
}

#[test]
fn create_makes_an_object_with_all_of_its_memory_for_this_user_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let object = new_name();
    let path = format!("{}/object", directory.path().display());
    for (argument, file) in [(&*object, format!("/dev/shm/{object}")), (&path, path.clone())] {
        let mut shell = Command::new("sh");
        shell.args(["-c", "umask 0; exec \"$0\" create \"$1\" 8K", env!("CARGO_BIN_EXE_futex"), argument]);
        assert_eq!(run(&mut shell), ended(0, "", ""));
        let metadata = fs::metadata(&file).expect("it is there");
        assert_eq!((metadata.len(), metadata.mode() & 0o777), (8192, 0o600));
        assert!(metadata.blocks() * 512 >= 8192, "{} blocks", metadata.blocks());
        let exists = format!("cannot create {argument}: it exists; `futex rm {argument}` removes it");
        refuses(&mut futex(["create", argument, "4"]), &exists);
        assert_eq!(run(&mut futex(["rm", argument])), ended(0, "", ""));
        assert!(!Path::new(&file).exists());
    }
}

#[test]
fn create_leaves_nothing_behind_if_it_fails() {
    let object = new_name();
    let directory = tempfile::tempdir().expect("a directory");
    let path = format!("{}/object", directory.path().display());
    for argument in [&object, &path] {
        for length in ["0", "3", "8000000G"] {
            let ended = run(&mut futex(["create", argument, length]));
            assert_eq!(
                (ended.status, ended.stdout.len(), ended.stderr.lines().count()),
                (Some(1), 0, 1),
                "{}",
                ended.stderr
            );
        }
    }
    assert!(!Path::new("/dev/shm").join(&object).exists());
    assert!(!Path::new(&path).exists());
    let missing = format!("{path}/object");
    refuses(
        &mut futex(["create", &missing, "4"]),
        &format!("cannot create {missing}: No such file or directory (os error 2)"),
    );
    refuses(&mut futex(["create", "1:2", "4"]), "cannot create 1:2: give a POSIX name, or a path (./1:2)");
}

#[test]
fn rm_removes_the_name_and_says_who_still_maps_the_object() {
    let page = page();
    let waiter = Running::start(&mut futex(["wait", name(&page), "0", "0"]));
    until_waiters(&word(&page, 0), 1);
    let removed = run(&mut futex(["rm", name(&page)]));
    assert_eq!((removed.status, &*removed.stderr), (Some(0), ""));
    for pid in [waiter.id(), std::process::id()] {
        let pid = pid.to_string();
        let names = |line: &str| line.split_whitespace().any(|cell| cell == pid);
        assert_eq!(removed.stdout.lines().filter(|line| names(line)).count(), 1, "{pid}: {}", removed.stdout);
    }
    refuses(
        &mut futex(["rm", name(&page)]),
        &format!("cannot unlink shared memory \"{}\": No such file or directory (os error 2)", name(&page)),
    );
}

#[test]
fn rm_removes_no_directory_and_no_link() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("it is UTF-8");
    let link = format!("{path}/link");
    symlink("/etc/passwd", &link).expect("a link");
    for object in [path, &link] {
        refuses(&mut futex(["rm", object]), &format!("cannot remove {object}: it is not a regular file"));
    }
    assert!(fs::symlink_metadata(&link).is_ok());
    refuses(
        &mut futex(["rm", "1:2"]),
        "cannot remove 1:2: a descriptor is not a name; the object lives until nobody has it",
    );
}

#[test]
fn a_pipe_is_refused_without_being_opened() {
    // A command that only shows opened the pipe before it looked at its type. A writer that waited for a reader went on, and
    // was ended by SIGPIPE.
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
    let events = inotify::init(inotify::CreateFlags::NONBLOCK).expect("an inotify instance");
    inotify::add_watch(&events, &pipe, inotify::WatchFlags::OPEN).expect("a watch");
    for command in [&["show"][..], &["wait"], &["watch"], &["wake"]] {
        let offset = (command != ["show"]).then_some("0");
        let value = (command == ["wait"]).then_some("0");
        let mut program = futex([]);
        program.args(command).arg(&pipe).args(offset).args(value);
        refuses(&mut program, &format!("{} is a pipe, and not shared memory", pipe.display()));
        assert_eq!(rustix::io::read(&events, &mut [0; 1024]), Err(Errno::AGAIN), "{command:?}");
    }
}

#[test]
fn a_path_that_moves_the_cursor_is_shown_with_escapes() {
    // A script may take paths from a directory in which others make files.
    refuses(
        &mut set("./a\x1b[2J\nb"),
        "cannot open ./a\\u{1b}[2J\\nb as shared memory: No such file or directory (os error 2)",
    );
}
