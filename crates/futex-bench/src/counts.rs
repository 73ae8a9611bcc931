//! `--counts`: instructions, which are the same on a busy machine, compared with those of `counts.json`.
//!
//! Callgrind runs the scenes twice, for few and for many times, and the difference gives the instructions of one time
//! without those of the start. It counts this program's instructions and not the kernel's.

use crate::scenes::{BATCH, Scene};
use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum as _;
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, ExitCode};

/// What was counted when it was last blessed.
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/counts.json");
/// More than this share above the baseline is a regression; as much below it should be blessed.
const TOLERANCE: f64 = 0.03;
/// How often the scenes run for the difference.
const TIMES: [u32; 2] = [10, 60];

/// Operations: the name, the scene, the operation's function in it, and how many of it the scene has.
const OPERATIONS: [(&str, Scene, Option<&str>, usize); 8] = [
    ("arm", Scene::Core, Some("scene_arm"), BATCH),
    ("arm, for each of 64 in one wait_any", Scene::WaitAny, Some("scene_any"), BATCH),
    ("wake", Scene::Core, Some("scene_wake"), BATCH),
    ("turn, for each of 64 completions", Scene::Core, Some("scene_turn"), BATCH),
    ("poll of a wait that was woken", Scene::Core, Some("scene_poll"), BATCH),
    ("cancel", Scene::Core, Some("scene_cancel"), BATCH),
    ("wait on a word that differs", Scene::Core, Some("scene_mismatch"), BATCH),
    ("whole cycle on Tokio", Scene::Tokio, None, 1),
];

/// Counts, prints and compares.
pub(crate) fn compare(bless: bool) -> Result<ExitCode> {
    ensure!(
        cfg!(feature = "counts"),
        "this lab was built without the feature `counts`, which `cargo xtask bench --counts` turns on"
    );
    let mut counts = BTreeMap::new();
    for (name, scene, function, each) in OPERATIONS {
        let [few, many] = TIMES.map(|times| instructions(scene, function, times));
        let one = (many? - few?) / f64::from(TIMES[1] - TIMES[0]) / each as f64;
        counts.insert(name.to_owned(), (one * 10.0).round() / 10.0);
    }
    for &scene in Scene::value_variants() {
        let calls = scene.play(TIMES[1])? as f64 / f64::from(TIMES[1]);
        counts.insert(format!("allocations in the steady state, {}", scene.name()), calls);
    }

    let json = fs::read_to_string(BASELINE).unwrap_or_else(|_| "{}".to_owned());
    let baseline: BTreeMap<String, f64> = serde_json::from_str(&json).context("counts.json cannot be read")?;
    println!("{:<42} {:>12} {:>12}", "instructions", "now", "counts.json");
    let mut regressed = false;
    for (name, &now) in &counts {
        let (before, change) = baseline.get(name).map_or((f64::NAN, "new"), |&before| (before, judge(now, before)));
        println!("{name:<42} {now:>12.1} {before:>12.1} {change}");
        regressed |= change == "REGRESSED";
    }
    if bless {
        fs::write(BASELINE, serde_json::to_string_pretty(&counts)? + "\n")?;
        println!("written to {BASELINE}");
    } else if regressed {
        println!("more than {} % above counts.json: if the change is meant, bless it", TOLERANCE * 100.0);
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn judge(now: f64, baseline: f64) -> &'static str {
    // Half an instruction is within rounding, and none must stay none.
    let margin = baseline * TOLERANCE + if baseline > 0.0 { 0.5 } else { 0.0 };
    if now > baseline + margin {
        "REGRESSED"
    } else if now < baseline - margin {
        "better: bless it"
    } else {
        "ok"
    }
}

/// Instructions of a scene, or of one function in it.
fn instructions(scene: Scene, function: Option<&str>, times: u32) -> Result<f64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.args(function.map(|function| format!("--toggle-collect=*{function}*")));
    command.arg(std::env::current_exe()?).args(["--scene", &scene.name(), &times.to_string()]);
    let output = command.output().context("valgrind, which --counts needs, cannot be run")?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "callgrind failed, {}:\n{log}", output.status);
    let total = log.lines().find_map(|line| line.split_once("Collected : ")).context("callgrind reported no total")?;
    Ok(total.1.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_tolerance_is_a_regression_and_none_stays_none() {
        let judged = [(1030.0, 1000.0), (1031.0, 1000.0), (960.0, 1000.0), (0.0, 0.0), (0.1, 0.0)];
        let judged = judged.map(|(now, baseline)| judge(now, baseline));
        assert_eq!(judged, ["ok", "REGRESSED", "better: bless it", "ok", "REGRESSED"]);
    }
}
