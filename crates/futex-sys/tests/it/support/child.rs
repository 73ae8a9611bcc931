//! Child processes: they run this test program again, with a role.

use futex_sys::SharedMemory;
use std::env;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};

const ROLE: &str = "FUTEX_SYS_TEST_ROLE";

/// A child process. Dropping it kills the process if it still runs.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a child that plays `role`, with the descriptor of `memory` as its standard input.
    pub(crate) fn start(role: &str, memory: &SharedMemory) -> Self {
        Self::start_in(&[], role, memory)
    }

    /// [`start`](Self::start) through a wrapper: a program and its first arguments, which runs the command in the rest of its
    /// arguments.
    fn start_in(wrapper: &[&str], role: &str, memory: &SharedMemory) -> Self {
        let fd = memory.as_fd().try_clone_to_owned().expect("dup");
        Self::spawn(Self::command(wrapper, role).stdin(Stdio::from(fd)))
    }

    /// [`start`](Self::start) through `unshare` with these arguments, which may end with another wrapper. Returns the reason if
    /// `unshare` is not possible here.
    pub(crate) fn start_unshared(arguments: &[&str], role: &str, memory: &SharedMemory) -> Result<Self, String> {
        let mut reasons = Vec::new();
        // The first works for root, the second for every user if user namespaces are allowed.
        for user in [&[][..], &["--user", "--map-root-user"]] {
            let wrapper = [&["unshare"], user, arguments].concat();
            match Command::new(wrapper[0]).args(&wrapper[1..]).arg("true").output() {
                Ok(output) if output.status.success() => {
                    return Ok(Self::start_in(&wrapper, role, memory));
                }
                Ok(output) => reasons.push(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
                Err(error) => reasons.push(error.to_string()),
            }
        }
        Err(format!("`unshare {}` is not possible here: {}", arguments.join(" "), reasons.join("; ")))
    }

    /// Starts a child that plays `role` and has its own `/dev/shm`, an empty tmpfs of `bytes`. Returns the reason if that is not
    /// possible here.
    pub(crate) fn start_with_small_shm(bytes: u32, role: &str, memory: &SharedMemory) -> Result<Self, String> {
        const MOUNT: &str = r#"mount -t tmpfs -o size="$0" tmpfs /dev/shm && exec "$@""#;

        Self::start_unshared(&["--mount", "sh", "-c", MOUNT, &bytes.to_string()], role, memory)
    }

    /// [`start`](Self::start) with another standard input, which the role expects.
    pub(crate) fn start_with(role: &str, stdin: OwnedFd) -> Self {
        Self::spawn(Self::command(&[], role).stdin(Stdio::from(stdin)))
    }

    fn command(wrapper: &[&str], role: &str) -> Command {
        let program = env::current_exe().expect("this program's path");
        let mut command = match wrapper {
            [] => Command::new(program),
            [wrapper, arguments @ ..] => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(program);
                command
            }
        };
        command
            .args(["--exact", "support::child::a_child_process", "--ignored", "--nocapture", "--quiet"])
            .env(ROLE, role)
            .stdout(Stdio::null());
        command
    }

    fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().expect("start this program again"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn kill(&mut self) {
        self.kill_running();
    }

    /// Kills the child. Returns its exit status, which shows whether it had ended before.
    pub(crate) fn kill_running(&mut self) -> ExitStatus {
        self.0.kill().expect("SIGKILL");
        self.0.wait().expect("wait for the child")
    }

    pub(crate) fn end(mut self) -> ExitStatus {
        self.0.wait().expect("wait for the child")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // These calls fail if the child has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Maps the memory that the parent passed as the standard input.
fn inherited() -> SharedMemory {
    let fd = std::io::stdin().as_fd().try_clone_to_owned().expect("dup");
    SharedMemory::from_fd(fd).expect("the standard input is shared memory")
}

#[test]
#[ignore = "not a test: child processes of the tests run it"]
fn a_child_process() {
    let Ok(role) = env::var(ROLE) else { return eprintln!("this runs only in child processes, which have {ROLE} set") };
    if role == "receive-memory" {
        return crate::passing::receive_memory();
    }
    let memory = inherited();
    match role.as_str() {
        "answer" => crate::processes::answer(&memory),
        "wait" => crate::processes::wait(&memory),
        "make-memory-under-a-file-limit" => crate::limits::make_memory_under_a_file_limit(),
        "make-memory-under-a-umask" => crate::limits::make_memory_under_a_umask(),
        "receive-beyond-the-limit-of-locked-memory" => {
            crate::limits::receive_beyond_the_limit_of_locked_memory(&memory);
        }
        "identify-without-a-descriptor-left" => crate::limits::identify_without_a_descriptor_left(),
        "be-without-descriptors" => crate::auxiliary_vector::be_without_descriptors(&memory),
        "fork-within-the-first-origin" => crate::fork::fork_within_the_first_origin(),
        "fill-a-small-shm" => crate::reserved::fill_a_small_shm(),
        "reserve-in-a-sandbox" => crate::reserved::reserve_in_a_sandbox(),
        "look-for-memfds" => crate::processes::look_for_memfds(&memory),
        "publish-itself" => crate::process_ends::publish(&memory),
        "refuse-another-pid-namespace" => crate::process_ends::refuse_another_pid_namespace(&memory),
        "watch-children" => crate::process_ends::watch_children(),
        "be-without-proc" => crate::process_ends::be_without_proc(&memory),
        "be-in-a-time-namespace" => crate::process_ends::be_in_a_time_namespace(&memory),
        "hide" => crate::process_ends::hide(&memory),
        "look-for-the-hidden" => crate::process_ends::look_for_the_hidden(&memory),
        "send-where-sigpipe-ends-the-process" => crate::passing::send_where_sigpipe_ends_the_process(&memory),
        "receive-without-a-descriptor-left" => crate::passing::receive_without_a_descriptor_left(&memory),
        #[cfg(feature = "uring")]
        "hold-a-wait" => crate::processes::hold_a_wait(&memory),
        #[cfg(feature = "uring")]
        "close-in-a-sandbox" => crate::uring_close::close_in_a_sandbox(&memory),
        role => match role.split_once(' ').expect("a role and its argument") {
            ("race", how) => crate::posix_names::race(&memory, how),
            ("replace-and-die", how) => crate::names_killed::replace_and_die(how),
            ("take-turns", name) => crate::names_storm::take_turns(&memory, name),
            ("replace-on-and-on", name) => crate::names_storm::replace_on_and_on(&memory, name),
            ("change-on-and-on", name) => crate::names_storm::change_on_and_on(&memory, name),
            _ => panic!("{role:?} is not a role"),
        },
    }
}
