//! What the program does, from its arguments to its exit code.

use crate::answer::Answer;
use crate::directory::directory;
use crate::options::{USAGE, Wish, parse};
use crate::question::{Effort, Question};
use crate::{charts, counts, json, page, questions, rounds, table};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::fs;
use std::io;
use std::process::ExitCode;
use std::time::Instant;

/// Runs the lab with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    let done = match parse(lexopt::Parser::from_env()) {
        Ok(wish) => carry_out(wish),
        Err(error) => {
            eprint!("futex-bench: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("futex-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(wish: Wish) -> io::Result<ExitCode> {
    match wish {
        Wish::Help => print!("{USAGE}"),
        Wish::List => questions::ALL.iter().for_each(|question| println!("{:<16} {}", question.name, question.asks)),
        Wish::Run { effort, only } => run(effort, &only)?,
        Wish::Counts { bless } => return counts::compare(bless),
        Wish::Peer(part) => part.play()?,
        Wish::Scene(scene, times) => scene.play(times)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn run(effort: Effort, only: &[String]) -> io::Result<()> {
    // A million waits need a thousand rings, and each is a descriptor.
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: files.maximum, ..files })?;

    let directory = directory();
    fs::create_dir_all(&directory)?;
    let mut answers = Vec::new();
    for question in asked(only) {
        let start = Instant::now();
        let answer = rounds::ask(question, effort);
        println!("{}  asked for {:.0} s", table::of(question, &answer), start.elapsed().as_secs_f64());
        answers.push((question, answer));
    }
    println!("\n{}", all_verdicts(&answers));

    fs::write(directory.join("report.json"), json::of(&answers))?;
    fs::write(directory.join("report.html"), page::of(&answers)?)?;
    if let Some((question, answer)) = answers.iter().find(|(question, _)| question.name == "round_trip") {
        fs::write(directory.join("round_trip.svg"), charts::of(question, answer)?.remove(0))?;
    }
    println!("The report is {}", directory.join("report.html").display());
    Ok(())
}

fn asked(only: &[String]) -> impl Iterator<Item = &'static Question> {
    questions::ALL.into_iter().filter(move |question| only.is_empty() || only.iter().any(|name| name == question.name))
}

fn all_verdicts(answers: &[(&Question, Answer)]) -> String {
    let lines = answers.iter().flat_map(|(question, answer)| {
        let name = question.name;
        (question.verdicts)(answer).into_iter().map(move |verdict| format!("{name:<16} {verdict}\n"))
    });
    lines.collect()
}
