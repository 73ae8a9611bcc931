//! The performance lab: what the library costs, next to everything that one would use instead.
//!
//! `cargo xtask bench` runs it, and `docs/benchmarks.md` explains how to read its reports.
//!
//! | | |
//! |---|---|
//! | `questions/` | one file per question: its contestants and its targets |
//! | `links/`, `pipes/` | ways in which two sides wake each other, and ways to send messages |
//! | `locks/`, `membership.rs` | locks between processes, and members of regions |
//! | `question/` | what a question, a contestant and an answer are, and whether a target is met |
//! | `rounds.rs` | contestants take turns, each on a thread of its own |
//! | `report.rs`, `charts.rs` | the tables, the files and the charts |
//! | `peer.rs` | this program again, as the other process |
//! | `counts.rs`, `scenes.rs` | instruction counts, without a clock |

#[cfg(not(target_os = "linux"))]
compile_error!("futex-bench measures Linux's futexes");

mod allocator;
mod batch;
mod charts;
mod counts;
mod hull;
mod links;
mod locks;
mod membership;
mod ours;
mod peer;
mod pipes;
mod population;
mod question;
mod questions;
mod register;
mod report;
mod robust_mutex;
mod rounds;
mod scenes;

use crate::peer::Part;
use crate::scenes::Scene;
use anyhow::Result;
use clap::Parser;
use clap::builder::PossibleValuesParser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::process::ExitCode;
use std::time::Instant;

/// Measures the library beside everything that one would use instead.
///
/// docs/benchmarks.md explains the questions and the reports.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask bench")]
struct Arguments {
    /// Takes less than two minutes in all, for a first look, instead of less than ten
    #[arg(long, conflicts_with = "counts")]
    quick: bool,
    /// Asks this question; may be given several times [default: all questions]
    #[arg(long, value_name = "NAME", conflicts_with = "counts", hide_possible_values = true,
        value_parser = PossibleValuesParser::new(questions::ALL.map(|question| question.name)))]
    only: Vec<String>,
    /// Lists the questions
    #[arg(long, exclusive = true)]
    list: bool,
    /// Counts instructions with valgrind, and compares them with counts.json
    #[arg(long)]
    counts: bool,
    /// Writes what was counted to counts.json
    #[arg(long, requires = "counts")]
    bless: bool,
    /// Plays a part as the other process
    #[arg(long, hide = true, value_parser = |json: &str| serde_json::from_str::<Part>(json))]
    peer: Option<Part>,
    /// Runs what is counted
    #[arg(long, hide = true, requires = "times")]
    scene: Option<Scene>,
    /// How often it runs
    #[arg(hide = true, requires = "scene")]
    times: Option<u32>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(part) = arguments.peer {
        part.play()?;
    } else if let (Some(scene), Some(times)) = (arguments.scene, arguments.times) {
        println!("{}", scene.play(times)?);
    } else if arguments.list {
        questions::ALL.iter().for_each(|question| println!("{:<16} {}", question.name, question.asks));
    } else if arguments.counts {
        return counts::compare(arguments.bless);
    } else {
        ask(arguments.quick, &arguments.only)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn ask(quick: bool, only: &[String]) -> Result<()> {
    // A million waits need a thousand rings, and each is a descriptor.
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files })?;

    let directory = report::directory();
    fs::create_dir_all(&directory)?;
    let mut answers = Vec::new();
    let wanted = |name| only.is_empty() || only.iter().any(|only| only == name);
    for question in questions::ALL.into_iter().filter(|question| wanted(question.name)) {
        let start = Instant::now();
        let answer = rounds::ask(question, quick);
        println!("\n{}  asked for {:.0} s", report::table(question, &answer), start.elapsed().as_secs_f64());
        answers.push((question, answer));
    }
    println!("\n{}", report::verdicts(&answers));
    report::write(&answers, &directory)?;
    println!("The report is {}", directory.join("report.html").display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_contradict_each_other_are_refused() {
        let parse = |arguments: &str| Arguments::try_parse_from(format!("bench {arguments}").split_whitespace());
        let quick = parse("--quick --only=arm --only pipe").unwrap();
        assert_eq!((quick.quick, quick.only), (true, vec!["arm".to_owned(), "pipe".to_owned()]));
        assert!(parse("--counts --bless").unwrap().bless);
        for wrong in ["--only=speed", "--bless", "--counts --quick", "--counts --only arm", "--scene core", "--fast"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
