//! `--counts`: instructions, which are the same on a busy machine, held against those of `counts.json`.
//!
//! Callgrind runs the scenes twice, for few and for many times, and the difference is what one time takes: what happens
//! once drops out. It counts this program's instructions and not the kernel's.

use crate::scenes::{BATCH, Scene};
use serde_json::{Map, Value, json};
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

/// What was counted when it was last blessed.
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/counts.json");
/// More than this share above the baseline is a regression; as much below it wants to be blessed.
const TOLERANCE: f64 = 0.03;
/// How often the scenes are run for the difference.
const TIMES: [u32; 2] = [10, 60];

/// An operation: its name, the scene that it is in, its function there, and how many of it the scene has.
const OPERATIONS: [(&str, Scene, Option<&str>, usize); 8] = [
    ("arm", Scene::Core, Some("scene_arm"), BATCH),
    ("arm, for each of 64 in one wait_any", Scene::Any, Some("scene_any"), BATCH),
    ("wake", Scene::Core, Some("scene_wake"), BATCH),
    ("turn, for each of 64 completions", Scene::Core, Some("scene_turn"), BATCH),
    ("poll of a wait that was woken", Scene::Core, Some("scene_poll"), BATCH),
    ("cancel", Scene::Core, Some("scene_cancel"), BATCH),
    ("wait on a word that differs", Scene::Core, Some("scene_mismatch"), BATCH),
    ("whole cycle on Tokio", Scene::Tokio, None, 1),
];

/// Counts, tells, and compares.
pub(crate) fn compare(bless: bool) -> io::Result<ExitCode> {
    if !cfg!(feature = "counts") {
        return Err(io::Error::other(
            "this lab was built without the feature `counts`, which `cargo xtask bench --counts` turns on",
        ));
    }
    let baseline: Map<String, Value> = match fs::read_to_string(BASELINE) {
        Ok(text) => serde_json::from_str(&text)?,
        Err(_) => Map::new(),
    };
    let mut found = Map::new();
    let mut regressed = false;
    println!("{:<42} {:>12} {:>12} {:>8}", "instructions", "now", "counts.json", "");
    for (name, scene, function, each) in OPERATIONS {
        let now = instructions(scene, function)? / each as f64;
        regressed |= tell(name, now, baseline.get(name).and_then(Value::as_f64));
        found.insert(name.into(), json!((now * 10.0).round() / 10.0));
    }
    for scene in Scene::ALL {
        let name = format!("allocations in the steady state, {scene}");
        let now = allocations(scene)?;
        regressed |= tell(&name, now, baseline.get(&name).and_then(Value::as_f64));
        found.insert(name, json!(now));
    }
    if bless {
        fs::write(BASELINE, format!("{:#}\n", Value::Object(found)))?;
        println!("written to {BASELINE}");
    } else if regressed {
        println!("more than {} % above counts.json: if that is meant, bless it", TOLERANCE * 100.0);
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a line, and returns whether it is a regression.
fn tell(name: &str, now: f64, baseline: Option<f64>) -> bool {
    let Some(baseline) = baseline else {
        println!("{name:<42} {now:>12.1} {:>12} new", "");
        return false;
    };
    let change = judge(now, baseline);
    println!("{name:<42} {now:>12.1} {baseline:>12.1} {change}");
    change == "REGRESSED"
}

fn judge(now: f64, baseline: f64) -> &'static str {
    // Half an instruction is a rounding, and none must stay none.
    let margin = baseline * TOLERANCE + if baseline > 0.0 { 0.5 } else { 0.0 };
    if now > baseline + margin {
        "REGRESSED"
    } else if now < baseline - margin {
        "better: bless it"
    } else {
        "ok"
    }
}

/// Instructions of one time of a scene, or of one function in it.
fn instructions(scene: Scene, function: Option<&str>) -> io::Result<f64> {
    let directory = std::env::temp_dir().join(format!("futex-bench-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let counted = TIMES.map(|times| callgrind(&directory.join("callgrind.out"), scene, function, times));
    fs::remove_dir_all(&directory)?;
    let [few, many] = counted;
    Ok((many? - few?) / f64::from(TIMES[1] - TIMES[0]))
}

fn callgrind(out: &Path, scene: Scene, function: Option<&str>, times: u32) -> io::Result<f64> {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind"]).arg(format!("--callgrind-out-file={}", out.display()));
    command.args(function.map(|function| format!("--toggle-collect=*{function}*")));
    run(command.arg(std::env::current_exe()?).args(["--scene", &scene.to_string(), &times.to_string()]))?;
    let text = fs::read_to_string(out)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).ok_or_else(|| io::Error::other("callgrind told no total"))
}

/// How often memory is allocated in one time of a scene.
fn allocations(scene: Scene) -> io::Result<f64> {
    let times = TIMES[1];
    let told = run(Command::new(std::env::current_exe()?).args(["--scene", &scene.to_string(), &times.to_string()]))?;
    told.trim().parse::<f64>().map(|calls| calls / f64::from(times)).map_err(io::Error::other)
}

/// What a program prints.
fn run(command: &mut Command) -> io::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            io::Error::other(format!("{program} is not installed: --counts needs it (the package is `valgrind`)"))
        }
        _ => error,
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(format!("{program} failed, {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr))))
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
