//! The reports of the answers: tables of text, `report.json` and `report.html`.

use crate::charts;
use crate::question::{Answer, Entry, Question, Series, Unit};
use anyhow::Result;
use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;
use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

type Answers = [(&'static Question, Answer)];

/// The figures of a contestant in one case. `docs/benchmarks.md` describes each field.
#[derive(Serialize)]
struct Summary {
    unit: Unit,
    p50: Option<f64>,
    p99: Option<f64>,
    least: Option<f64>,
    most: Option<f64>,
    quartiles: [Option<f64>; 2],
    ratio: Option<f64>,
    rounds: usize,
    figures: usize,
}

/// The columns of the tables.
const COLUMNS: [&str; 8] =
    ["contestant", "case", "p50", "p99", "quartiles of the rounds' p50", "ratio", "rounds", "figures"];

impl Summary {
    /// The columns of the table behind the contestant and the case.
    fn columns(&self) -> [String; 6] {
        let format = |figure: Option<f64>| figure.map_or_else(String::new, |figure| self.unit.format(figure));
        let [low, high] = self.quartiles.map(format);
        [
            format(self.p50),
            // Fewer than a hundred figures have no 99th percentile.
            format(self.p99.filter(|_| self.figures >= 100)),
            format!("{low} to {high}"),
            self.ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}")),
            self.rounds.to_string(),
            self.figures.to_string(),
        ]
    }
}

/// The report of each contestant.
fn contestants<'a>(question: &Question, answer: &'a Answer) -> Vec<(&'a str, Entry<Summary>)> {
    let contestant = |(name, entry): &'a (String, Entry<Series>)| {
        let summary = |(case, series): (&String, &Series)| {
            let summary = Summary {
                unit: question.unit,
                p50: series.p50(),
                p99: series.quantile(0.99),
                least: series.quantile(0.0),
                most: series.quantile(1.0),
                quartiles: series.quartiles(),
                ratio: question.reference.and_then(|reference| answer.ratio(name, reference, case)),
                rounds: series.rounds(),
                figures: series.len(),
            };
            (case.clone(), summary)
        };
        let cases = entry.cases.iter().map(summary).collect();
        (name.as_str(), Entry { cases, absent: entry.absent.clone() })
    };
    answer.contestants.iter().map(contestant).collect()
}

/// The question and its table.
pub(crate) fn table(question: &Question, answer: &Answer) -> String {
    let reference = question.reference.map_or_else(String::new, |name| format!(" (ratios to: {name})"));
    let mut text = format!("{}: {}{reference}\n", question.name, question.asks);
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(COLUMNS);
    for (name, Entry { cases, absent }) in contestants(question, answer) {
        for (case, summary) in cases {
            table.add_row([name.to_owned(), case].into_iter().chain(summary.columns()));
        }
        for reason in absent {
            let _ = writeln!(text, " {name} is absent: {reason}");
        }
    }
    text + &table.trim_fmt() + "\n"
}

/// One line per verdict.
pub(crate) fn verdicts(answers: &Answers) -> String {
    let mut text = String::new();
    for (question, answer) in answers {
        for verdict in (question.verdicts)(answer) {
            let _ = writeln!(text, "{:<16} {verdict}", question.name);
        }
    }
    text
}

/// Writes the files of the report.
pub(crate) fn write(answers: &Answers, directory: &Path) -> Result<()> {
    let report: BTreeMap<_, BTreeMap<_, _>> = answers
        .iter()
        .map(|(question, answer)| (question.name, contestants(question, answer).into_iter().collect()))
        .collect();
    fs::write(directory.join("report.json"), serde_json::to_string_pretty(&report)? + "\n")?;
    fs::write(directory.join("report.html"), page(answers)?)?;
    if let Some((question, answer)) = answers.iter().find(|(question, _)| question.name == "round_trip") {
        fs::write(directory.join("round_trip.svg"), charts::bars(question, answer, "multi-thread, unpinned")?)?;
    }
    Ok(())
}

/// The report for people: one file that opens without a network.
fn page(answers: &Answers) -> Result<String> {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Async futex: performance</title>\n\
         <style>body {{ font-family: sans-serif; margin: 2rem }} svg {{ display: block }}</style></head><body>\n\
         <h1>Async futex: performance</h1>\n<p>{}</p>\n<pre>{}</pre>\n",
        machine(),
        escaped(&verdicts(answers)),
    );
    for (question, answer) in answers {
        let table = escaped(&table(question, answer));
        let _ = writeln!(page, "<h2 id=\"{0}\">{0}</h2>\n<pre>{table}</pre>", question.name);
        page.extend(charts::all(question, answer)?);
    }
    Ok(page + "</body></html>\n")
}

/// What the figures were measured on.
fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let kernel = rustix::system::uname();
    let processors = thread::available_parallelism().map_or(0, usize::from);
    let (release, machine) = (kernel.release().to_string_lossy(), kernel.machine().to_string_lossy());
    format!("Linux {release}, {processors} processors, {}", model.unwrap_or(&machine))
}

/// Where the reports go: `cargo xtask bench` chooses it.
pub(crate) fn directory() -> PathBuf {
    env::var_os("FUTEX_BENCH_REPORT").map_or_else(|| PathBuf::from("target/bench"), PathBuf::from)
}
