//! Charts of an answer, as SVG.

mod bars;
mod curves;
mod drawing;

use crate::answer::Answer;
use crate::contestant::split_case;
use crate::question::{Chart, Question};
use curves::{Axis, Curve};
use std::io;

/// The charts that the question asks for, those without a figure left out.
pub(crate) fn of(question: &Question, answer: &Answer) -> io::Result<Vec<String>> {
    let charts = question.charts.iter().map(|chart| match chart {
        Chart::Bars(case) => bars::draw(question, answer, case),
        Chart::Distribution(case) => curves::draw(
            &format!("{}: share of the figures that are below ({case})", question.name),
            Axis::Unit(question.unit),
            Axis::Share,
            &distributions(answer, case),
        ),
        Chart::Population => curves::draw(
            &format!("{}: p50 over the number of waits", question.name),
            Axis::Count,
            Axis::Unit(question.unit),
            &populations(answer),
        ),
    });
    charts.collect()
}

/// For each contestant how the figures of one case are distributed.
fn distributions(answer: &Answer, case: &str) -> Vec<Curve> {
    const POINTS: usize = 200;
    let curves = answer.contestants.iter().filter_map(|entry| {
        let sorted = answer.fitting(&entry.name, case)?.sorted();
        // The last thousandth is the machine's.
        let points = (0..POINTS).filter_map(|point| {
            let share = point as f64 / POINTS as f64;
            Some((*sorted.get((sorted.len() as f64 * share) as usize)?, share))
        });
        Some(Curve { name: entry.name.clone(), points: points.collect() })
    });
    curves.collect()
}

/// For each contestant, and each kind of case, the medians over the number of waits.
fn populations(answer: &Answer) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for entry in &answer.contestants {
        for (case, series) in &entry.cases {
            let (Some((kind, count)), Some(p50)) = (split_case(case), series.p50()) else { continue };
            let name = format!("{}: {kind}", entry.name);
            let position = curves.iter().position(|curve| curve.name == name).unwrap_or_else(|| {
                curves.push(Curve { name, points: Vec::new() });
                curves.len() - 1
            });
            curves[position].points.push((count, p50));
        }
    }
    for curve in &mut curves {
        curve.points.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    }
    curves
}
