//! What the contestants of a question showed, and whether the targets are met.

use super::series::Series;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

/// The series of a question, by contestant and case.
#[derive(Default)]
pub(crate) struct Answer {
    /// In the order of the question.
    pub(crate) contestants: Vec<(String, Entry<Series>)>,
}

/// What a contestant showed.
#[derive(Default, Serialize)]
pub(crate) struct Entry<T> {
    #[serde(flatten)]
    pub(crate) cases: BTreeMap<String, T>,
    /// Why it did not take part, or not in everything.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) absent: BTreeSet<String>,
}

impl Answer {
    /// The contestant's entry. A new one comes after the others.
    pub(crate) fn entry(&mut self, name: &str) -> &mut Entry<Series> {
        let position = self.contestants.iter().position(|(other, _)| other == name).unwrap_or_else(|| {
            self.contestants.push((name.to_owned(), Entry::default()));
            self.contestants.len() - 1
        });
        &mut self.contestants[position].1
    }

    pub(crate) fn series(&self, contestant: impl Display, case: &str) -> Option<&Series> {
        let name = contestant.to_string();
        self.contestants.iter().find(|(other, _)| *other == name)?.1.cases.get(case)
    }

    pub(crate) fn p50(&self, contestant: impl Display, case: &str) -> Option<f64> {
        self.series(contestant, case)?.p50()
    }

    /// The ratio of two contestants in one case.
    pub(crate) fn ratio(&self, contestant: impl Display, other: impl Display, case: &str) -> Option<f64> {
        self.series(contestant, case)?.ratio(self.fitting(other, case)?)
    }

    /// The verdict on such a ratio.
    pub(crate) fn at_most(&self, ours: impl Display, rival: impl Display, case: &str, limit: f64) -> Verdict {
        Verdict::at_most(format!("{ours} ÷ {rival} ({case})"), self.ratio(ours, rival, case), limit)
    }

    /// The series that a case is compared with. A contestant without a runtime, such as a blocking futex, has its cases
    /// without the runtime's name: `pinned` for `current-thread, pinned`.
    pub(crate) fn fitting(&self, contestant: impl Display, case: &str) -> Option<&Series> {
        self.series(&contestant, case).or_else(|| self.series(&contestant, case.split_once(", ")?.1))
    }
}

/// A target, and what was measured for it.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    target: String,
    /// `None` if it could not be measured here.
    measured: Option<f64>,
    sign: &'static str,
    limit: f64,
    met: fn(&f64, &f64) -> bool,
}

impl Verdict {
    pub(crate) fn at_most(target: impl Into<String>, measured: Option<f64>, limit: f64) -> Self {
        Self { target: target.into(), measured, sign: "≤", limit, met: f64::le }
    }

    pub(crate) fn at_least(target: impl Into<String>, measured: Option<f64>, limit: f64) -> Self {
        Self { target: target.into(), measured, sign: "≥", limit, met: f64::ge }
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, measured, sign, limit, met } = self;
        match measured {
            Some(measured) => {
                let word = if met(measured, limit) { "met" } else { "missed" };
                write!(f, "{word:<12} {target}: {sign} {limit}, measured {measured:.3}")
            }
            None => write!(f, "not measured {target}: {sign} {limit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_a_line_with_its_numbers() {
        let verdict = Verdict::at_most("ours × reference", Some(1.25), 1.1);
        assert_eq!(verdict.to_string(), "missed       ours × reference: ≤ 1.1, measured 1.250");
        assert_eq!(Verdict::at_most("x", None, 1.0).to_string(), "not measured x: ≤ 1");
        assert_eq!(Verdict::at_least("x", Some(2.0), 1.0).to_string(), "met          x: ≥ 1, measured 2.000");
    }
}
