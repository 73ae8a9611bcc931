//! What the contestants of a question showed.

use crate::contestant::Figures;
use crate::series::Series;
use std::collections::BTreeMap;

/// The series of a question, by contestant and case, in the order of the question.
pub(crate) struct Answer {
    /// The contestant that the others are held against.
    reference: Option<&'static str>,
    pub(crate) contestants: Vec<Entry>,
}

/// A contestant and what it showed.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) cases: BTreeMap<String, Series>,
    /// Why it did not take part, or not in everything.
    pub(crate) absent: Vec<String>,
}

impl Answer {
    pub(crate) fn new(reference: Option<&'static str>) -> Self {
        Self { reference, contestants: Vec::new() }
    }

    /// Makes a place for a contestant, behind those that have one.
    pub(crate) fn expect(&mut self, contestant: &str) {
        self.entry(contestant);
    }

    pub(crate) fn add(&mut self, contestant: &str, round: usize, figures: Figures) {
        let entry = self.entry(contestant);
        for (case, figures) in figures.0 {
            entry.cases.entry(case).or_default().add(round, figures);
        }
    }

    pub(crate) fn absent(&mut self, contestant: &str, reason: String) {
        let entry = self.entry(contestant);
        if !entry.absent.contains(&reason) {
            entry.absent.push(reason);
        }
    }

    pub(crate) fn series(&self, contestant: &str, case: &str) -> Option<&Series> {
        self.contestants.iter().find(|entry| entry.name == contestant)?.cases.get(case)
    }

    pub(crate) fn p50(&self, contestant: &str, case: &str) -> Option<f64> {
        self.series(contestant, case)?.p50()
    }

    /// The ratio of two contestants in one case, or in the case of the other that fits best.
    pub(crate) fn ratio(&self, contestant: &str, other: &str, case: &str) -> Option<f64> {
        self.series(contestant, case)?.ratio(self.fitting(other, case)?)
    }

    /// The series of the reference that a case is held against.
    pub(crate) fn reference(&self, case: &str) -> Option<&Series> {
        self.fitting(self.reference?, case)
    }

    /// The series that a case is held against. One that has no runtime, such as a blocking futex, has its cases without
    /// the runtime's name: `pinned` for `current-thread, pinned`.
    pub(crate) fn fitting(&self, contestant: &str, case: &str) -> Option<&Series> {
        self.series(contestant, case).or_else(|| self.series(contestant, case.split_once(", ")?.1))
    }

    fn entry(&mut self, name: &str) -> &mut Entry {
        let position = self.contestants.iter().position(|entry| entry.name == name).unwrap_or_else(|| {
            self.contestants.push(Entry { name: name.to_owned(), cases: BTreeMap::new(), absent: Vec::new() });
            self.contestants.len() - 1
        });
        &mut self.contestants[position]
    }
}
