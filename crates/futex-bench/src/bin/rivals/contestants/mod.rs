//! The contestants.
//!
//! To add one that is written in Rust, write a file with a [`Handle`](crate::handle::Handle) and a function [`Open`], and add a
//! line to `LIGHT`. In another language, a contestant is a program that speaks the protocol of `peer.rs`, like `boost.cpp`.

mod boost;
mod file_lock;
#[cfg(feature = "iceoryx2")]
mod iceoryx2;
mod ours;
mod posix;

use crate::handle::Open;
use std::path::PathBuf;

/// What is compared.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) peer: Peer,
}

/// The program of a contestant's processes.
pub(crate) enum Peer {
    /// This program: [`open`] knows the contestant.
    Here,
    /// Another program that speaks the same protocol.
    Program(PathBuf),
    /// There is none, for this reason.
    Absent(String),
}

/// The contestants that this program always plays.
const LIGHT: [(&str, Open); 5] = [
    ("futex-ipc", ours::open),
    ("flock", file_lock::flock),
    ("fcntl lock", file_lock::fcntl),
    ("robust pthread mutex", posix::robust_mutex),
    ("POSIX semaphore", posix::semaphore),
];

/// The contestants that this program plays if it is built with their features.
const HEAVY: &[(&str, Open)] = &[
    #[cfg(feature = "iceoryx2")]
    (ICEORYX2, iceoryx2::open),
];

/// The contestant that a C++ program plays.
const BOOST: &str = "boost.interprocess";

/// The contestant that has a feature.
const ICEORYX2: &str = "iceoryx2";

/// Returns the names of all contestants, in the order of the report.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    LIGHT.into_iter().map(|(name, _)| name).chain([BOOST, ICEORYX2])
}

/// Returns the contestant with this name. A program that it needs is compiled first.
pub(crate) fn contestant(name: &'static str) -> Contestant {
    let peer = match name {
        BOOST => boost::compile().map_or_else(Peer::Absent, Peer::Program),
        _ if open(name).is_some() => Peer::Here,
        _ => Peer::Absent("not built in: add `--features iceoryx2` to the options of `cargo run`".into()),
    };
    Contestant { name, peer }
}

/// Returns the function that opens an object of this contestant, if this program plays it.
pub(crate) fn open(name: &str) -> Option<Open> {
    LIGHT.iter().chain(HEAVY).find(|(known, _)| *known == name).map(|&(_, open)| open)
}
