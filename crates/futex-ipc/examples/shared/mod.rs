//! What the examples `resource_lock`, `leader` and `gpu_pool` have in common.

use futex_ipc::Region;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Returns the options of a program. If the program must not run, returns the status with which it ends.
pub(crate) fn options<T>(program: &str, usage: &str, parsed: Result<Option<T>, lexopt::Error>) -> Result<T, ExitCode> {
    match parsed {
        Ok(Some(options)) => Ok(options),
        Ok(None) => {
            print!("{usage}");
            Err(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprint!("{program}: {error}\n\n{usage}");
            Err(ExitCode::from(2))
        }
    }
}

/// Returns the status with which a program ends.
pub(crate) fn status(program: &str, done: io::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes a region for a parent process and its children, and works with it until Ctrl-C. At the end, nothing of the region is left.
pub(crate) async fn in_region(name: &str, work: impl AsyncFnOnce(&Region) -> io::Result<()>) -> io::Result<()> {
    // This process is a member as long as it has children. So the region stays if all of them are killed at once.
    let region = Region::builder().label("parent").create(name)?;

    let done = tokio::select! {
        done = work(&region) => done,
        pressed = tokio::signal::ctrl_c() => pressed.and(Err(io::Error::other("interrupted"))),
    };
    until_alone(&region).await?;
    drop(region);
    done?;

    // The last member that leaves removes the name.
    match Path::new("/dev/shm").join(name).exists() {
        true => Err(io::Error::other(format!("/dev/shm/{name} was left behind"))),
        false => Ok(()),
    }
}

/// Waits until this process is the only member. A process that was killed stays a member for a moment.
async fn until_alone(region: &Region) -> io::Result<()> {
    let mut changes = region.watch_members()?;
    while region.members()?.len() > 1 {
        changes.next().await?;
    }
    Ok(())
}
