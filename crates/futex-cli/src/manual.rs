//! The commands `completions` and `man`.

use crate::args::{Args, Completions, Man};
use crate::failure::Failure;
use crate::output;
use clap::CommandFactory as _;

pub(crate) fn completions(args: &Completions) -> Result<(), Failure> {
    // Into memory first: clap_complete panics if it can't write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "futex", &mut script);
    output::text(String::from_utf8_lossy(&script))
}

pub(crate) fn man(args: &Man) -> Result<(), Failure> {
    let mut command = Args::command();
    command.build();
    if let Some(name) = &args.command {
        let found = command.find_subcommand(name).cloned();
        let found = found.ok_or_else(|| {
            Failure::Usage(format!("there is no command {}: see `futex --help`", output::printable(name)))
        })?;
        command = found;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    output::text(String::from_utf8_lossy(&page))
}
