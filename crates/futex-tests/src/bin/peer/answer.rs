//! The lines that the process writes: answers to commands, and reports of later events.

use std::error::Error;
use std::fmt::Display;
use std::io::Write as _;

pub(crate) type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Writes a whole line at once.
pub(crate) fn say(line: impl Display) {
    let line = format!("{line}\n");
    // If the parent has ended, nobody needs the line, and the end of the input will end this process.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

pub(crate) fn report(label: &str, text: impl Display) {
    say(format_args!("! {label} {text}"));
}

/// Formats an error as a line. The line of an `io::Error` has its kind.
pub(crate) fn describe(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref::<std::io::Error>() {
        Some(error) => format!("error {:?}: {error}", error.kind()),
        None => format!("error: {error}"),
    }
}

pub(crate) fn outcome(result: std::io::Result<()>) -> String {
    result.map_or_else(|error| describe(&error), |()| "ok".to_owned())
}

pub(crate) fn ok() -> Result<String> {
    Ok("ok".to_owned())
}
