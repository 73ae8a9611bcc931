//! Users without rights, and sandboxes.

use crate::ls::map_for_good;
use crate::support::{
    FUTEX, Nobody, Running, find, finish, named, refusal, skip, unique, until, until_attributed, until_waiters,
};
use futex_sys::NamedMemory;
use rustix::fs::{MemfdFlags, Mode, ftruncate, memfd_create};
use seccompiler::{SeccompAction, SeccompFilter, apply_filter};
use serde_json::Value;
use std::process::{Command, Stdio};

fn json_of(command: &mut Command) -> Value {
    let output = finish(command);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn an_object_of_another_user_is_listed_and_not_looked_into() {
    let Some(nobody) = Nobody::new() else { return };
    let (name, _memory) = named("private", 4096);
    let sentence = refusal(finish(nobody.command("futex").args(["show", &name])));
    assert!(sentence.contains(&name) && sentence.lines().count() == 1, "{sentence}");
    assert!(sentence.contains("ermission denied") && sentence.contains("root"), "{sentence}");

    let output = finish(nobody.command("futex").args(["ls", "--waiters", "--json"]));
    assert_eq!(output.status.code(), Some(0));
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let line = find(&listed, "object", name.as_str()).unwrap();
    assert_eq!((&line["length_bytes"], &line["owner_uid"]), (&4096.into(), &0.into()));
    assert_eq!((&line["words_with_waiters"], &line["processes"]), (&Value::Null, &serde_json::json!([])));
    assert!(line["error"].as_str().unwrap().contains("ermission denied"), "{line}");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("for lack of permission; to see more, run it as root"), "{errors}");
}

#[test]
fn waiters_of_other_users_are_counted_and_unattributed() {
    let Some(nobody) = Nobody::new() else { return };
    let (name, memory) = named("readable", 4096);
    rustix::fs::fchmod(&*memory, Mode::from_raw_mode(0o666)).unwrap();
    let word = memory.word(0).unwrap();
    let _roots = Running::waiter("thread", &name, 0);
    until_waiters(&word, 1);
    let mut command = nobody.command("futex");
    command.args(["wait", &name, "0", "0"]).env("FUTEX_BACKEND", "thread");
    let own = Running::start(command);
    until_waiters(&word, 2);
    until(|| {
        let shown = json_of(nobody.command("futex").args(["show", &name, "--json"]));
        let Some(found) = find(&shown["words"], "offset", 0) else { return false };
        assert!(shown["hidden_processes"].as_u64().unwrap() > 0);
        let sleepers = found["sleepers"].as_array().unwrap();
        assert!(sleepers.iter().all(|sleeper| sleeper["pid"] == own.id()));
        (sleepers.len(), &found["waiters"], &found["unattributed"]) == (1, &2.into(), &1.into())
    });
    let output = finish(nobody.command("futex").args(["show", &name]));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("unattributed: waits") && text.contains("to see more, run it as root"), "{text}");
}

#[test]
fn what_is_nowhere_open_needs_rights_and_that_is_said() {
    let Some(nobody) = Nobody::new() else { return };
    let name = unique("nowhere");
    let mut command = nobody.command("test");
    command.args(["--exact", "restricted::a_process_with_a_mapping_and_no_descriptor"]).env("FUTEX_CLI_MAP", &name);
    command.stdout(Stdio::null());
    let mapper = Running::start(command);
    let mut line = Value::Null;
    until(|| {
        let listed = json_of(nobody.command("futex").args(["ls", "--json", "--waiters"]));
        line = find(&listed, "name", name.as_str()).cloned().unwrap_or_default();
        // Until the descriptor is closed, it is the object's.
        !line.is_null() && line["object"].is_null()
    });
    assert!(find(&line["processes"], "pid", mapper.id()).is_some());
    assert!(line["error"].as_str().unwrap().contains("it is nowhere open"), "{line}");
    // Root reaches it by its mapping.
    let listed = json_of(Command::new(FUTEX).args(["ls", "--json", "--waiters"]));
    let line = find(&listed, "name", name.as_str()).unwrap();
    assert!(line["object"].as_str().unwrap().starts_with("/proc/"), "{line}");
    assert_eq!((&line["words_with_waiters"], &line["error"]), (&0.into(), &Value::Null));
}

/// Not a test, but the process of the one above.
#[test]
fn a_process_with_a_mapping_and_no_descriptor() {
    let Some(name) = std::env::var_os("FUTEX_CLI_MAP") else { return };
    let fd = memfd_create(name.as_encoded_bytes(), MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, 4096).unwrap();
    map_for_good(&fd, 4096);
    drop(fd);
    loop {
        std::thread::park();
    }
}

#[test]
fn without_io_uring_waiters_are_shown_by_thread() {
    let forbidden = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];
    let Some(architecture) = std::env::consts::ARCH.try_into().ok() else {
        return skip("seccompiler does not know this processor");
    };
    let rules = forbidden.into_iter().map(|number| (number, Vec::new())).collect();
    let denied = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, architecture).unwrap();
    let program = seccompiler::BpfProgram::try_from(filter).unwrap();
    let (name, _memory) = named("forbidden", 4096);
    // A thread's filter is that of the processes that it starts, too.
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            apply_filter(&program).unwrap();
            let mut command = Command::new(FUTEX);
            command.args(["wait", &name, "0", "0"]).env_remove("FUTEX_BACKEND");
            let waiter = Running::start(command);
            until_attributed(|| json_of(Command::new(FUTEX).args(["show", &name, "--json"])), 0, waiter.id());
            let listed = json_of(Command::new(FUTEX).args(["ls", "--json", "--waiters"]));
            assert_eq!(find(&listed, "object", name.as_str()).unwrap()["words_with_waiters"], 1);
        });
        inside.join().unwrap();
    });
}

#[test]
fn values_are_shown_although_a_sandbox_forbids_to_count() {
    use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};
    let Some(architecture) = std::env::consts::ARCH.try_into().ok() else {
        return skip("seccompiler does not know this processor");
    };
    let requeue = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(0x7f), 3).unwrap();
    let rules = [(libc::SYS_futex, vec![SeccompRule::new(vec![requeue]).unwrap()])].into_iter().collect();
    let denied = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, architecture).unwrap();
    let program = seccompiler::BpfProgram::try_from(filter).unwrap();
    let name = unique("uncounted");
    let memory = NamedMemory::create(&name, 4096).unwrap();
    memory.word(4).unwrap().store(9, std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            apply_filter(&program).unwrap();
            let shown = json_of(Command::new(FUTEX).args(["show", &name, "--json"]));
            let found = find(&shown["words"], "offset", 4).unwrap();
            assert_eq!((&found["value"], &found["waiters"]), (&9.into(), &Value::Null));
            assert_eq!(shown["not_counted"], serde_json::json!({ "start": 0, "end": 4096 }));
            assert!(shown["error"].as_str().unwrap().contains("cannot count the waiters"), "{shown}");
            let listed = json_of(Command::new(FUTEX).args(["ls", "--json", "--waiters"]));
            let line = find(&listed, "object", name.as_str()).unwrap();
            assert!(line["error"].as_str().unwrap().contains("cannot count the waiters"), "{line}");
        });
        inside.join().unwrap();
    });
}
