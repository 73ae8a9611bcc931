//! A bar for each contestant.

use super::drawing::{WIDTH, failed};
use crate::answer::Answer;
use crate::question::Question;
use plotters::prelude::{
    BLACK, Color as _, DrawingBackend, IntoDrawingArea as _, IntoFont as _, PathElement, RGBColor, Rectangle,
    SVGBackend, Text, WHITE,
};
use std::io;

const ROW: i32 = 34;
const TOP: i32 = 56;
/// Where the longest bar ends.
const RIGHT: i32 = 690;
/// Width of a letter of a name, roughly.
const LETTER: i32 = 8;

const OURS: RGBColor = RGBColor(0, 114, 178);
const RIVAL: RGBColor = RGBColor(170, 170, 170);

/// The medians in one case, with a line to the 99th of a hundred.
pub(super) fn draw(question: &Question, answer: &Answer, case: &str) -> io::Result<String> {
    let rows: Vec<(&str, f64, f64)> = answer
        .contestants
        .iter()
        .filter_map(|entry| {
            let series = answer.fitting(&entry.name, case)?;
            Some((entry.name.as_str(), series.p50()?, series.quantile(0.99)?))
        })
        .collect();
    let mut svg = String::new();
    let height = TOP + ROW * rows.len() as i32 + 20;
    let backend = SVGBackend::with_string(&mut svg, (WIDTH, height as u32));
    paint(backend, question, case, &rows).map_err(failed)?;
    Ok(svg)
}

fn paint<B: DrawingBackend>(
    backend: B,
    question: &Question,
    case: &str,
    rows: &[(&str, f64, f64)],
) -> Result<(), plotters::drawing::DrawingAreaErrorKind<B::ErrorType>> {
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    let unit = question.unit;
    let title = format!("{}: median, and 99th percentile as a line ({case})", question.name);
    area.draw(&Text::new(title, (16, 16), ("sans-serif", 18).into_font()))?;
    let longest = rows.iter().map(|&(_, p50, _)| p50).fold(f64::MIN_POSITIVE, f64::max);
    let letters = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    let left = 24 + LETTER * letters as i32;
    // A tail that is longer than the page ends at its border.
    let x = |value: f64| left + (f64::from(RIGHT - left) * value / longest).min(f64::from(WIDTH as i32 - left)) as i32;
    for (row, &(name, p50, p99)) in rows.iter().enumerate() {
        let y = TOP + ROW * row as i32;
        let colour = if name.starts_with("ours") { OURS } else { RIVAL };
        area.draw(&Text::new(name.to_owned(), (16, y + 4), ("sans-serif", 15).into_font()))?;
        area.draw(&Rectangle::new([(left, y), (x(p50), y + 20)], colour.filled()))?;
        area.draw(&PathElement::new([(x(p50), y + 22), (x(p99), y + 22)], BLACK.stroke_width(1)))?;
        area.draw(&Text::new(unit.format(p50), (x(p50) + 8, y + 4), ("sans-serif", 15).into_font()))?;
    }
    area.present()
}
