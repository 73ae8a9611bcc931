//! The report for programs. Its shape is told in `docs/benchmarks.md`.

use crate::answer::{Answer, Entry};
use crate::question::{Question, Unit};
use crate::series::Series;
use serde_json::{Map, Value, json};

/// Question → contestant → case → figures.
pub(crate) fn of(answers: &[(&Question, Answer)]) -> String {
    let questions: Map<_, _> = answers
        .iter()
        .map(|(question, answer)| (question.name.to_owned(), contestants(question.unit, answer)))
        .collect();
    format!("{:#}\n", Value::Object(questions))
}

fn contestants(unit: Unit, answer: &Answer) -> Value {
    answer
        .contestants
        .iter()
        .map(|entry| (entry.name.clone(), contestant(unit, answer, entry)))
        .collect::<Map<_, _>>()
        .into()
}

fn contestant(unit: Unit, answer: &Answer, entry: &Entry) -> Value {
    let mut cases: Map<_, _> =
        entry.cases.iter().map(|(case, series)| (case.clone(), figures(unit, answer, case, series))).collect();
    if !entry.absent.is_empty() {
        cases.insert("absent".into(), json!(entry.absent));
    }
    cases.into()
}

fn figures(unit: Unit, answer: &Answer, case: &str, series: &Series) -> Value {
    let reference = answer.reference(case);
    let (low, high) = series.quartiles().unzip();
    json!({
        "unit": unit.name(),
        "p50": series.p50(),
        "p99": series.quantile(0.99),
        "least": series.quantile(0.0),
        "most": series.quantile(1.0),
        "quartiles": [low, high],
        "ratio": reference.and_then(|reference| series.ratio(reference)),
        "rounds": series.rounds(),
        "figures": series.len(),
    })
}
