//! Watches of directories, with which a program notices that a name appears.

use super::report::Finding;
use super::system::number;
use rustix::fs::inotify::{CreateFlags, init};
use rustix::io::Errno;

pub(super) fn instances() -> Finding {
    const TOPIC: &str = "inotify";
    let limit = |name| {
        number(format!("/proc/sys/fs/inotify/{name}"))
            .map_or_else(|| "an unknown number of".to_owned(), |n| n.to_string())
    };
    let found = format!(
        "a user may have {} inotify instances, in all containers together, and {} watches",
        limit("max_user_instances"),
        limit("max_user_watches")
    );
    match init(CreateFlags::CLOEXEC) {
        Ok(_) => Finding::ok(TOPIC, format!("{found}; one more can be had")),
        Err(errno @ Errno::MFILE) => Finding::warning(TOPIC, format!("{found}; no further one can be had: {errno}"))
            .advise("run `sysctl fs.inotify.max_user_instances=512` as root, unless descriptors have run out"),
        Err(errno) => Finding::warning(TOPIC, format!("{found}; none can be had: {errno}"))
            .advise("allow the system call `inotify_init1` in the sandbox"),
    }
}
