//! The guide's program `ask.rs`.

include!(concat!(env!("OUT_DIR"), "/ask.rs"));
