//! Reads from a guest's console how each part ends.

use super::guest::{BOUND, MARK};
use super::machine::{Acceleration, End};
use super::parts::{Expects, Part, Run};
use crate::report::{self, Outcome, Report, Tests};
use std::fs::File;
use std::io::Write;
use std::time::Instant;

/// Number of the console's last lines that are printed if a guest does not reach its end.
const LAST_LINES: usize = 60;

pub(crate) struct Watch<'a> {
    kernel: &'a str,
    parts: &'a [Part],
    log: File,
    /// The kernel's release, once it has booted.
    release: Option<String>,
    console: Vec<String>,
    /// The begin of the current run: the number of lines in the console, and the time.
    begin: (usize, Instant),
    current: Current,
    reports: Vec<Report>,
}

/// The part that runs, or runs next.
struct Current {
    runs_done: usize,
    since: Instant,
    tests: Tests,
    failures: Vec<String>,
}

impl Current {
    fn new() -> Self {
        Self { runs_done: 0, since: Instant::now(), tests: Tests::default(), failures: Vec::new() }
    }
}

impl<'a> Watch<'a> {
    pub(crate) fn new(kernel: &'a str, parts: &'a [Part], log: File) -> Self {
        report::print_running(kernel);
        Self {
            kernel,
            parts,
            log,
            release: None,
            console: Vec::new(),
            begin: (0, Instant::now()),
            current: Current::new(),
            reports: Vec::new(),
        }
    }

    pub(crate) fn line(&mut self, line: &str) {
        // A log that can't be written is not a failure: the output of a run that fails is also printed.
        let _ = writeln!(self.log, "{line}");
        match line.strip_prefix(MARK).map(|mark| mark.split(' ').collect::<Vec<_>>()).as_deref() {
            Some(["up", release]) => self.release = Some((*release).to_owned()),
            Some(["begin", _]) => self.begin_run(),
            Some(["end", _, status]) => self.end_run(status),
            _ => self.console.push(line.to_owned()),
        }
    }

    /// The current part and run. `None` if all have ended.
    fn current(&self) -> Option<(&'a Part, &'a Run)> {
        let part = self.parts.get(self.reports.len())?;
        Some((part, part.runs.get(self.current.runs_done)?))
    }

    fn begin_run(&mut self) {
        self.begin = (self.console.len(), Instant::now());
        if let Some((part, run)) = self.current() {
            report::print_running(format_args!("{} {}: {}", self.kernel, part.name, run.title));
        }
    }

    fn end_run(&mut self, status: &str) {
        let Some((part, run)) = self.current() else { return };
        let output = &self.console[self.begin.0..];
        let _ = writeln!(self.log, "{:.1} s for {}", self.begin.1.elapsed().as_secs_f64(), run.title);
        if let Some(failure) = failure(run, status, output) {
            print_output(&format!("{} on {}: {failure}", run.title, self.kernel), output);
            self.current.failures.push(format!("{}: {failure}", run.title));
        }
        self.current.tests.add(output.iter().map(String::as_str));
        self.current.runs_done += 1;
        if self.current.runs_done == part.runs.len() {
            self.end_part((part.has_tests && self.current.tests.ran == 0).then_some("it ran no test"));
        }
    }

    fn end_part(&mut self, failure: Option<&str>) {
        let current = std::mem::replace(&mut self.current, Current::new());
        let mut failures = current.failures;
        failures.extend(failure.map(str::to_owned));
        let outcome = if failures.is_empty() { Outcome::Passed } else { Outcome::Failed(failures.join("; ")) };
        let name = format!("{} {}", self.kernel, self.parts[self.reports.len()].name);
        let report = Report { name, outcome, time: current.since.elapsed(), tests: current.tests };
        report.print();
        self.reports.push(report);
    }

