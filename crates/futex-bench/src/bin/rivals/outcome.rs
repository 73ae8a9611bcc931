//! What was observed.

use anyhow::{Result, bail};
use serde::Serialize;
use std::time::{Duration, Instant};

/// The outcome of one contestant in one situation.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) kind: Kind,
    /// A sentence with the details.
    pub(crate) text: String,
}

/// The outcome in one word, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The next process holds the lock.
    Passed,
    /// The next process waited until it was given up.
    Waits,
    /// The value is the one of an update that was completed.
    Whole,
    /// The value is half of one update and half of another.
    Torn,
    /// All processes worked as without the garbage.
    Unharmed,
    /// Processes waited, crashed, got errors, or held the lock together.
    Harmed,
    /// Nothing is left.
    Clean,
    /// Files are left.
    Left,
    /// The situation could not be made, or a call failed.
    Failed,
}

impl Kind {
    pub(crate) fn of(self, text: impl Into<String>) -> Outcome {
        Outcome { kind: self, text: text.into() }
    }
}

/// A time span as the report shows it.
pub(crate) fn span(from: Instant, to: Instant) -> String {
    format!("{:.2} ms", to.saturating_duration_since(from).as_secs_f64() * 1e3)
}

/// The patience as the report shows it.
pub(crate) fn seconds(patience: Duration) -> String {
    format!("{} s", patience.as_secs_f64())
}

/// What a contestant reports with the lock, in words. `line` is the answer to `hold`.
pub(crate) fn report(line: &str) -> Result<String> {
    match line.strip_prefix("held").map(str::trim) {
        Some("") => Ok("without a report".into()),
        Some(report) => Ok(format!("with the report {report}")),
        None => bail!("{line}"),
    }
}
