//! Extracts the programs with a file name from the guides, so that tests can run them as processes.
//!
//! Such a program is a Rust block whose first line is a comment with a file name, for instance `// ask.rs`. This script writes it
//! to `$OUT_DIR/ask.rs`, and `src/bin/guide_ask.rs` includes that file.

use std::path::Path;
use std::{env, fs};

const GUIDES: [&str; 2] = ["../../docs/guide.md", "../../docs/ipc.md"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let directory = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    for guide in GUIDES {
        println!("cargo::rerun-if-changed={guide}");
        extract(&fs::read_to_string(guide).expect("the guide can be read"), Path::new(&directory));
    }
}

fn extract(guide: &str, directory: &Path) {
    // Every second piece between fences is a block. Its first line is the language.
    for block in guide.split("```").skip(1).step_by(2) {
        let Some((_, program)) = block.split_once('\n') else { continue };
        let name = program.lines().next().and_then(|line| line.strip_prefix("// "));
        if let Some(name) = name.filter(|name| name.ends_with(".rs") && !name.contains('/')) {
            fs::write(directory.join(name), program).expect("the program can be written");
        }
    }
}
