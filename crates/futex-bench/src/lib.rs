//! The performance lab: what the library costs, next to everything that one would use instead.
//!
//! `docs/benchmarks.md` tells how to run it and how to read what it says.
//!
//! | | |
//! |---|---|
//! | `questions/` | one file a question: its contestants, and the targets |
//! | `links/` | ways in which two sides wake each other, one file each |
//! | `pipes/` | ways to send messages, one file each |
//! | `question.rs`, `contestant.rs` | what a question and a contestant are |
//! | `rounds.rs`, `stage.rs` | contestants take turns, each on a thread of its own |
//! | `answer.rs`, `series.rs` | what was measured, with medians and ratios |
//! | `verdict.rs` | whether a target is met |
//! | `table.rs`, `json.rs`, `page.rs`, `charts/` | telling it |
//! | `peer.rs`, `hull.rs` | this program again, as the other process, and what it is started with |
//! | `directory.rs` | where the report goes |
//! | `counts.rs`, `scenes.rs` | instruction counts, without a clock |

#[cfg(not(target_os = "linux"))]
compile_error!("futex-bench measures Linux's futexes");

mod allocator;
mod answer;
mod charts;
mod contestant;
mod counts;
mod directory;
mod executor;
mod hull;
mod idler;
mod json;
mod lab;
mod links;
mod names;
mod options;
mod ours;
mod page;
mod peer;
mod pipes;
mod population;
mod question;
mod questions;
mod random;
mod register;
mod rounds;
mod scenes;
mod series;
mod stage;
mod table;
mod usage;
mod verdict;

pub use lab::main;
