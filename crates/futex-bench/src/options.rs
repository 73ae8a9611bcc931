//! The command line.

use crate::names;
use crate::peer::Part;
use crate::question::Effort;
use crate::questions;
use crate::scenes::Scene;

pub(crate) const USAGE: &str = "\
Usage: cargo xtask bench [--quick] [--only NAME]... | --list | --counts [--bless]

  --quick       less than two minutes in all, for a first look (default: less than ten)
  --only NAME   this question; may be given several times (default: all)
  --list        the names of the questions
  --counts      counts instructions, with valgrind, and compares them with counts.json
  --bless       writes what was counted to counts.json
  --help        this text
";

/// What is to be done.
pub(crate) enum Wish {
    Help,
    List,
    Run {
        effort: Effort,
        only: Vec<String>,
    },
    Counts {
        bless: bool,
    },
    /// To be the other process.
    Peer(Part),
    /// To run what is counted.
    Scene(Scene, u32),
}

pub(crate) fn parse(mut arguments: lexopt::Parser) -> Result<Wish, lexopt::Error> {
    use lexopt::prelude::{Long, Short, ValueExt as _};

    let (mut effort, mut only, mut counts, mut bless) = (Effort::Full, Vec::new(), false, false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("quick") => effort = Effort::Quick,
            Long("only") => only.push(question(&arguments.value()?.string()?)?),
            Long("list") => return Ok(Wish::List),
            Long("counts") => counts = true,
            Long("bless") => bless = true,
            Long("help") | Short('h') => return Ok(Wish::Help),
            // From the lab to itself.
            Long("peer") => return Part::parse(&mut arguments).map(Wish::Peer),
            Long("scene") => {
                return Ok(Wish::Scene(names::value(&mut arguments, Scene::ALL)?, arguments.value()?.parse()?));
            }
            other => return Err(other.unexpected()),
        }
    }
    match (counts, bless) {
        (true, _) if effort == Effort::Quick || !only.is_empty() => {
            Err("--counts goes with neither --quick nor --only".into())
        }
        (true, bless) => Ok(Wish::Counts { bless }),
        (false, true) => Err("--bless goes with --counts".into()),
        (false, false) => Ok(Wish::Run { effort, only }),
    }
}

fn question(name: &str) -> Result<String, String> {
    if questions::ALL.iter().any(|question| question.name == name) {
        return Ok(name.to_owned());
    }
    Err(format!("there is no question {name:?}: --list tells which there are"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(arguments: &[&str]) -> String {
        match parse(lexopt::Parser::from_args(arguments)) {
            Ok(Wish::Run { effort, only }) => format!("{effort:?} {only:?}"),
            Ok(Wish::Counts { bless }) => format!("counts, bless: {bless}"),
            Ok(_) => "else".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_wished_for_is_understood_or_refused() {
        assert_eq!(told(&[]), "Full []");
        assert_eq!(told(&["--quick", "--only=arm", "--only", "pipe"]), "Quick [\"arm\", \"pipe\"]");
        assert_eq!(told(&["--counts", "--bless"]), "counts, bless: true");
        assert_eq!(told(&["--only=speed"]), "there is no question \"speed\": --list tells which there are");
        assert_eq!(told(&["--bless"]), "--bless goes with --counts");
        assert_eq!(told(&["--counts", "--quick"]), "--counts goes with neither --quick nor --only");
        assert_eq!(told(&["--fast"]), "invalid option '--fast'");
    }
}
