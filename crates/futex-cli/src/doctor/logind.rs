//! `RemoveIPC` of systemd-logind, which removes the names of a user who has logged out.

use super::report::Finding;
use rustix::process::getuid;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Largest number of a system user, unless systemd was built otherwise.
const SYSTEM_USERS: u32 = 999;

/// The first one goes before the others.
const DIRECTORIES: [&str; 4] = ["etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd"];

pub(super) fn remove_ipc() -> Finding {
    const TOPIC: &str = "remove_ipc";
    if !runs(Path::new("/"), has_process) {
        return Finding::ok(TOPIC, "logind does not run here, so names stay when a user logs out");
    }
    if !is_on(Path::new("/")) {
        return Finding::ok(TOPIC, "logind has RemoveIPC=no, so names stay when a user logs out");
    }
    let user = getuid().as_raw();
    if user <= SYSTEM_USERS {
        return Finding::ok(
            TOPIC,
            format!(
                "logind removes the names of users who log out (RemoveIPC), but not of system users, and {user} is one"
            ),
        );
    }
    Finding::warning(
        TOPIC,
        format!("logind removes the names of user {user} when the last session ends (RemoveIPC=yes)"),
    )
    .advise(
        "write `[Login]` and `RemoveIPC=no` to /etc/systemd/logind.conf.d/shared-memory.conf and restart systemd-logind, or run \
         `loginctl enable-linger USER`, or run the service as a system user",
    )
}

/// libsystemd asks only for the directory of seats, which the image of a container can have although nothing runs.
fn runs(root: &Path, has_process: impl FnOnce() -> bool) -> bool {
    root.join("run/systemd/seats").exists() && (root.join("run/systemd/system").exists() || has_process())
}

/// True if a process has the name of logind. Systems without systemd have elogind.
fn has_process() -> bool {
    let processes = procfs::process::all_processes().into_iter().flatten().flatten();
    let mut names = processes.filter_map(|process| Some(process.stat().ok()?.comm));
    names.any(|name| matches!(&*name, "systemd-logind" | "elogind" | "elogind-daemon"))
}

/// What the configuration says, as `logind.conf(5)` reads it.
fn is_on(root: &Path) -> bool {
    let directories = DIRECTORIES.map(|directory| root.join(directory));
    let main = directories.iter().map(|directory| directory.join("logind.conf")).find(|file| file.exists());
    // One in an earlier directory takes the place of those with the same name.
    let mut pieces = BTreeMap::new();
    for directory in directories.iter().rev() {
        let entries = fs::read_dir(directory.join("logind.conf.d")).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "conf"));
        pieces.extend(files.filter_map(|path| Some((path.file_name()?.to_owned(), path))));
    }
    let files: Vec<PathBuf> = main.into_iter().chain(pieces.into_values()).collect();
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    texts.filter_map(|text| setting(&text)).next_back().unwrap_or(true)
}

/// The last value in a file.
fn setting(text: &str) -> Option<bool> {
    let mut section = "";
    let mut value = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if let Some(("RemoveIPC", new)) = line.split_once('=').map(|(key, new)| (key.trim(), new.trim())) {
            if section == "[Login]" {
                // Like systemd, ignores what is not a truth value.
                value = truth(new).or(value);
            }
        }
    }
    value
}

fn truth(text: &str) -> Option<bool> {
    match &*text.to_ascii_lowercase() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const NO: &str = "[Login]\nRemoveIPC=no\n";
    const YES: &str = "[Login]\nRemoveIPC=yes\n";

    #[test]
    fn logind_runs_if_its_directory_is_there_and_a_system_or_a_process() {
        let seats = root(&[("run/systemd/seats/seat0", "")]);
        assert!(!runs(seats.path(), || false), "as in an image that was made from a running system");
        assert!(runs(seats.path(), || true));
        assert!(runs(root(&[("run/systemd/seats/seat0", ""), ("run/systemd/system/x", "")]).path(), || false));
        assert!(!runs(root(&[("run/systemd/system/x", "")]).path(), || true));
    }

    #[test]
    fn names_are_removed_unless_the_configuration_says_no() {
        assert!(is_on(root(&[]).path()));
        assert!(is_on(root(&[("etc/systemd/logind.conf", "[Login]\n#RemoveIPC=no\n")]).path()));
        assert!(is_on(root(&[("etc/systemd/logind.conf", "[Other]\nRemoveIPC=no\n")]).path()));
        assert!(is_on(root(&[("etc/systemd/logind.conf", "[Login]\nRemoveIPC=perhaps\n")]).path()));
        assert!(!is_on(root(&[("etc/systemd/logind.conf", "[Login]\n RemoveIPC = Off \n")]).path()));
        assert!(!is_on(root(&[("usr/lib/systemd/logind.conf", NO)]).path()));
    }

    #[test]
    fn the_first_main_file_is_read_and_no_other() {
        let files = [("etc/systemd/logind.conf", "[Login]\n"), ("usr/lib/systemd/logind.conf", NO)];
        assert!(is_on(root(&files).path()));
    }

    #[test]
    fn pieces_go_before_the_main_file_in_the_order_of_their_names() {
        let main = ("etc/systemd/logind.conf", YES);
        let early = ("etc/systemd/logind.conf.d/10-no.conf", NO);
        let late = ("usr/lib/systemd/logind.conf.d/20-yes.conf", YES);
        assert!(!is_on(root(&[main, early]).path()));
        assert!(is_on(root(&[main, early, late]).path()));
        // In another directory, this one takes the place of the late one.
        assert!(!is_on(root(&[main, early, late, ("etc/systemd/logind.conf.d/20-yes.conf", "")]).path()));
        assert!(is_on(root(&[main, ("etc/systemd/logind.conf.d/10-no.txt", NO)]).path()));
    }
}
