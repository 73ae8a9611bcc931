//! What is asked, who answers, and what the answers are.

mod answer;
mod series;

pub(crate) use self::answer::{Answer, Entry, Verdict};
pub(crate) use self::series::Series;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;

/// A question. Each has a file in `questions/`.
pub(crate) struct Question {
    pub(crate) name: &'static str,
    /// The question, in one sentence.
    pub(crate) asks: &'static str,
    pub(crate) unit: Unit,
    /// The contestant that the others are compared with.
    pub(crate) reference: Option<&'static str>,
    /// Number of seconds that the rounds may take: in a full run, and in a quick one.
    pub(crate) seconds: [u64; 2],
    /// The contestants of a full run, or of a quick one.
    pub(crate) contestants: fn(quick: bool) -> Vec<Contestant>,
    pub(crate) verdicts: fn(&Answer) -> Vec<Verdict>,
}

/// Names of contestants of several questions.
pub(crate) const BLOCKING: &str = "blocking futex";
pub(crate) const BARE_RING: &str = "bare ring";

/// The name of a case with a number of waits.
pub(crate) fn case(kind: &str, count: usize) -> String {
    format!("{kind} of {count:>7}")
}

/// One way to do it. Several contestants may have the same name, and add cases to it.
pub(crate) struct Contestant {
    pub(crate) name: String,
    /// The processor of its thread and of every thread that it starts.
    pub(crate) cpu: Option<usize>,
    pub(crate) start: Start,
}

/// Prepares the contestant, on its own thread. An error means that it can't take part here.
pub(crate) type Start = Box<dyn FnOnce() -> Result<Turn> + Send>;

/// Takes one turn, and notes its figures. Between turns it uses no processor time.
pub(crate) type Turn = Box<dyn FnMut(&mut Figures) -> Result<()>>;

/// The figures of one turn, by case.
#[derive(Debug, Default)]
pub(crate) struct Figures(pub(crate) BTreeMap<String, Vec<f64>>);

impl Contestant {
    pub(crate) fn new(name: impl ToString, start: impl FnOnce() -> Result<Turn> + Send + 'static) -> Self {
        Self { name: name.to_string(), cpu: None, start: Box::new(start) }
    }
}

impl Figures {
    /// Notes figures.
    pub(crate) fn add(&mut self, case: &str, figures: impl IntoIterator<Item = f64>) {
        self.0.entry(case.to_owned()).or_default().extend(figures);
    }
}

/// What a figure is.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    #[serde(rename = "ns")]
    Nanoseconds,
    Bytes,
    Count,
    #[serde(rename = "per second")]
    PerSecond,
    #[serde(rename = "CPU seconds per hour")]
    CpuSecondsPerHour,
}

impl Unit {
    /// The figure with its unit, for people.
    pub(crate) fn format(self, figure: f64) -> String {
        match self {
            Self::Nanoseconds if figure.abs() < 100.0 => format!("{figure:.1} ns"),
            Self::Nanoseconds if figure.abs() < 1e4 => format!("{figure:.0} ns"),
            Self::Nanoseconds if figure.abs() < 1e7 => format!("{:.1} µs", figure / 1e3),
            Self::Nanoseconds => format!("{:.1} ms", figure / 1e6),
            Self::Bytes => format!("{figure:.0} B"),
            Self::Count => format!("{figure:.0}"),
            Self::PerSecond => format!("{figure:.0}/s"),
            Self::CpuSecondsPerHour => format!("{figure:.2} s/h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_in_fitting_units() {
        let formatted = [1.25, 950.0, 51_000.0, 12e6].map(|figure| Unit::Nanoseconds.format(figure));
        assert_eq!(formatted, ["1.2 ns", "950 ns", "51.0 µs", "12.0 ms"]);
    }
}
