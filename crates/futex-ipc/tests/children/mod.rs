//! Child processes: they run this test program again, with a role.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

const ROLE: &str = "FUTEX_IPC_TEST_ROLE";
const FILES: &str = "FUTEX_IPC_TEST_FILES";

/// A child process. Dropping it kills the process.
pub(crate) struct Child(std::process::Child);

impl Child {
    /// Starts a child that plays `role`. It can open `files` by [`file`].
    ///
    /// The child opens them through `/proc`. An inherited descriptor would stay open in the children of other tests.
    pub(crate) fn start<'a>(
        role: &str,
        files: &[&dyn AsRawFd],
        variables: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Self {
        let paths = files.iter().map(|file| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
        let child = Command::new(std::env::current_exe().expect("the path of this program"))
            .args(["--exact", "a_child_process", "--ignored", "--nocapture", "--quiet"])
            .env(ROLE, role)
            .env(FILES, paths.collect::<Vec<_>>().join(":"))
            .envs(variables)
            .stdout(Stdio::null())
            .spawn()
            .expect("start this program again");
        Self(child)
    }

    /// Kills the child with `SIGKILL`, and returns when it is gone.
    ///
    /// # Panics
    ///
    /// If the child has ended before, which none does without a failure.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("SIGKILL");
        let status = self.0.wait().expect("wait for the child");
        assert_eq!(status.signal(), Some(9), "a child ended by itself, with {status}: its message is above");
    }

    /// Sends `SIGKILL`.
    pub(crate) fn signal(&mut self) {
        self.0.kill().expect("SIGKILL");
    }

    /// The exit status, if the child has ended.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("wait for the child")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // These calls fail if the child has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The role of this process. `None` if it is not a child.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Opens a file that the parent gave, with an open file description of its own.
pub(crate) fn file(index: usize) -> File {
    let paths = std::env::var_os(FILES).expect("the parent's files");
    let path = paths.as_encoded_bytes().split(|&byte| byte == b':').nth(index).expect("a file");
    let path = PathBuf::from(std::str::from_utf8(path).expect("ASCII"));
    File::options().read(true).write(true).open(path).expect("open a file of the parent")
}

/// A number that the parent gave.
pub(crate) fn number(variable: impl AsRef<OsStr>) -> usize {
    let value = std::env::var(variable).expect("a variable of the parent");
    value.parse().expect("a number")
}
