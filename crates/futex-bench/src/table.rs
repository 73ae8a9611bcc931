//! A question's answer as a table of text.

use crate::answer::{Answer, Entry};
use crate::question::{Question, Unit};
use crate::series::Series;
use std::fmt::Write as _;

/// The columns behind the contestant and the case.
const COLUMNS: [&str; 6] = ["p50", "p99", "quartiles of the rounds' p50", "ratio", "rounds", "figures"];

/// The rows of the table: the contestant, the case, and the columns.
pub(crate) fn rows(unit: Unit, answer: &Answer) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for entry in &answer.contestants {
        rows.extend(entry.cases.iter().map(|(case, series)| row(unit, answer, entry, case, series)));
        rows.extend(entry.absent.iter().map(|reason| vec![entry.name.clone(), format!("absent: {reason}")]));
    }
    rows
}

/// The heads of the columns.
pub(crate) fn head() -> Vec<String> {
    ["contestant", "case"].into_iter().chain(COLUMNS).map(str::to_owned).collect()
}

fn row(unit: Unit, answer: &Answer, entry: &Entry, case: &str, series: &Series) -> Vec<String> {
    let figure = |figure: Option<f64>| figure.map_or_else(String::new, |figure| unit.format(figure));
    let (low, high) = series.quartiles().unzip();
    let ratio = answer.reference(case).and_then(|reference| series.ratio(reference));
    vec![
        entry.name.clone(),
        case.to_owned(),
        figure(series.p50()),
        // Among a few figures the 99th of a hundred is not to be found.
        if series.len() >= 100 { figure(series.quantile(0.99)) } else { String::new() },
        format!("{} to {}", figure(low), figure(high)),
        ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}")),
        series.rounds().to_string(),
        series.len().to_string(),
    ]
}

/// The whole table, with its verdicts.
pub(crate) fn of(question: &Question, answer: &Answer) -> String {
    let mut text = format!("\n{}: {}", question.name, question.asks);
    if let Some(reference) = question.reference {
        let _ = write!(text, " (ratios to: {reference})");
    }
    text.push('\n');
    let rows: Vec<_> = [head()].into_iter().chain(rows(question.unit, answer)).collect();
    let whole = rows.iter().filter(|row| row.len() > 2);
    let widths = whole.fold(vec![0; 2 + COLUMNS.len()], |widths, row| {
        widths.iter().zip(row).map(|(&width, cell)| width.max(cell.chars().count())).collect()
    });
    for row in rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "  {}", cells.join("  ").trim_end());
    }
    for verdict in (question.verdicts)(answer) {
        let _ = writeln!(text, "  {verdict}");
    }
    text
}
