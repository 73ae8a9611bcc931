//! Charts of an answer, as SVG.

use crate::question::{Answer, Question};
use anyhow::Result;
use plotters::prelude::{
    BLACK, Color as _, IntoDrawingArea as _, IntoFont as _, PathElement, RGBColor, Rectangle, SVGBackend, Text, WHITE,
};
use std::collections::BTreeSet;

/// Width of a chart, in pixels.
const WIDTH: u32 = 860;
/// Height of a bar with the space below it, and y of the first.
const ROW: i32 = 34;
const TOP: i32 = 56;
/// x of the end of the longest bar.
const RIGHT: i32 = 690;
/// Width of a letter of a name, roughly.
const LETTER: i32 = 8;

/// The bars of each case that has rivals.
pub(crate) fn all(question: &Question, answer: &Answer) -> Result<Vec<String>> {
    let cases: BTreeSet<&String> = answer.contestants.iter().flat_map(|(_, entry)| entry.cases.keys()).collect();
    // The chart of `current-thread, pinned` has the `pinned` of a contestant without a runtime.
    let shown_elsewhere = |case: &str| cases.iter().any(|other| other.ends_with(&format!(", {case}")));
    let rivals =
        |case: &str| answer.contestants.iter().filter(|(name, _)| answer.fitting(name, case).is_some()).count();
    let charted = cases.iter().filter(|case| rivals(case) > 1 && !shown_elsewhere(case));
    charted.map(|case| bars(question, answer, case)).collect()
}

/// A bar per contestant: its median in one case, with a line to its 99th percentile.
pub(crate) fn bars(question: &Question, answer: &Answer, case: &str) -> Result<String> {
    let row = |name| {
        let series = answer.fitting(name, case)?;
        Some((name, series.p50()?, series.quantile(0.99)?))
    };
    let rows: Vec<_> = answer.contestants.iter().filter_map(|(name, _)| row(name)).collect();
    let mut svg = String::new();
    let size = (WIDTH, (TOP + ROW * rows.len() as i32 + 20) as u32);
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    area.fill(&WHITE)?;
    let title = format!("{}: median, and 99th percentile as a line ({case})", question.name);
    area.draw(&Text::new(title, (16, 16), ("sans-serif", 18).into_font()))?;
    let longest = rows.iter().map(|&(_, p50, _)| p50).fold(f64::MIN_POSITIVE, f64::max);
    let letters = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    let left = 24 + LETTER * letters as i32;
    // A line that is longer than the page ends at its border.
    let x = |value: f64| left + (f64::from(RIGHT - left) * value / longest).min(f64::from(WIDTH as i32 - left)) as i32;
    for (y, &(name, p50, p99)) in (TOP..).step_by(ROW as usize).zip(&rows) {
        let colour = if name.starts_with("ours") { RGBColor(0, 114, 178) } else { RGBColor(170, 170, 170) };
        area.draw(&Text::new(name.as_str(), (16, y + 4), ("sans-serif", 15).into_font()))?;
        area.draw(&Rectangle::new([(left, y), (x(p50), y + 20)], colour.filled()))?;
        area.draw(&PathElement::new([(x(p50), y + 22), (x(p99), y + 22)], BLACK.stroke_width(1)))?;
        area.draw(&Text::new(question.unit.format(p50), (x(p50) + 8, y + 4), ("sans-serif", 15).into_font()))?;
    }
    area.present()?;
    drop(area);
    Ok(svg)
}
