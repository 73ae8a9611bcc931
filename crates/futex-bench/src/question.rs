//! What is asked.

use crate::answer::Answer;
use crate::contestant::Contestant;
use crate::verdict::Verdict;
use std::time::Duration;

/// A question. One file of `questions/` each.
pub(crate) struct Question {
    pub(crate) name: &'static str,
    /// In one sentence.
    pub(crate) asks: &'static str,
    pub(crate) unit: Unit,
    /// Who the others are held against, where there is somebody.
    pub(crate) reference: Option<&'static str>,
    /// How long the rounds may take, in seconds: in a full run, and in a quick one.
    pub(crate) seconds: (u64, u64),
    pub(crate) contestants: fn(Effort) -> Vec<Contestant>,
    pub(crate) verdicts: fn(&Answer) -> Vec<Verdict>,
    pub(crate) charts: &'static [Chart],
}

/// A chart of an answer.
pub(crate) enum Chart {
    /// The medians in one case.
    Bars(&'static str),
    /// How the figures of one case are distributed.
    Distribution(&'static str),
    /// The medians over the number of waits, which the cases are named by.
    Population,
}

/// How much is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    Quick,
    Full,
}

/// What a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    Bytes,
    Count,
    PerSecond,
    CpuSecondsPerHour,
}

impl Question {
    pub(crate) fn time(&self, effort: Effort) -> Duration {
        Duration::from_secs(effort.pick(self.seconds.1, self.seconds.0))
    }
}

impl Effort {
    pub(crate) fn pick<T>(self, quick: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

impl Unit {
    /// As it stands in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Bytes => "bytes",
            Self::Count => "count",
            Self::PerSecond => "per second",
            Self::CpuSecondsPerHour => "CPU seconds per hour",
        }
    }

    /// A figure for people.
    pub(crate) fn format(self, figure: f64) -> String {
        match self {
            Self::Nanoseconds => nanoseconds(figure),
            Self::Bytes => format!("{figure:.0} B"),
            Self::Count => format!("{figure:.0}"),
            Self::PerSecond => format!("{figure:.0}/s"),
            Self::CpuSecondsPerHour => format!("{figure:.2} s/h"),
        }
    }
}

fn nanoseconds(figure: f64) -> String {
    match figure.abs() {
        size if size < 100.0 => format!("{figure:.1} ns"),
        size if size < 1e4 => format!("{figure:.0} ns"),
        size if size < 1e7 => format!("{:.1} µs", figure / 1e3),
        _ => format!("{:.1} ms", figure / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_fitting_units() {
        let told: Vec<_> = [1.25, 950.0, 51_000.0, 12e6].map(nanoseconds).into();
        assert_eq!(told, ["1.2 ns", "950 ns", "51.0 µs", "12.0 ms"]);
    }
}
