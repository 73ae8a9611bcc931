//! boost.interprocess: compiles the program that plays it.

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

const SOURCE: &str = include_str!("boost.cpp");

/// How to install what is missing.
const INSTALL: &str = "install a C++ compiler and Boost's headers (on Debian: `apt-get install g++ libboost-dev`)";

/// Compiles the program beside this one, and returns its path, or the reason why there is none.
pub(super) fn compile() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("rivals-boost");
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let mut command = Command::new(&compiler);
    command.args(["-std=c++17", "-O2", "-DNDEBUG", "-x", "c++", "-", "-pthread", "-lrt", "-o"]).arg(&program);
    match run(command.stdin(Stdio::piped()).stderr(Stdio::piped())) {
        Ok(errors) if errors.is_empty() => Ok(program),
        Ok(errors) if errors.contains("boost/") => Err(format!("not installed: {INSTALL}")),
        Ok(errors) => Err(format!("{compiler} failed: {}", errors.lines().next().unwrap_or_default())),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(format!("not installed: {compiler}; {INSTALL}")),
        Err(error) => Err(format!("{compiler}: {error}")),
    }
}

/// Runs the compiler with the source. Returns what it wrote if it failed, or an empty text.
fn run(command: &mut Command) -> std::io::Result<String> {
    let mut compiler = command.spawn()?;
    if let Some(mut stdin) = compiler.stdin.take() {
        stdin.write_all(SOURCE.as_bytes())?;
    }
    let output = compiler.wait_with_output()?;
    if output.status.success() {
        return Ok(String::new());
    }
    Ok(format!("{}{}", String::from_utf8_lossy(&output.stderr), output.status))
}
