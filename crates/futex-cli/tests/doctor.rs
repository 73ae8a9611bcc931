//! `futex doctor` on this machine, and in places that forbid something.
#![expect(unsafe_code, reason = "filters of system calls are set between fork and exec")]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use futex_tests::skip;
use seccompiler::SeccompCmpOp::MaskedEq;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCondition, SeccompFilter, SeccompRule, apply_filter,
};
use serde_json::Value;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

const FUTEX: &str = env!("CARGO_BIN_EXE_futex");
const BACKENDS: [&str; 3] = ["uring", "waitv", "thread"];

const IO_URING: &[i64] = &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];
const FUTEX_WAITV: &[i64] = &[libc::SYS_futex_waitv];
const EPERM: SeccompAction = SeccompAction::Errno(libc::EPERM.unsigned_abs());

/// What `futex doctor --json` printed.
struct Report {
    json: Value,
    status: Option<i32>,
}

impl Report {
    fn of(command: &mut Command) -> Self {
        let output = run(command);
        let text = String::from_utf8(output.stdout).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{error}: {text:?} {}", String::from_utf8_lossy(&output.stderr));
        });
        Self { json, status: output.status.code() }
    }

    fn backend(&self, name: &str) -> &Value {
        let backends = self.json["backends"].as_array().unwrap();
        backends.iter().find(|trial| trial["backend"] == name).unwrap()
    }

    fn works(&self, name: &str) -> bool {
        self.backend(name)["works"].as_bool().unwrap()
    }

    /// Why a backend does not work, and what to do.
    #[track_caller]
    fn check_failure(&self, name: &str, reason: &str, advice: &str) {
        let trial = self.backend(name);
        let contains = |key: &str, text: &str| trial[key].as_str().unwrap().contains(text);
        assert!(!self.works(name) && contains("reason", reason) && contains("advice", advice), "{trial:#}");
    }

    #[track_caller]
    fn finding(&self, topic: &str) -> &Value {
        let findings = self.json["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["topic"] == topic).unwrap()
    }

    /// Level, what was found, and what to do.
    #[track_caller]
    fn check(&self, topic: &str, level: &str, found: &str, advice: &str) {
        let finding = self.finding(topic);
        let contains = |key: &str, text: &str| finding[key].as_str().unwrap_or("").contains(text);
        assert!(finding["level"] == level && contains("found", found) && contains("advice", advice), "{finding:#}");
    }

    /// Status 0 and this backend, or status 1 and perhaps none.
    #[track_caller]
    fn check_choice(&self, works: bool, chosen: Option<&str>) {
        let said = (self.status, self.json["works"].as_bool(), self.json["chosen"].as_str());
        assert_eq!(said, (Some(i32::from(!works)), Some(works), chosen), "{:#}", self.json);
    }
}

fn doctor() -> Command {
    behind(&[])
}

