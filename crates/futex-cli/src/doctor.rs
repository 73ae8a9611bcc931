//! The command `doctor`: what waits can use here, what is in their way, and whether two processes can wait for each other.
//!
//! | file | what is in it |
//! |---|---|
//! | `report.rs` | findings, and how they are printed |
//! | `trial.rs` | the processes that try the backends, seen from the one that starts them |
//! | `peer.rs` | the same, seen from inside |
//! | `trouble.rs` | why one of these processes failed, and what to do |
//! | `backends.rs` | what the trials say, and which backend programs would take |
//! | `kernel.rs`, `limits.rs`, `memory.rs`, `inotify.rs`, `logind.rs`, `processes.rs` | the findings |
//! | `system.rs` | small files of `/proc` and `/sys` |
//!
//! A sandbox may kill a process that tries a backend. So this process tries none: its children do. It also has one thread and
//! takes no lock that another one holds, because a sandbox may forbid `futex`.

mod backends;
mod inotify;
mod kernel;
mod limits;
mod logind;
mod memory;
pub(crate) mod peer;
mod processes;
mod report;
mod system;
mod trial;
mod trouble;

use crate::args::Doctor;
use crate::failure::Failure;
use crate::output;
use report::Report;
use system::Process;

pub(crate) fn run(args: Doctor) -> Result<(), Failure> {
    let report = examine();
    if args.json {
        output::json(&report)?;
    } else {
        report.print()?;
    }
    if report.works { Ok(()) } else { Err(Failure::Reported) }
}

fn examine() -> Report {
    let process = Process::this();
    let backends = backends::try_all();
    let choice = backends::choose(&backends);
    let uring = &backends[0];
    let mut findings = vec![kernel::release(), kernel::io_uring(&process), kernel::seccomp(&process, &backends)];
    findings.extend([backends::environment(&backends), limits::locked_memory(&process, uring), limits::descriptors()]);
    findings.extend([limits::threads(&process), memory::dev_shm(), memory::memfd(), inotify::instances()]);
    findings.extend([logind::remove_ipc(), processes::proc_fs(), processes::pid_namespace(&process)]);
    findings.extend([processes::time_namespace(), processes::ends(), choice.finding]);
    Report { works: choice.works, chosen: choice.chosen, variable: backends::variable(), backends, findings }
}
