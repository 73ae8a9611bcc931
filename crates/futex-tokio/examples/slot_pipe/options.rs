//! The command line.

use crate::PRODUCERS;
use futex_tokio::{Backend, Reactor};
use std::io;

pub(crate) const USAGE: &str = "\
Sends messages through slots in shared memory. Two child processes produce, and this process consumes.

Usage: slot_pipe [--backend uring|waitv|thread] [--interrupting] [--messages N] [--slots N]

  --backend NAME   the way to wait (default: the best that works here)
  --interrupting   let completions interrupt threads that compute (uring only)
  --messages N     number of messages, 1 to 1000000000 (default: 500000)
  --slots N        number of slots, 2 to 10000 (default: 64)
  -h, --help       print this text
";

/// The role of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    Consumer,
    /// A child, with its number. Its standard input is the shared memory.
    Producer(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) backend: Option<Backend>,
    pub(crate) interrupting: bool,
    pub(crate) messages: u32,
    pub(crate) slots: usize,
    pub(crate) role: Role,
}

impl Options {
    /// Parses the command line. Returns `None` if it asks for help.
    pub(crate) fn from_env() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::{Long, Short, ValueExt as _};

        let mut options =
            Self { backend: None, interrupting: false, messages: 500_000, slots: 64, role: Role::Consumer };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("backend") => options.backend = Some(arguments.value()?.parse()?),
                Long("interrupting") => options.interrupting = true,
                Long("messages") => options.messages = arguments.value()?.parse()?,
                Long("slots") => options.slots = arguments.value()?.parse()?,
                // Not in the help text: the parent passes this to its children.
                Long("producer") => options.role = Role::Producer(arguments.value()?.parse()?),
                Long("help") | Short('h') => return Ok(None),
                other => return Err(other.unexpected()),
            }
        }
        if !(1..=1_000_000_000).contains(&options.messages) {
            return Err(format!("--messages takes 1 to 1000000000, not {}", options.messages).into());
        }
        if !(PRODUCERS..=10_000).contains(&options.slots) {
            return Err(format!("--slots takes {PRODUCERS} to 10000, not {}", options.slots).into());
        }
        Ok(Some(options))
    }

    /// Returns the command line of a child with these options.
    pub(crate) fn to_arguments(self, producer: usize) -> Vec<String> {
        let mut arguments = vec![
            format!("--messages={}", self.messages),
            format!("--slots={}", self.slots),
            format!("--producer={producer}"),
        ];
        arguments.extend(self.backend.map(|backend| format!("--backend={backend}")));
        arguments.extend(self.interrupting.then(|| "--interrupting".to_owned()));
        arguments
    }

    /// Makes the reactor that these options ask for.
    pub(crate) fn reactor(&self) -> io::Result<Reactor> {
        let builder = Reactor::builder().interrupting(self.interrupting);
        match self.backend {
            Some(backend) => builder.backend(backend).build(),
            None => builder.build(),
        }
    }

    /// Returns the number of messages that a producer sends.
    pub(crate) fn share(&self, producer: usize) -> u32 {
        let producers = PRODUCERS as u32;
        self.messages / producers + u32::from((producer as u32) < self.messages % producers)
    }
}