/// `doctor` behind words of another command, which changes what it finds.
fn behind(words: &[&str]) -> Command {
    let words = [words, &[FUTEX, "doctor", "--json"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env_remove("FUTEX_BACKEND");
    command
}

/// `doctor` behind words of another command, and a shell that does something first.
fn after(words: &[&str], script: &str) -> Report {
    let script = format!("{script} && exec \"$0\" \"$@\"");
    Report::of(&mut behind(&[words, &["sh", "-c", &script]].concat()))
}

/// The command has bounds of its own, some 7 s per backend.
fn run(command: &mut Command) -> Output {
    command.output().expect("the command starts")
}

/// A sandbox that answers these calls so.
fn filter(calls: &[i64], rules: &[SeccompRule], action: SeccompAction) -> BpfProgram {
    let rules = calls.iter().map(|&call| (call, rules.to_vec())).collect();
    let arch = std::env::consts::ARCH.try_into().unwrap();
    SeccompFilter::new(rules, SeccompAction::Allow, action, arch).unwrap().try_into().unwrap()
}

/// `doctor` in sandboxes.
fn within(sandboxes: Vec<BpfProgram>) -> Command {
    let mut command = doctor();
    let apply = move || {
        let mut programs = sandboxes.iter();
        programs.try_for_each(|program| apply_filter(program).map_err(|_| io::ErrorKind::PermissionDenied.into()))
    };
    // SAFETY: Between fork and exec the closure makes two system calls per program, and allocates nothing.
    unsafe { command.pre_exec(apply) };
    command
}

fn forbidding(calls: &[i64], action: SeccompAction) -> Command {
    within(vec![filter(calls, &[], action)])
}

/// True if a command runs here. Otherwise the test is skipped.
fn can(words: &[&str]) -> bool {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let can = output.as_ref().is_ok_and(|output| output.status.success());
    if !can {
        skip(&format!("{words:?} does not run here: {output:?}"));
    }
    can
}

/// True if this machine has the backend. Otherwise the test is skipped.
fn has(backend: &str) -> bool {
    let report = Report::of(&mut doctor());
    if !report.works(backend) {
        skip(&format!("{backend} does not work here: {}", report.backend(backend)["reason"]));
    }
    report.works(backend)
}

#[test]
fn each_backend_that_works_has_a_time_and_each_other_one_a_reason() {
    let report = Report::of(&mut doctor());
    for trial in BACKENDS.map(|name| report.backend(name)) {
        if trial["works"] == true {
            assert!(trial["round_trip_ns"].as_u64() > Some(0) && trial["round_trips"].as_u64() >= Some(100), "{trial}");
            assert!(trial["reason"].is_null() && trial["advice"].is_null(), "{trial}");
        } else {
            assert!(trial["round_trip_ns"].is_null() && trial["round_trips"].is_null(), "{trial}");
            assert!(!trial["reason"].as_str().unwrap().is_empty());
        }
    }
    assert!(report.works("thread"), "{:#}", report.json);
    report.check_choice(true, BACKENDS.into_iter().find(|name| report.works(name)));
}

#[test]
fn the_json_has_the_fields_and_topics_of_the_manual_and_no_others() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let documented = |name: &str| manual.contains(&format!("| `{name}` |"));
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();

    let report = Report::of(&mut doctor());
    assert_eq!(keys(&report.json), ["backends", "chosen", "findings", "futex_backend", "works"]);
    for trial in BACKENDS.map(|name| report.backend(name)) {
        assert_eq!(keys(trial), ["advice", "backend", "reason", "round_trip_ns", "round_trips", "works"]);
    }
    let mut names = [keys(&report.json), keys(report.backend("thread"))].concat();
    for finding in report.json["findings"].as_array().unwrap() {
        assert_eq!(keys(finding), ["advice", "found", "level", "topic"]);
        names.extend(keys(finding));
        names.extend(["level", "topic"].map(|key| finding[key].as_str().unwrap().to_owned()));
    }
    let missing: Vec<_> = names.iter().filter(|name| !documented(name)).collect();
    assert!(missing.is_empty(), "the manual does not have {missing:?}");
}

#[test]
fn the_text_has_no_colours_in_a_pipe_and_ends_with_the_verdict() {
    let output = run(Command::new(FUTEX).arg("doctor").env_remove("FUTEX_BACKEND"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    assert!(text.starts_with("ok       ") && text.ends_with("\nWaits work here.\n"), "{text}");
    assert!(text.contains("\nworks    thread ") && !text.contains('\x1b'), "{text:?}");

    let output = run(Command::new(FUTEX).arg("doctor").env("FUTEX_BACKEND", "nonsense"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && output.stderr.is_empty());
    assert!(text.contains("\nproblem  futex_backend ") && text.ends_with("\nWaits do not work here.\n"), "{text}");
}

#[test]
fn without_io_uring_waitv_is_chosen_and_the_reason_is_given() {
    if !has("waitv") {
        return;
    }
    let report = Report::of(&mut forbidding(IO_URING, EPERM));
    report.check_choice(true, Some("waitv"));
    report.check("choice", "note", "waits with waitv here, because it cannot have uring", "");
    if cfg!(feature = "uring") {
        report.check_failure("uring", "cannot open an io_uring", "to have it, ");
        report.check_failure("uring", "Operation not permitted (os error 1)", "");
        report.check("seccomp", "note", "(mode 2, no_new_privs is set): io_uring_setup fails", "");
    }
}

#[test]
fn without_io_uring_and_futex_waitv_thread_is_chosen() {
    let report = Report::of(&mut forbidding(&[IO_URING, FUTEX_WAITV].concat(), EPERM));
    report.check_choice(true, Some("thread"));
    report.check("choice", "note", "waits with thread here, because it cannot have uring and waitv", "");
    report.check("seccomp", "note", "futex_waitv fails", "");
    report.check_failure("waitv", "futex_waitv is not available: Operation not permitted (os error 1)", "allow");
}

#[test]
fn a_sandbox_that_kills_for_io_uring_kills_only_children_and_the_report_says_what_to_set() {
    if !cfg!(feature = "uring") {
        return;
    }
    for action in [SeccompAction::KillProcess, SeccompAction::Trap] {
        let report = Report::of(&mut forbidding(IO_URING, action.clone()));
        report.check_choice(false, None);
        report.check("choice", "problem", "dies", "SystemCallErrorNumber=EPERM");
        report.check("seccomp", "note", "io_uring_setup kills the process", "");
        report.check_failure("uring", "io_uring_setup (SIGSYS)", "allow io_uring_setup");
        assert!(report.works("thread"), "{:#}", report.json);

        // What it says to set works,
        let best = if report.works("waitv") { "waitv" } else { "thread" };
        report.check("choice", "problem", "io_uring_setup", &format!("set FUTEX_BACKEND={best} "));
        let report = Report::of(forbidding(IO_URING, action.clone()).env("FUTEX_BACKEND", best));
        report.check_choice(true, Some(best));

        // and to unset the variable would not help.
        let report = Report::of(forbidding(IO_URING, action).env("FUTEX_BACKEND", "uring"));
        report.check_choice(false, None);
        let advice = format!("set FUTEX_BACKEND={best} ");
        report.check("futex_backend", "problem", "uring, which does not work here", &advice);
        assert!(!report.finding("futex_backend")["advice"].as_str().unwrap().contains("unset"));
    }
}

#[test]
fn a_sandbox_that_kills_for_futex_waitv_is_told_from_one_that_kills_for_io_uring() {
    let kill = filter(FUTEX_WAITV, &[], SeccompAction::KillProcess);
    let report = Report::of(&mut within(vec![filter(IO_URING, &[], EPERM), kill]));
    report.check_choice(false, None);
    report.check("choice", "problem", "futex_waitv (SIGSYS)", "set FUTEX_BACKEND=thread ");
}

#[test]
fn without_the_system_call_futex_nothing_works_and_the_report_says_so() {
    for action in [EPERM, SeccompAction::KillProcess] {
        let report = Report::of(&mut forbidding(&[libc::SYS_futex], action));
        report.check_choice(false, None);
        report.check("choice", "problem", "system call futex ", "");
        for name in BACKENDS {
            report.check_failure(name, "system call futex ", "allow the system call futex ");
        }
    }
}

#[test]
fn processes_that_get_no_wakes_are_a_finding_and_not_a_hang() {
    // The sandbox answers for the kernel that nobody waited.
    let wakes = [libc::FUTEX_WAKE, libc::FUTEX_WAKE_BITSET].map(|operation| {
        let operation = u64::from(operation.unsigned_abs());
        let condition = SeccompCondition::new(1, SeccompCmpArgLen::Dword, MaskedEq(0x7f), operation).unwrap();
        SeccompRule::new(vec![condition]).unwrap()
    });
    let report = Report::of(&mut within(vec![filter(&[libc::SYS_futex], &wakes, SeccompAction::Errno(0))]));
    assert_eq!((report.status, report.json["works"].as_bool()), (Some(1), Some(false)), "{:#}", report.json);
    report.check("choice", "problem", "which does not work", "");
    report.check_failure("thread", "did not finish", "again");
}

#[test]
fn a_parent_that_made_it_ignore_sigchld_changes_nothing() {
    // The kernel reaps the children of such a process itself, so that waiting for them is an error.
    let report = after(&[], "trap '' CHLD");
    assert_eq!(report.status, Some(0), "{:#}", report.json);
    assert!(report.works("thread"));
}

#[test]
fn few_descriptors_are_a_warning_and_too_few_a_reason() {
    let unlimited = Report::of(&mut doctor());
    let report = after(&[], "ulimit -n 100");
    let found = "100 descriptors (hard limit: 100): 25 rings per reactor, for 2400 waits";
    report.check("descriptors", "warning", found, "ulimit -n");
    assert_eq!(report.status, Some(0));

    for n in [5, 8, 12] {
        let report = after(&[], &format!("ulimit -n {n}"));
        report.check("descriptors", "warning", &format!("may have {n} descriptors"), "ulimit -n");
        for name in BACKENDS.into_iter().filter(|name| unlimited.works(name) && !report.works(name)) {
            report.check_failure(name, "(os error 24)", "ulimit -n");
        }
        assert!(n > 5 || report.status == Some(1));
    }
}

#[test]
fn without_lockable_memory_the_next_backend_is_chosen_unless_the_kernel_does_not_count_rings() {
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    if !cfg!(feature = "uring") || !can(&[&user[..], &["test", "-x", FUTEX]].concat()) || !has("uring") {
        return;
    }
    let report = after(&user, "ulimit -l 0");
    if report.works("uring") {
        report.check("locked_memory", "note", "this kernel opened one", "");
        return;
    }
    report.check(
        "locked_memory",
        "warning",
        "a user may lock 0 bytes, less than a ring takes (8 KiB), so uring is not available",
        "ulimit -l",
    );
    report.check_failure("uring", "Cannot allocate memory (os error 12)", "ulimit -l");
    assert_eq!(report.status, Some(0));
    assert_ne!(report.json["chosen"], "uring");
}

#[test]
fn a_dev_shm_that_is_small_or_full_or_read_only_or_missing_is_found() {
    let unshare = ["unshare", "--mount"];
    if !can(&[&unshare[..], &["true"]].concat()) {
        return;
    }
    let report = after(&unshare, "mount -t tmpfs -o size=64m shm /dev/shm");
    report.check("dev_shm", "warning", "a tmpfs of 64 MiB, of which 64 MiB are free", "--shm-size");

    let report = after(&unshare, "mount -t tmpfs -o size=0 shm /dev/shm");
    report.check("dev_shm", "ok", "/dev/shm is a tmpfs without a limit", "");

    let mount = "mount -t tmpfs -o size=128m shm /dev/shm && fallocate -l";
    let report = after(&unshare, &format!("{mount} 120m /dev/shm/x"));
    report.check("dev_shm", "warning", "of which 8 MiB are free: it is nearly full", "futex ls");
    let report = after(&unshare, &format!("{mount} 128m /dev/shm/x"));
    report.check("dev_shm", "problem", "a name cannot be made", "futex ls");

    let report = after(&unshare, "mount -t tmpfs -o ro shm /dev/shm");
    report.check("dev_shm", "problem", "it is read-only", "remount,rw");

    let report = after(&unshare, "mount -t tmpfs none /dev");
    report.check("dev_shm", "problem", "No such file or directory", "mount -t tmpfs");
    // Memory without a name is enough for waits.
    assert_eq!(report.status, Some(0));
}

#[test]
fn a_private_proc_or_none_is_found() {
    let unshare = ["unshare", "--mount", "--pid", "--fork"];
    if !can(&[&unshare[..], &["--mount-proc", "true"]].concat()) {
        return;
    }
    let report = Report::of(&mut behind(&[&unshare[..], &["--mount-proc"]].concat()));
    report.check("pid_namespace", "note", "it cannot watch processes of other ones", "--pid=container");
    report.check("proc", "ok", "", "");

    let report = Report::of(&mut behind(&unshare));
    report.check("proc", "warning", "another pid namespace", "mount");

    let report = after(&unshare, "mount -t proc -o hidepid=2 proc /proc");
    report.check("proc", "note", "hidden", "gid=");

    let report = after(&unshare, "mount -t tmpfs none /proc");
    report.check("proc", "problem", "there is no /proc", "mount -t proc");
    report.check("process_ends", "warning", "a timeout", "");
    assert_eq!(report.status, Some(0), "{:#}", report.json);
}

#[test]
fn a_time_namespace_is_found() {
    let unshare = ["unshare", "--time", "--boottime", "1000", "--fork"];
    if !can(&[&unshare[..], &["true"]].concat()) {
        return;
    }
    let report = Report::of(&mut behind(&unshare));
    report.check("time_namespace", "warning", "it cannot watch processes", "run it in the initial one");
    report.check("process_ends", "warning", "time namespace", "");
}

#[test]
fn sysctls_and_settings_of_logind_are_read() {
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    if !can(&["unshare", "--mount", "true"]) || !can(&[&user[..], &["test", "-x", FUTEX]].concat()) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    // Puts a text in the place of a file of the system.
    let mounted = |text: &str, place: &str| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
        let script = format!("mount --bind {} {place} && exec \"$0\" \"$@\"", file.display());
        Report::of(&mut behind(&[&["unshare", "--mount", "sh", "-c", &script], &user[..]].concat()))
    };
    let io_uring = "/proc/sys/kernel/io_uring_disabled";
    if Path::new(io_uring).exists() {
        mounted("0", io_uring).check("io_uring", "ok", "is 0: every process", "");
        mounted("1", io_uring).check("io_uring", "note", "is 1: only processes with CAP_SYS_ADMIN", "io_uring_group");
        mounted("2", io_uring).check("io_uring", "note", "is 2: no process", "sysctl kernel.io_uring_disabled=0");
    }
    let logind = "/etc/systemd/logind.conf";
    if Path::new(logind).exists() && ["seats", "system"].iter().all(|it| Path::new("/run/systemd").join(it).exists()) {
        mounted("[Login]\nRemoveIPC=no\n", logind).check("remove_ipc", "ok", "stay", "");
        mounted("", logind).check("remove_ipc", "warning", "of user 65534", "RemoveIPC=no");
    }
}

#[test]
fn inotify_instances_and_threads_that_run_out_are_found() {
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "prlimit", "--nproc=100"];
    if can(&[&user[..], &["test", "-x", FUTEX]].concat()) {
        let report = Report::of(&mut behind(&user));
        report.check("threads", "warning", "at most 100 threads (of the user)", "TasksMax=");
    }
    let unshare = ["unshare", "--user", "--map-root-user"];
    if can(&[&unshare[..], &["test", "-w", "/proc/sys/user/max_inotify_instances"]].concat()) {
        let report = after(&unshare, "echo 0 > /proc/sys/user/max_inotify_instances");
        report.check("inotify", "warning", "no further one can be had", "fs.inotify.max_user_instances");
        // In a user namespace it has all capabilities, and not those that matter.
        let found = report.finding("locked_memory")["found"].as_str().unwrap();
        assert!(!found.contains("CAP_IPC_LOCK"), "{found}");
    }
}

#[test]
fn the_environment_chooses_and_nonsense_in_it_is_a_problem() {
    let with = |name| Report::of(doctor().env("FUTEX_BACKEND", name));
    let report = with("thread");
    report.check_choice(true, Some("thread"));
    report.check("futex_backend", "note", "FUTEX_BACKEND is thread", "");
    assert_eq!(report.json["futex_backend"], "thread");

    let report = with("nonsense");
    report.check_choice(false, None);
    report.check("futex_backend", "problem", "\"nonsense\" is not a futex backend", "unset FUTEX_BACKEND, or set");
    assert!(report.works("thread"), "the trials do not depend on the variable");

    assert!(with("").json["futex_backend"].is_null());
}
