//! What one contestant showed in one case.

/// Figures by round. A round without figures is one that the contestant sat out.
#[derive(Debug, Default)]
pub(crate) struct Series {
    rounds: Vec<Vec<f64>>,
}

impl Series {
    pub(crate) fn add(&mut self, round: usize, figures: Vec<f64>) {
        if self.rounds.len() <= round {
            self.rounds.resize_with(round + 1, Vec::new);
        }
        self.rounds[round] = sorted(figures);
    }

    /// The median of the rounds' medians: a round that was disturbed counts as one.
    pub(crate) fn p50(&self) -> Option<f64> {
        quantile(&sorted(self.medians().flatten().collect()), 0.5)
    }

    /// A quantile of all figures together.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        quantile(&sorted(self.rounds.concat()), share)
    }

    /// The quartiles of the rounds' medians: how steady the machine was.
    pub(crate) fn quartiles(&self) -> [Option<f64>; 2] {
        let medians = sorted(self.medians().flatten().collect());
        [0.25, 0.75].map(|share| quantile(&medians, share))
    }

    /// The median over the rounds of the ratio of this series' median to the other's.
    pub(crate) fn ratio(&self, other: &Self) -> Option<f64> {
        self.paired(other, |a, b| a / b)
    }

    /// Number of rounds that have figures.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.iter().filter(|round| !round.is_empty()).count()
    }

    /// Number of figures.
    pub(crate) fn len(&self) -> usize {
        self.rounds.iter().map(Vec::len).sum()
    }

    fn medians(&self) -> impl Iterator<Item = Option<f64>> {
        self.rounds.iter().map(|round| quantile(round, 0.5))
    }

    /// The median over the rounds of a comparison of the medians.
    pub(crate) fn paired(&self, other: &Self, compare: impl Fn(f64, f64) -> f64) -> Option<f64> {
        let pairs = self.medians().zip(other.medians()).filter_map(|(a, b)| Some(compare(a?, b?)));
        quantile(&sorted(pairs.filter(|value| value.is_finite()).collect()), 0.5)
    }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// By the nearest rank.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).round() as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(rounds: &[&[f64]]) -> Series {
        let mut series = Series::default();
        for (round, figures) in rounds.iter().enumerate() {
            series.add(round, figures.to_vec());
        }
        series
    }

    #[test]
    fn a_disturbed_round_does_not_move_the_median_or_the_ratio() {
        let ours = series(&[&[3.0, 2.0, 1.0], &[200.0], &[2.0]]);
        let reference = series(&[&[1.0], &[100.0], &[1.0]]);
        assert_eq!(ours.p50(), Some(2.0));
        assert_eq!(ours.ratio(&reference), Some(2.0));
        assert_eq!(ours.quantile(1.0), Some(200.0));
        assert_eq!((ours.rounds(), ours.len()), (3, 5));
    }

    #[test]
    fn a_round_that_one_contestant_sat_out_has_no_ratio() {
        let mut ours = Series::default();
        ours.add(1, vec![6.0]);
        assert_eq!(ours.ratio(&series(&[&[1.0], &[3.0]])), Some(2.0));
        assert_eq!(ours.ratio(&series(&[&[1.0]])), None);
        assert_eq!(Series::default().p50(), None);
    }
}
