//! The report for people: one file that opens without a network.

use crate::answer::Answer;
use crate::question::Question;
use crate::{charts, table};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::thread;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px; font-variant-numeric: tabular-nums; }
td, th { padding: .15rem .7rem; text-align: left; border-bottom: 1px solid #ddd; }
.met { color: #17692b; } .missed { color: #a3161b; } .not { color: #666; }
svg { max-width: 100%; height: auto; }
";

pub(crate) fn of(answers: &[(&Question, Answer)]) -> io::Result<String> {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>Async futex: performance</title><style>{STYLE}</style></head><body>\n\
         <h1>Async futex: performance</h1>\n<p>{}</p>\n",
        escape(&machine())
    );
    for (question, answer) in answers {
        let _ = writeln!(page, "<h2 id=\"{0}\">{0}</h2>\n<p>{1}</p>\n<ul>", question.name, escape(question.asks));
        for verdict in (question.verdicts)(answer) {
            let class = verdict.word().split(' ').next().unwrap_or_default();
            let _ = writeln!(page, "<li class=\"{class}\">{}</li>", escape(&verdict.to_string()));
        }
        page.push_str("</ul>\n");
        for chart in charts::of(question, answer)? {
            page.push_str(&chart);
        }
        page.push_str("<table>\n");
        push_row(&mut page, "th", &table::head());
        for row in table::rows(question.unit, answer) {
            push_row(&mut page, "td", &row);
        }
        page.push_str("</table>\n");
        if let Some(reference) = question.reference {
            let _ = writeln!(page, "<p>Ratios to: {}.</p>", escape(reference));
        }
    }
    page.push_str("</body></html>\n");
    Ok(page)
}

fn push_row(page: &mut String, cell: &str, row: &[String]) {
    let cells = row.iter().map(|text| format!("<{cell}>{}</{cell}>", escape(text)));
    let _ = writeln!(page, "<tr>{}</tr>", cells.collect::<String>());
}

/// What the figures were taken on.
fn machine() -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split(": ").nth(1)?.to_owned())
    });
    let kernel = rustix::system::uname();
    let processors = thread::available_parallelism().map_or(0, usize::from);
    format!(
        "Linux {}, {processors} processors, {}",
        kernel.release().to_string_lossy(),
        processor.unwrap_or_else(|| kernel.machine().to_string_lossy().into_owned())
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
