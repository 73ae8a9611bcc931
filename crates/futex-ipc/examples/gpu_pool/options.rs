//! The command line.

use std::ops::Range;

pub(crate) const USAGE: &str = "\
Eight processes share three GPUs by a semaphore. Some of them are killed while they use one.

Usage: gpu_pool [--jobs N] [--kills N]

  --jobs N     number of jobs per worker, 1 to 1000000 (default: 60)
  --kills N    maximum number of kills per worker (default: 8)
  -h, --help   print this text
";

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) jobs: u32,
    pub(crate) kills: usize,
    pub(crate) worker: Option<Worker>,
}

/// What a child gets from its parent.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    /// Name of the region.
    pub(crate) region: String,
    /// The jobs that are left.
    pub(crate) jobs: Range<u32>,
}

impl Options {
    /// Parses the command line. Returns `None` if it asks for help.
    pub(crate) fn from_env() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::{Long, Short, ValueExt as _};

        let mut options = Self { jobs: 60, kills: 8, worker: None };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("jobs") => options.jobs = arguments.value()?.parse()?,
                Long("kills") => options.kills = arguments.value()?.parse()?,
                // Not in the help text: the parent passes this to its children.
                Long("worker") => {
                    let region = arguments.value()?.string()?;
                    let jobs = arguments.value()?.parse()?..arguments.value()?.parse()?;
                    options.worker = Some(Worker { region, jobs });
                }
                Long("help") | Short('h') => return Ok(None),
                other => return Err(other.unexpected()),
            }
        }
        if !(1..=1_000_000).contains(&options.jobs) {
            return Err(format!("--jobs takes 1 to 1000000, not {}", options.jobs).into());
        }
        Ok(Some(options))
    }
}