    /// Reports the parts that have not ended as failed, and returns all reports.
    pub(crate) fn finish(mut self, end: End, acceleration: Acceleration) -> Vec<Report> {
        if self.reports.len() < self.parts.len() {
            let how = match end {
                End::Off => "the guest ended before",
                End::Killed => "the guest hung and was killed",
            };
            let last = &self.console[self.console.len().saturating_sub(LAST_LINES)..];
            print_output(&format!("end of the console of {}", self.kernel), last);
            while self.reports.len() < self.parts.len() {
                self.end_part(Some(how));
            }
        }
        let release = self.release.as_deref().map_or("did not boot".into(), |release| format!("was {release}"));
        let with = if acceleration == Acceleration::Kvm { "with KVM" } else { "emulated" };
        report::print(format_args!("         {} {release}, {with}", self.kernel));
        self.reports
    }
}

fn print_output(title: &str, lines: &[String]) {
    report::print(format_args!("---- {title} ----\n{}\n---- end ----", lines.join("\n")));
}

/// Why a run has failed, or `None` if it has not.
fn failure(run: &Run, status: &str, output: &[String]) -> Option<String> {
    if status == "137" {
        return Some(format!("killed after {} min", BOUND.as_secs() / 60));
    }
    if status != "0" {
        return Some(format!("exit status {status}"));
    }
    match &run.expects {
        Expects::Nothing => None,
        Expects::Lines(lines) => {
            let missing = lines.iter().find(|line| !output.iter().any(|found| found == *line));
            missing.map(|line| format!("it did not print “{line}”"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Vec<Part> {
        let run = |title: &str, expects| Run { title: title.into(), command: String::new(), expects };
        vec![
            Part {
                name: "a",
                has_tests: true,
                runs: vec![run("one", Expects::Nothing), run("two", Expects::Lines(vec!["= 2".into()]))],
            },
            Part { name: "b", has_tests: false, runs: vec![run("three", Expects::Nothing)] },
        ]
    }

    fn outcomes(console: &str, end: End) -> Vec<Outcome> {
        let parts = parts();
        let mut watch = Watch::new("7.0", &parts, File::options().write(true).open("/dev/null").unwrap());
        console.lines().for_each(|line| watch.line(line));
        watch.finish(end, Acceleration::Emulation).into_iter().map(|report| report.outcome).collect()
    }

    const ONE: &str = "@@ up 7.0.1\n@@ begin 0\ntest result: ok. 3 passed; 0 failed\n@@ end 0 0\n";

    #[test]
    fn a_part_passes_if_all_its_runs_pass() {
        let console = format!("{ONE}@@ begin 1\n= 2\n@@ end 1 0\n@@ begin 2\n@@ end 2 0\n@@ done\n");
        assert_eq!(outcomes(&console, End::Off), [Outcome::Passed, Outcome::Passed]);
    }

    #[test]
    fn a_run_fails_by_its_status_or_without_its_lines_or_without_tests() {
        let failed = |reason: &str| Outcome::Failed(reason.into());
        let console = "@@ begin 0\n@@ end 0 0\n@@ begin 1\n= 3\n@@ end 1 0\n@@ begin 2\n@@ end 2 101\n@@ done\n";
        let expected = [failed("two: it did not print “= 2”; it ran no test"), failed("three: exit status 101")];
        assert_eq!(outcomes(console, End::Off), expected);
        // The output of an earlier run does not count.
        let console = format!("{ONE}= 2\n@@ begin 1\n@@ end 1 0\n@@ begin 2\n@@ end 2 137\n");
        let expected = [failed("two: it did not print “= 2”"), failed("three: killed after 5 min")];
        assert_eq!(outcomes(&console, End::Off), expected);
    }

    #[test]
    fn the_parts_that_a_guest_does_not_reach_fail() {
        let failed = |reason: &str| Outcome::Failed(reason.into());
        let ended = failed("the guest ended before");
        assert_eq!(outcomes("Kernel panic", End::Off), [ended.clone(), ended.clone()]);
        let hung = failed("the guest hung and was killed");
        assert_eq!(outcomes(&format!("{ONE}@@ begin 1\n= 2\n"), End::Killed), [hung.clone(), hung]);
    }
}
