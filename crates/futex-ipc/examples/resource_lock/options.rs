//! The command line.

use crate::WORKERS;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
Four processes append records to one file under a lock. Some of them are killed while they do so.

Usage: resource_lock [--records N] [--kills N]

  --records N   number of records per worker, 1 to 1000000 (default: 400)
  --kills N     maximum number of kills per worker (default: 15)
  -h, --help    print this text
";

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) records: u64,
    pub(crate) kills: u32,
    pub(crate) worker: Option<Worker>,
}

/// What a child gets from its parent.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) index: usize,
    /// Name of the region.
    pub(crate) region: String,
    pub(crate) file: PathBuf,
}

impl Options {
    /// Parses the command line. Returns `None` if it asks for help.
    pub(crate) fn from_env() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::{Long, Short, ValueExt as _};

        let mut options = Self { records: 400, kills: 15, worker: None };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("records") => options.records = arguments.value()?.parse()?,
                Long("kills") => options.kills = arguments.value()?.parse()?,
                // Not in the help text: the parent passes this to its children.
                Long("worker") => {
                    let index = arguments.value()?.parse()?;
                    let region = arguments.value()?.string()?;
                    options.worker = Some(Worker { index, region, file: arguments.value()?.into() });
                }
                Long("help") | Short('h') => return Ok(None),
                other => return Err(other.unexpected()),
            }
        }
        if !(1..=1_000_000).contains(&options.records) {
            return Err(format!("--records takes 1 to 1000000, not {}", options.records).into());
        }
        if options.worker.as_ref().is_some_and(|worker| worker.index >= WORKERS) {
            return Err("there is no such worker".into());
        }
        Ok(Some(options))
    }
}
