//! What `doctor` says, for people and for programs.

use anstream::AutoStream;
use clap::builder::styling::{AnsiColor, Style};
use rustix::termios::tcgetwinsize;
use serde::Serialize;
use std::io::{self, Write};
use std::time::Duration;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Waits work with the backend that a program takes here.
    pub(super) works: bool,
    /// The backend that a program takes here.
    pub(super) chosen: Option<String>,
    /// The value of `FUTEX_BACKEND`, unless that is empty.
    #[serde(rename = "futex_backend")]
    pub(super) variable: Option<String>,
    pub(super) backends: Vec<Trial>,
    pub(super) findings: Vec<Finding>,
}

/// What two processes found out about a backend.
#[derive(Debug, Default, Serialize)]
pub(super) struct Trial {
    pub(super) backend: &'static str,
    pub(super) works: bool,
    pub(super) round_trips: Option<u32>,
    /// The median.
    pub(super) round_trip_ns: Option<u64>,
    /// Why it does not work.
    pub(super) reason: Option<String>,
    pub(super) advice: Option<&'static str>,
    /// The system call that was refused.
    #[serde(skip)]
    pub(super) refused: Option<&'static str>,
    /// The sandbox kills a process that tries it.
    #[serde(skip)]
    pub(super) kills: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) topic: &'static str,
    pub(super) level: Level,
    pub(super) found: String,
    /// What to do about it.
    pub(super) advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    Ok,
    /// It is good to know, and harms nobody.
    Note,
    /// Something is going to fail, or to be slow, under conditions that are named.
    Warning,
    /// Something fails now.
    Problem,
}

impl Finding {
    fn new(topic: &'static str, level: Level, found: impl Into<String>) -> Self {
        Self { topic, level, found: found.into(), advice: None }
    }

    pub(super) fn ok(topic: &'static str, found: impl Into<String>) -> Self {
        Self::new(topic, Level::Ok, found)
    }

    pub(super) fn note(topic: &'static str, found: impl Into<String>) -> Self {
        Self::new(topic, Level::Note, found)
    }

    pub(super) fn warning(topic: &'static str, found: impl Into<String>) -> Self {
        Self::new(topic, Level::Warning, found)
    }

    pub(super) fn problem(topic: &'static str, found: impl Into<String>) -> Self {
        Self::new(topic, Level::Problem, found)
    }

    pub(super) fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Ok => AnsiColor::Green.on_default(),
            Self::Note => AnsiColor::Cyan.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Problem => AnsiColor::Red.on_default().bold(),
        }
    }
}

/// Columns of the level, and of the topic.
const LEVEL: usize = 9;
const TOPIC: usize = 16;

impl Report {
    /// Prints the text for people. The worst findings come last, next to the prompt.
    pub(super) fn print(&self) -> io::Result<()> {
        let mut out = Printer { out: anstream::stdout(), width: width() };
        let mut findings: Vec<_> = self.findings.iter().collect();
        findings.sort_by_key(|finding| finding.level);
        for finding in findings {
            let level = finding.level;
            out.line(level.style(), level.as_str(), finding.topic, &finding.found, finding.advice.as_deref())?;
        }
        out.heading("Two processes that wait for each other")?;
        for trial in &self.backends {
            let (level, state) = match (trial.works, self.chosen.as_deref() == Some(trial.backend)) {
                (true, _) => (Level::Ok, "works"),
                (false, true) => (Level::Problem, "fails"),
                (false, false) => (Level::Note, "fails"),
            };
            out.line(level.style(), state, trial.backend, &trial.sentence(), trial.advice)?;
        }
        out.heading(if self.works { "Waits work here." } else { "Waits do not work here." })
    }
}

impl Trial {
    fn sentence(&self) -> String {
        match (&self.reason, self.round_trip_ns, self.round_trips) {
            (None, Some(ns), Some(n)) => {
                format!("{} µs per round trip (median of {n})", Duration::from_nanos(ns).as_micros())
            }
            (reason, ..) => reason.clone().unwrap_or_default(),
        }
    }
}

/// Columns of the terminal; as many as there are if the output is none.
fn width() -> usize {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col).min(120),
        _ => usize::MAX,
    }
}

struct Printer {
    out: AutoStream<io::Stdout>,
    width: usize,
}

impl Printer {
    fn line(&mut self, style: Style, mark: &str, topic: &str, text: &str, advice: Option<&str>) -> io::Result<()> {
        let mark = format!("{mark:LEVEL$}");
        let room = self.width.saturating_sub(LEVEL + TOPIC).max(20);
        let mut lines = fill(text, room).into_iter();
        writeln!(self.out, "{style}{mark}{style:#}{topic:TOPIC$}{}", lines.next().unwrap_or_default())?;
        let advice = advice.map(|advice| fill(advice, room - 2)).unwrap_or_default();
        let advice = advice.iter().zip(std::iter::once("→ ").chain(std::iter::repeat("  ")));
        for line in lines.chain(advice.map(|(line, arrow)| format!("{arrow}{line}"))) {
            writeln!(self.out, "{:indent$}{line}", "", indent = LEVEL + TOPIC)?;
        }
        Ok(())
    }

    fn heading(&mut self, text: &str) -> io::Result<()> {
        let bold = Style::new().bold();
        writeln!(self.out, "\n{bold}{text}{bold:#}")
    }
}

/// Breaks a text into lines of at most `width` letters. A word that is longer has a line of its own.
fn fill(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let letters = word.chars().count();
        if used > 0 && letters.saturating_add(used + 1) > width {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += letters;
        }
    }
    lines
}

/// Bytes in the largest unit that fits.
pub(super) fn bytes(n: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|&(unit, _)| n >= unit) {
        Some((unit, name)) if n % unit == 0 => format!("{} {name}", n / unit),
        Some((unit, name)) => format!("{}.{} {name}", n / unit, n % unit * 10 / unit),
        None => format!("{n} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_between_words() {
        assert_eq!(fill("one two three", 7), ["one two", "three"]);
        assert_eq!(fill("one seventeen", 5), ["one", "seventeen"]);
        assert_eq!(fill("one two", usize::MAX), ["one two"]);
        assert_eq!(fill("", 5), [""]);
    }

    #[test]
    fn bytes_have_the_largest_unit_that_fits() {
        let texts = [0, 1023, 1024, 8 << 20, (1 << 30) + (1 << 29)].map(bytes);
        assert_eq!(texts, ["0 bytes", "1023 bytes", "1 KiB", "8 MiB", "1.5 GiB"]);
    }
}
