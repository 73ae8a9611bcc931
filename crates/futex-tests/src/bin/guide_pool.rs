//! The guide's program `pool.rs`.

include!(concat!(env!("OUT_DIR"), "/pool.rs"));
