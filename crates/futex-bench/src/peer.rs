//! The other process: this program again, in a role.

use crate::executor::{Executor, Kind};
use crate::hull::Hull;
use crate::idler::Idler;
use crate::links::Link;
use crate::links::end::echo;
use crate::names;
use crate::pipes::Pipe;
use crate::stage::pin;
use std::io;
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};

/// What the other process is to do, and how.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) role: Role,
    pub(crate) executor: Kind,
    pub(crate) cpu: Option<usize>,
    /// Where the sides meet by a name.
    pub(crate) name: String,
}

/// What the other process does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    /// Answers every signal.
    Echo(Link),
    /// Sends messages: the producer with this number.
    Produce(Pipe, usize),
    /// Waits for what never happens.
    Idle(Idler),
}

/// The other process, until it is dropped.
pub(crate) struct Peer(Child);

impl Peer {
    /// Starts it with the descriptors of `hull`.
    pub(crate) fn start(part: &Part, hull: Hull) -> io::Result<Self> {
        // Not the program's path, which may have been built anew by now.
        let mut command = Command::new("/proc/self/exe");
        command.args(part.to_arguments()).stdin(hull.stdin).stdout(hull.stdout.map_or_else(Stdio::null, Stdio::from));
        command.spawn().map(Self)
    }

    /// Nanoseconds of processor time that its threads have used.
    pub(crate) fn cpu_time(&self) -> io::Result<f64> {
        crate::usage::cpu_time(self.0.id())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Part {
    fn to_arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--peer".to_owned()];
        match self.role {
            Role::Echo(link) => arguments.push(format!("--link={link}")),
            Role::Idle(idler) => arguments.push(format!("--idler={idler}")),
            Role::Produce(pipe, producer) => {
                arguments.extend([format!("--pipe={pipe}"), format!("--producer={producer}")]);
            }
        }
        arguments.extend([format!("--executor={}", self.executor), format!("--meet={}", self.name)]);
        arguments.extend(self.cpu.map(|cpu| format!("--cpu={cpu}")));
        arguments
    }

    /// Reads what [`to_arguments`](Part::to_arguments) wrote, after `--peer`.
    pub(crate) fn parse(arguments: &mut lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::{Long, ValueExt as _};

        let mut part =
            Self { role: Role::Echo(Link::Blocking), executor: Kind::Blocking, cpu: None, name: String::new() };
        let mut pipe = None;
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("link") => part.role = Role::Echo(names::value(arguments, Link::ALL)?),
                Long("idler") => part.role = Role::Idle(names::value(arguments, Idler::ALL)?),
                Long("pipe") => pipe = Some(names::value(arguments, Pipe::ALL)?),
                Long("producer") => {
                    let pipe = pipe.ok_or("--producer comes behind --pipe")?;
                    part.role = Role::Produce(pipe, arguments.value()?.parse()?);
                }
                Long("executor") => part.executor = names::value(arguments, Kind::ALL)?,
                Long("cpu") => part.cpu = Some(arguments.value()?.parse()?),
                Long("meet") => part.name = arguments.value()?.parse()?,
                other => return Err(other.unexpected()),
            }
        }
        Ok(part)
    }

    /// Plays the part, until killed.
    pub(crate) fn play(self) -> io::Result<()> {
        // A peer without its partner would wait for ever.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        self.cpu.map_or(Ok(()), pin)?;
        let hull = Hull {
            stdin: io::stdin().as_fd().try_clone_to_owned()?,
            stdout: Some(io::stdout().as_fd().try_clone_to_owned()?),
            name: self.name,
        };
        let executor = Executor::new(self.executor)?;
        match self.role {
            Role::Echo(link) => {
                let end = executor.enter(|| link.other_end(hull))?;
                executor.run(echo(end))
            }
            Role::Idle(idler) => idler.play(&executor, hull),
            Role::Produce(pipe, producer) => pipe.produce(&executor, hull, producer),
        }
    }
}
