//! The parent process: starts the candidates, kills each leader, and checks that another one takes over.

use crate::CANDIDATES;
use crate::candidate::{Objects, address};
use crate::options::Options;
use crate::shared::in_region;
use futex_ipc::{MemberEvent, MemberEvents, Region};
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// Time for which a leader lives.
const REIGN: Duration = Duration::from_millis(100);

pub(crate) async fn run(options: &Options) -> io::Result<()> {
    let name = format!("leader-{}", std::process::id());
    in_region(&name, async |region| elect(options, region, &name).await).await
}

async fn elect(options: &Options, region: &Region, name: &str) -> io::Result<()> {
    let objects = Objects::open_or_create(region)?;
    let mut changes = region.watch_members()?;
    let mut candidates = Vec::new();
    for _ in 0..CANDIDATES {
        candidates.push(start(name)?);
    }
    objects.elected.wait().await?;
    println!("term 1 begins: process {} leads", leader(name, 1)?);

    let mut times = Vec::new();
    for term in 2..=options.terms {
        tokio::time::sleep(REIGN).await;
        let killed = leader(name, term - 1)?;
        let mut child = take(&mut candidates, killed)?;
        let start_of_change = Instant::now();
        child.start_kill()?; // SIGKILL
        let (noticed, elected) = tokio::join!(until_dead(&mut changes, killed), objects.elected.wait());
        let (noticed, elected) = (noticed? - start_of_change, elected.map(|()| start_of_change.elapsed())?);
        let now = leader(name, term)?;
        println!(
            "term {term} begins: process {now} leads {elected:.1?} after the kill of {killed}, which was noticed after {noticed:.1?}"
        );
        times.push(elected);
        child.wait().await?;
        candidates.push(start(name)?);
    }

    objects.finish.set()?;
    for mut child in candidates {
        let status = child.wait().await?;
        if !status.success() {
            return Err(io::Error::other(format!("a candidate failed: {status}")));
        }
    }
    times.sort();
    let (median, max) = (times[times.len() / 2], times[times.len() - 1]);
    println!("from a kill to the next leader: median {median:.1?}, maximum {max:.1?}");
    println!("verified: {} terms with one leader each, {} of them killed", options.terms, times.len());
    Ok(())
}

fn start(name: &str) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["--candidate", name])
        .process_group(0) // Ctrl-C is for the parent
        .kill_on_drop(true)
        .spawn()
}

/// Asks the leader for its pid, and checks that it leads in this term.
fn leader(name: &str, term: u64) -> io::Result<u32> {
    let mut answer = String::new();
    UnixStream::connect_addr(&address(name)?)?.read_to_string(&mut answer)?;
    match answer.split_once(' ') {
        Some((number, pid)) if number.parse() == Ok(term) => pid.parse().map_err(io::Error::other),
        _ => Err(io::Error::other(format!("the leader of term {term} answers {answer:?}"))),
    }
}

/// Removes the candidate of this pid from the list. Only a candidate that was not killed is there.
fn take(candidates: &mut Vec<Child>, pid: u32) -> io::Result<Child> {
    match candidates.iter().position(|child| child.id() == Some(pid)) {
        Some(index) => Ok(candidates.swap_remove(index)),
        None => Err(io::Error::other(format!("process {pid} leads, but is not a candidate"))),
    }
}

/// Waits until the death of this process, and of no other one, is reported. Returns the time of the report.
async fn until_dead(changes: &mut MemberEvents, pid: u32) -> io::Result<Instant> {
    loop {
        match changes.next().await? {
            MemberEvent::Joined(_) => {}
            MemberEvent::Died(member) if member.process().is_some_and(|process| process.pid() == pid) => {
                return Ok(Instant::now());
            }
            other => return Err(io::Error::other(format!("{other:?} was reported, but {pid} was killed"))),
        }
    }
}
