//! Whether a target is met.

use std::fmt;

/// A target, and what was measured for it.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// What has to hold, with its limit.
    pub(crate) target: String,
    /// `None` where it could not be measured here.
    pub(crate) measured: Option<f64>,
    pub(crate) limit: f64,
    bound: Bound,
}

#[derive(Debug)]
enum Bound {
    AtMost,
    AtLeast,
}

impl Verdict {
    pub(crate) fn at_most(target: impl Into<String>, measured: Option<f64>, limit: f64) -> Self {
        Self { target: target.into(), measured, limit, bound: Bound::AtMost }
    }

    pub(crate) fn at_least(target: impl Into<String>, measured: Option<f64>, limit: f64) -> Self {
        Self { target: target.into(), measured, limit, bound: Bound::AtLeast }
    }

    /// `None` where it could not be measured.
    pub(crate) fn met(&self) -> Option<bool> {
        self.measured.map(|measured| match self.bound {
            Bound::AtMost => measured <= self.limit,
            Bound::AtLeast => measured >= self.limit,
        })
    }

    /// The first word of its line.
    pub(crate) fn word(&self) -> &'static str {
        match self.met() {
            Some(true) => "met",
            Some(false) => "missed",
            None => "not measured",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.bound {
            Bound::AtMost => "≤",
            Bound::AtLeast => "≥",
        };
        let (word, target, limit) = (self.word(), &self.target, self.limit);
        write!(f, "{word:<12} {target}: {sign} {limit}")?;
        match self.measured {
            Some(measured) => write!(f, ", measured {measured:.3}"),
            None => Ok(()),
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
        assert_eq!(Verdict::at_least("x", Some(2.0), 1.0).word(), "met");
    }
}
