//! The command line, and what becomes of the output.

use crate::support::{ended, futex, name, page, run, word};
use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

#[test]
fn a_wrong_command_line_has_its_own_status_and_changes_nothing() {
    let page = page();
    let object = name(&page);
    let wrong: [&[&str]; 16] = [
        &[],
        &["no-command"],
        &["set"],
        &["set", object, "0"],
        &["set", object, "2", "1"],
        &["set", object, "0", "4294967296"],
        &["set", object, "0", "1", "--wake", "some"],
        &["set", object, "0", "1", "2"],
        &["wait", object, "0"],
        &["wait", object, "0", "0", "--until", "==1"],
        &["wait", object, "0", "--until", "1"],
        &["wait", object, "0", "0", "--timeout", "5"],
        &["watch", object],
        &["create", object],
        &["create", object, "4T"],
        &["completions", "cmd.exe"],
    ];
    for arguments in wrong {
        let ended = run(futex([]).args(arguments));
        assert_eq!((ended.status, &*ended.stdout), (Some(2), ""), "{arguments:?}");
        assert!(ended.stderr.contains("Usage: futex") || ended.stderr.contains("--help"), "{}", ended.stderr);
    }
    assert_eq!(word(&page, 0).load(Ordering::SeqCst), 0);
}

#[test]
fn help_is_on_standard_output() {
    for arguments in [["--help", "--help"], ["wait", "--help"], ["watch", "-h"]] {
        let ended = run(&mut futex(arguments));
        assert_eq!((ended.status, &*ended.stderr), (Some(0), ""));
        assert!(ended.stdout.contains("Usage: futex"), "{}", ended.stdout);
    }
    assert_eq!(run(&mut futex(["--version"])), ended(0, concat!("futex ", env!("CARGO_PKG_VERSION"), "\n"), ""));
}

#[test]
fn a_negative_number_and_an_impossible_condition_are_refused_in_plain_words() {
    // The advice was to write `-- -1`, which can't work, and the condition waited for ever.
    let page = page();
    let object = name(&page);
    let wrong: [(&[&str], &str); 11] = [
        (&["show", object, "--max", "-1"], "“-1” is not a number"),
        (&["show", object, "--limit", "-1s"], "“-1s” is not a time"),
        (&["show", object, "--max", "x"], "“x” is not a number"),
        (&["set", object, "0", "1", "--wake", "-1"], "“-1” is not a number"),
        (&["wake", object, "0", "-1"], "“-1” is not a number"),
        (&["create", "futex-cli-no-such-object", "-1"], "“-1” is not a number"),
        (&["wait", object, "-4", "0"], "“-4” is not a number"),
        (&["wait", object, "0", "--until", "<0"], "no value meets <0"),
        (&["wait", object, "0", "--until", ">4294967295"], "no value meets >4294967295"),
        (&["wait", object, "0", "--until", "&0"], "no value meets &0"),
        (&["wait", object, "0"], "--until CONDITION"),
    ];
    for (arguments, part) in wrong {
        let ended = run(futex([]).args(arguments));
        assert_eq!((ended.status, &*ended.stdout), (Some(2), ""), "{arguments:?}");
        assert!(ended.stderr.contains(part), "{arguments:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("tip:"), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn completions_and_manual_pages_have_each_command() {
    let commands = ["doctor", "ls", "show", "get", "wait", "wake", "set", "add", "cas", "watch", "create", "rm"];
    for arguments in [&["completions", "bash"][..], &["completions", "zsh"], &["completions", "fish"], &["man"]] {
        let ended = run(futex([]).args(arguments));
        assert_eq!((ended.status, &*ended.stderr), (Some(0), ""));
        for command in commands {
            assert!(ended.stdout.contains(command), "{arguments:?} have no {command}");
        }
    }
    for command in commands {
        let ended = run(&mut futex(["man", command]));
        assert_eq!((ended.status, &*ended.stderr), (Some(0), ""));
        assert!(ended.stdout.contains(&format!(".TH futex-{command} 1")), "{}", ended.stdout);
    }
    assert_eq!(run(&mut futex(["man", "cp"])), ended(2, "", "futex: there is no command cp: see `futex --help`\n"));
}

#[test]
fn the_completions_for_bash_are_a_script_that_bash_takes() {
    let script = run(&mut futex(["completions", "bash"])).stdout;
    match Command::new("bash").args(["-n", "-c", &script]).stdin(Stdio::null()).output() {
        Ok(output) => assert!(output.status.success() && output.stderr.is_empty(), "{output:?}"),
        Err(error) => crate::support::skip(&format!("there is no bash: {error}")),
    }
}

#[test]
fn a_reader_that_has_gone_is_not_an_error() {
    let page = page();
    let commands: [&[&str]; 6] = [
        &["wait", name(&page), "0", "1"],
        &["wake", name(&page), "0"],
        &["watch", name(&page), "0"],
        &["watch", "--json", name(&page), "0"],
        &["man"],
        &["completions", "zsh"],
    ];
    for arguments in commands {
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        drop(reader);
        let output = futex([]).args(arguments).stdout(writer).stderr(Stdio::piped()).output().expect("it starts");
        assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{arguments:?}");
    }
}

#[test]
fn output_that_can_t_be_written_is_an_error() {
    let page = page();
    for arguments in [&["set", name(&page), "0", "5"][..], &["man"], &["completions", "bash"]] {
        let full = File::options().write(true).open("/dev/full").expect("/dev/full");
        let output = futex([]).args(arguments).stdout(full).stderr(Stdio::piped()).output().expect("it starts");
        let sentence = "futex: cannot write to standard output: No space left on device (os error 28)\n";
        assert_eq!((output.status.code(), &*output.stderr), (Some(1), sentence.as_bytes()), "{arguments:?}");
    }
    // The change was made before.
    assert_eq!(word(&page, 0).load(Ordering::SeqCst), 5);
}

#[test]
fn an_error_that_nobody_can_read_is_still_an_error() {
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    drop(reader);
    let status = futex(["set", "futex-cli-no-such-object", "0", "1"]).stderr(writer).status().expect("it starts");
    assert_eq!(status.code(), Some(1));
}
