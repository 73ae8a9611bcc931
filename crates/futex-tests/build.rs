//! Takes the programs that have a name out of the guide, so that tests can run them as processes.
//!
//! Such a program is a Rust block whose first line is a comment with the name of a file, for instance `// ask.rs`. It becomes
//! `$OUT_DIR/ask.rs`, which `src/bin/guide/ask.rs` includes.

use std::path::Path;
use std::{env, fs};

const GUIDE: &str = "../../docs/guide.md";

fn main() {
    println!("cargo::rerun-if-changed={GUIDE}");
    println!("cargo::rerun-if-changed=build.rs");
    let directory = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let guide = fs::read_to_string(GUIDE).expect("the guide can be read");
    // Every second piece between fences is a block; its first line is the language.
    for block in guide.split("```").skip(1).step_by(2) {
        let Some((_, program)) = block.split_once('\n') else { continue };
        let name = program.lines().next().and_then(|line| line.strip_prefix("// "));
        if let Some(name) = name.filter(|name| name.ends_with(".rs") && !name.contains('/')) {
            fs::write(Path::new(&directory).join(name), program).expect("the program can be written");
        }
    }
}
