//! The command line.

pub(crate) const USAGE: &str = "\
Three processes want to lead. The leader is killed again and again, and another process takes over.

Usage: leader [--terms N]

  --terms N    number of leaders, one after the other, 2 to 1000000 (default: 25)
  -h, --help   print this text
";

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) terms: u64,
    /// For a child: the name of the region.
    pub(crate) candidate: Option<String>,
}

impl Options {
    /// Parses the command line. Returns `None` if it asks for help.
    pub(crate) fn from_env() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::{Long, Short, ValueExt as _};

        let mut options = Self { terms: 25, candidate: None };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("terms") => options.terms = arguments.value()?.parse()?,
                // Not in the help text: the parent passes this to its children.
                Long("candidate") => options.candidate = Some(arguments.value()?.string()?),
                Long("help") | Short('h') => return Ok(None),
                other => return Err(other.unexpected()),
            }
        }
        if !(2..=1_000_000).contains(&options.terms) {
            return Err(format!("--terms takes 2 to 1000000, not {}", options.terms).into());
        }
        Ok(Some(options))
    }
}
