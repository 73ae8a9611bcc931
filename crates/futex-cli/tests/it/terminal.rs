//! What people see on a terminal.

use crate::support::{change, futex, name, page, until, word};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::spawn;

/// A child whose output is a terminal, and what it has written so far.
struct OnATerminal {
    child: Child,
    written: Arc<Mutex<String>>,
}

impl OnATerminal {
    fn start(command: &mut Command, rows: u16) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal");
        tcsetwinsize(&ours, Winsize { ws_row: rows, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).expect("a terminal");
        let path = ptsname(&ours, Vec::new()).expect("a name").into_string().expect("it is ASCII");
        let theirs: OwnedFd = File::options().write(true).open(path).expect("a terminal").into();
        let command = command.env("TERM", "xterm").stdout(theirs.try_clone().expect("a descriptor")).stderr(theirs);
        let child = command.spawn().expect("the command starts");
        command.stdout(Stdio::null()).stderr(Stdio::null()); // which closes their end in this process

        let written = Arc::new(Mutex::new(String::new()));
        let mut terminal = File::from(ours);
        spawn({
            let written = written.clone();
            move || {
                let mut bytes = [0; 4096];
                while let Ok(length) = terminal.read(&mut bytes) {
                    written.lock().expect("no panic").push_str(&String::from_utf8_lossy(&bytes[..length]));
                }
            }
        });
        Self { child, written }
    }

    /// Waits until something was written.
    #[track_caller]
    fn until(&self, condition: impl Fn(&str) -> bool) -> String {
        until(|| condition(&self.written.lock().expect("no panic")));
        self.written.lock().expect("no panic").clone()
    }
}

impl Drop for OnATerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_watch_is_a_table_that_changes_in_place() {
    let page = page();
    word(&page, 64).store(0x40, Ordering::SeqCst);
    let watch = OnATerminal::start(futex(["watch", name(&page), "0", "64"]).env_remove("NO_COLOR"), 24);
    let table = watch.until(|text| text.matches('\n').count() == 3);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines[0], "\u{1b}[1mOFFSET  VALUE   HEX  BEFORE  CHANGED\u{1b}[0m");
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["0", "0", "0x0", "-", "-"]);
    assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), ["64", "64", "0x40", "-", "-"]);

    change(&word(&page, 0), 5);
    let again = watch.until(|text| text.matches('\n').count() == 6);
    let again = again.strip_prefix(&table).expect("what was written before");
    let again = again.strip_prefix("\u{1b}[3A\u{1b}[J").expect("the cursor goes to the first line");
    let changed: Vec<_> = again.lines().nth(1).expect("a line").split_whitespace().collect();
    assert_eq!(changed[..4], ["0", "5", "0x5", "0"]);
    assert!(humantime::parse_rfc3339(changed[4]).is_ok(), "{changed:?}");
}

#[test]
fn a_table_is_not_drawn_over_what_was_said_below_it() {
    let page = page();
    let watch = OnATerminal::start(&mut futex(["watch", name(&page), "0"]), 24);
    watch.until(|text| text.matches('\n').count() == 2);
    futex_sys::SharedMemory::unlink(name(&page)).expect("the name is there");
    let before = watch.until(|text| text.contains("had the name\r\n"));
    change(&word(&page, 0), 77);
    // The number 77 alone may be in the name of the page, too.
    let text = watch.until(|text| text.matches('\n').count() == 5);
    let table = text.strip_prefix(&before).expect("what was written before");
    assert!(table.replace("\u{1b}[1m", "").starts_with("OFFSET ") && table.contains("77"), "{table:?}");
}

#[test]
fn a_watch_of_more_words_than_the_terminal_has_lines_prints_lines() {
    let page = page();
    let watch = OnATerminal::start(&mut futex(["watch", name(&page), "0", "64"]), 3);
    let text = watch.until(|text| text.matches('\n').count() == 2);
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn colours_are_left_out_if_the_user_wants_none() {
    let page = page();
    let mut command = futex(["watch", name(&page), "0"]);
    let watch = OnATerminal::start(command.env("NO_COLOR", "1"), 24);
    let text = watch.until(|text| text.matches('\n').count() == 2);
    assert!(text.starts_with("OFFSET "), "{text:?}");
}
