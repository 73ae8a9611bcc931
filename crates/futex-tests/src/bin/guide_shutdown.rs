//! The guide's program `shutdown.rs`.

include!(concat!(env!("OUT_DIR"), "/shutdown.rs"));
