//! The command `futex` shows who waits on a word of shared memory, and waits, wakes and watches from a shell.
//!
//! One file per command, named as the command is; `change.rs` has those that change a word, `manual.rs` those about this
//! program. What the commands share:
//!
//! | file | what is in it |
//! |---|---|
//! | `args.rs` | the command line |
//! | `value.rs` | numbers, ranges and conditions of the command line |
//! | `object.rs` | names, paths and descriptors of shared memory, and how each is opened |
//! | `word.rs` | the word that is waited on or changed |
//! | `runtime.rs` | how a command waits, and what ends it beside the word |
//! | `screen.rs` | how `watch` shows changes |
//! | `proc.rs` | processes, what they map and have open, and which of their threads sleep on a word |
//! | `scan.rs` | the words of an object that are not 0 or have waiters |
//! | `region.rs` | regions of `futex-ipc`: their members and objects |
//! | `about.rs` | what is said about objects and processes |
//! | `descriptors.rs` | whether descriptors are left |
//! | `failure.rs` | how a command ends when it does not succeed |
//! | `output.rs` | text for people, and JSON |

mod about;
mod args;
mod change;
mod create;
mod descriptors;
mod doctor;
mod failure;
mod get;
mod ls;
mod manual;
mod object;
mod output;
mod proc;
mod region;
mod rm;
mod runtime;
mod scan;
mod screen;
mod show;
mod value;
mod wait;
mod watch;
mod word;

use crate::args::{Args, Command};
use crate::failure::Failure;
use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match doctor::peer::asked_for() {
        Some(peer) => doctor::peer::run(&peer),
        None => run(Args::parse().command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Doctor(args) => doctor::run(args),
        Command::Ls(args) => ls::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Wait(args) => wait::run(&args),
        Command::Wake(args) => change::wake(&args),
        Command::Set(args) => change::set(&args),
        Command::Add(args) => change::add(&args),
        Command::Cas(args) => change::cas(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Create(args) => create::run(&args),
        Command::Rm(args) => rm::run(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
    }
}
