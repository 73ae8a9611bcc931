//! The command line.

use crate::object::Object;
use crate::value::{self, Condition, Count, Length, Number, Offset, Range};
use clap::{Parser, Subcommand};
use std::time::Duration;

/// Looks inside shared memory: who waits on a word, and why nobody wakes it. Also waits, wakes and watches from a shell.
#[derive(Debug, Parser)]
#[command(name = "futex", version, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
OBJECT is one of
  jobs, /jobs         a POSIX name, as for shm_open: an object in /dev/shm
  ./jobs, /srv/jobs   a path: anything with a slash that is not the first character
  1234:5              descriptor 5 of process 1234, as `futex ls` prints it
OFFSET is a multiple of 4, in bytes. Numbers are decimal, or hexadecimal as in 0x40. A word is an
unsigned number of 32 bits in the byte order of the machine.

Exit status: 0 done, 1 an error, 2 a wrong command line, 3 `cas` found another value, 124 `wait`
timed out, 128 and the number of the signal that ended `wait` or `watch`.

FUTEX_BACKEND=uring, waitv or thread chooses how `wait` and `watch` wait.

`futex COMMAND --help` has examples. First steps:
  futex doctor                          do waits work here?
  futex create jobs 4K                  makes an object
  futex wait jobs 0 --until '!=0' &     waits,
  futex set jobs 0 1                    and wakes
  futex rm jobs";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Doctor(Doctor),
    Ls(Ls),
    Show(Show),
    Get(Get),
    Wait(Wait),
    Wake(Wake),
    Set(Set),
    Add(Add),
    Cas(Cas),
    Watch(Watch),
    Create(Create),
    Rm(Rm),
    Completions(Completions),
    Man(Man),
}

/// Says which backend works here, why the better ones do not, and what to do about it
///
/// Then lets two processes wait for each other on each backend, and prints the time of a round trip. Exits with 0 if waits
/// work.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Lists shared objects, and the processes that map them
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// Also count the words that have waiters
    #[arg(long)]
    pub(crate) waiters: bool,
    /// List everything that processes map shared: also files on disks, memory that no process may write, shared anonymous
    /// memory, and that of System V
    #[arg(long)]
    pub(crate) all: bool,
    /// How long to count waiters, in all
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = value::time, allow_hyphen_values = true)]
    pub(crate) limit: Duration,
    /// Print one JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

/// Shows words that are not 0 or have waiters, and who the waiters are
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// A POSIX name, a path, or PID:FD
    pub(crate) object: Object,
    /// One offset, or START..END in bytes, where either may be left out
    #[arg(allow_negative_numbers = true)]
    pub(crate) range: Option<Range>,
    /// How many words to show; words on which threads are seen to sleep are shown in addition
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value::size, allow_negative_numbers = true)]
    pub(crate) max: usize,
    /// How long to count waiters
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = value::time, allow_hyphen_values = true)]
    pub(crate) limit: Duration,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints the values that words have, one per line
///
/// Permission to read the object is enough. The command is not a waiter, and no page is allocated.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  holder=$(futex get jobs 0)")]
pub(crate) struct Get {
    /// A POSIX name, a path, or PID:FD
    pub(crate) object: Object,
    /// The places of the words, in bytes
    #[arg(required = true, value_name = "OFFSET", allow_negative_numbers = true)]
    pub(crate) offsets: Vec<Offset>,
}

/// A word: its object, and where it lies in that.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// A POSIX name, a path, or PID:FD
    pub(crate) object: Object,
    /// The place of the word, in bytes
    #[arg(allow_negative_numbers = true)]
    pub(crate) offset: Offset,
}

/// Waits until a word changes or meets a condition, and prints its value
///
/// With VALUE it waits once: until a wake, or not at all if the word has another value. Rarely, it returns without either. With
/// --until it returns when the condition is met, and not before.
#[derive(Debug, clap::Args)]
#[command(after_help = WAIT_HELP, override_usage = WAIT_USAGE)]
pub(crate) struct Wait {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Wait while the word has this value
    #[arg(allow_negative_numbers = true, required_unless_present = "until", conflicts_with = "until")]
    pub(crate) value: Option<Number>,
    /// Wait until the word meets this: ==N, !=N, <N, <=N, >N, >=N, or &N (one of the bits of N is set)
    #[arg(long, value_name = "CONDITION")]
    pub(crate) until: Option<Condition>,
    /// Give up after this time, with status 124: 5s, 100ms, 1m 30s
    #[arg(long, value_name = "TIME", value_parser = value::time, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
}

