//! The guide's program `supervisor.rs`.

include!(concat!(env!("OUT_DIR"), "/supervisor.rs"));
