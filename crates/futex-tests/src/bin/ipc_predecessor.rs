//! The program `predecessor.rs` of the guide to futex-ipc.

include!(concat!(env!("OUT_DIR"), "/predecessor.rs"));