const WAIT_USAGE: &str = "\
futex wait OBJECT OFFSET VALUE [--timeout TIME]
       futex wait OBJECT OFFSET --until CONDITION [--timeout TIME]";

const WAIT_HELP: &str = "\
Examples:
  futex wait jobs 0 --until '!=0'               until there is a job
  futex wait jobs 64 7 --timeout 5s             while the word at 64 is 7, for 5 seconds
  value=$(futex wait 1234:5 0 --until '>=10')   in memory that has no name";

/// Wakes waiters of a word, and prints how many
///
/// A waiter that finds its word unchanged may wait again. To end a wait, change the word, and then wake: `set`, `add` and `cas` do both.
#[derive(Debug, clap::Args)]
pub(crate) struct Wake {
    #[command(flatten)]
    pub(crate) place: Place,
    /// How many: a number, or all
    #[arg(default_value = "1", allow_negative_numbers = true)]
    pub(crate) n: Count,
}

/// Stores a value in a word, wakes its waiters, and prints how many
#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The value to store; -1 is the largest one
    #[arg(allow_negative_numbers = true)]
    pub(crate) value: Number,
    /// How many to wake: a number, or all
    #[arg(long, value_name = "N", default_value = "all", allow_negative_numbers = true)]
    pub(crate) wake: Count,
}

/// Adds to a word, wakes its waiters, and prints how many
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    #[command(flatten)]
    pub(crate) place: Place,
    /// May be negative; the sum wraps around at 2^32
    #[arg(allow_negative_numbers = true)]
    pub(crate) delta: Number,
    /// How many to wake: a number, or all
    #[arg(long, value_name = "N", default_value = "all", allow_negative_numbers = true)]
    pub(crate) wake: Count,
}

/// Stores a value in a word that has the expected one, wakes its waiters, and prints how many
///
/// If the word has another value, nothing is changed, that value goes to standard error, and the status is 3.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  futex cas jobs 0 0 1 && echo \"the lock is mine\"")]
pub(crate) struct Cas {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The value that the word must have
    #[arg(allow_negative_numbers = true)]
    pub(crate) expected: Number,
    /// The value to store
    #[arg(allow_negative_numbers = true)]
    pub(crate) new: Number,
    /// How many to wake: a number, or all
    #[arg(long, value_name = "N", default_value = "all", allow_negative_numbers = true)]
    pub(crate) wake: Count,
}

/// Prints a line for each change of words, with its time, until it is interrupted
///
/// First the values that the words have. On a terminal, a table that changes in place.
///
/// It sees what is woken: a change that nobody wakes for is seen at the next wake, and a value that is replaced before it was
/// read is not seen. It is a waiter like others, and counted by wakers. It hands on each wake that it gets.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  futex watch jobs 0 64
  futex watch --json jobs 0 | jq .new")]
pub(crate) struct Watch {
    /// A POSIX name, a path, or PID:FD
    pub(crate) object: Object,
    /// The places of the words, in bytes
    #[arg(required = true, value_name = "OFFSET", allow_negative_numbers = true)]
    pub(crate) offsets: Vec<Offset>,
    /// Print one JSON object per change
    #[arg(long)]
    pub(crate) json: bool,
}

/// Creates an object of this many bytes, all zero, with all its memory
///
/// It is for this user alone (mode 0600), and stays until it is removed, or the machine ends.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// A POSIX name or a path
    pub(crate) object: Object,
    /// Bytes; K, M and G may follow, for multiples of 1024
    #[arg(allow_negative_numbers = true)]
    pub(crate) length: Length,
}

/// Removes the name of an object, and says which processes still map it
///
/// Those keep the object until they end.
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// A POSIX name or a path
    pub(crate) object: Object,
}

/// Prints a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  futex completions bash > ~/.local/share/bash-completion/completions/futex")]
pub(crate) struct Completions {
    pub(crate) shell: clap_complete::Shell,
}

/// Prints the manual page of a command, or of `futex`
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  futex man wait | man -l -")]
pub(crate) struct Man {
    /// The command; without it, the page of `futex`
    pub(crate) command: Option<String>,
}
