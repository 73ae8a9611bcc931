//! The report: for people a table per situation, for programs JSON.

use crate::outcome::Outcome;
use crate::situations::Situation;
use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What was observed of one contestant.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// What a process of it reports, or nothing if there was none.
    pub(crate) version: Option<String>,
    /// The reason if there was none.
    pub(crate) absent: Option<String>,
    /// By the names of the situations.
    pub(crate) outcomes: BTreeMap<&'static str, Outcome>,
}

#[derive(Serialize)]
struct Report<'a> {
    kernel: String,
    machine: String,
    /// Seconds after which a process counts as one that waits.
    patience: f64,
    contestants: &'a [Entry],
}

/// A table for each situation.
pub(crate) fn tables(situations: &[&Situation], entries: &[Entry]) -> String {
    let mut text = String::new();
    for situation in situations {
        let mut table = Table::new();
        table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        for entry in entries {
            if let Some(outcome) = entry.outcomes.get(situation.name) {
                table.add_row([entry.name, &outcome.text]);
            }
        }
        if !table.is_empty() {
            let _ = writeln!(text, "{}: {}\n{}\n", situation.name, situation.about, table.trim_fmt());
        }
    }
    for entry in entries {
        let _ = match (&entry.version, &entry.absent) {
            (_, Some(reason)) => writeln!(text, "{} is absent: {reason}", entry.name),
            (version, None) => writeln!(text, "{}: {}", entry.name, version.as_deref().unwrap_or_default()),
        };
    }
    text
}

pub(crate) fn json(patience: f64, contestants: &[Entry]) -> Result<String> {
    let name = rustix::system::uname();
    let [kernel, machine] = [name.release(), name.machine()].map(|text| text.to_string_lossy().into_owned());
    Ok(serde_json::to_string_pretty(&Report { kernel: format!("Linux {kernel}"), machine, patience, contestants })?)
}
