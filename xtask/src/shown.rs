//! `cargo xtask shown`: the dependencies that the documents show suffice for their programs.

use crate::error::{Error, command_succeeds};
use crate::workspace;
use std::fs;
use std::path::Path;

pub(crate) const USAGE: &str = "\
cargo xtask shown
    Compiles each Rust program of the README and of the guide with exactly the dependencies that are shown for it: those of
    the next block of TOML, if it comes before the next program, and otherwise those of the document's first such block.
";

/// The documents. (Those in other languages have the same blocks, as a test makes sure.)
const DOCUMENTS: [&str; 5] = [
    "README.md",
    "docs/guide.md",
    "crates/futex-tokio/README.md",
    "crates/futex-core/README.md",
    "crates/futex-sys/README.md",
];

/// The source of the published crates, for which their directory is taken.
const SOURCE: &str = "git = \"https://github.com/async-futex/async-futex\"";

pub(crate) fn run() -> Result<(), Error> {
    let scratch = workspace::scratch_dir().join("shown");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    let mut packages: Vec<String> = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(workspace::root().join(document))?;
        let programs = programs(&text).map_err(|message| Error::Failed(format!("{document}: {message}")))?;
        for (dependencies, program) in programs {
            let known = packages.iter().position(|known| *known == dependencies);
            let package = known.unwrap_or_else(|| {
                packages.push(dependencies.to_owned());
                packages.len() - 1
            });
            let programs = scratch.join(name(package)).join("src/bin");
            fs::create_dir_all(&programs)?;
            let number = fs::read_dir(&programs)?.count();
            fs::write(programs.join(format!("program_{number}.rs")), program)?;
        }
    }
    for (package, dependencies) in packages.iter().enumerate() {
        fs::write(scratch.join(name(package)).join("Cargo.toml"), manifest(&name(package), dependencies))?;
    }
    fs::write(scratch.join("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = [\"package-*\"]\n")?;
    fs::copy(workspace::root().join("Cargo.lock"), scratch.join("Cargo.lock"))?;
    for package in 0..packages.len() {
        // One at a time: together, each would have the features of all.
        let mut check = workspace::cargo();
        check.args(["check", "--package", &name(package), "--target-dir"]).arg(workspace::target_dir());
        command_succeeds(check.current_dir(&scratch))?;
    }
    Ok(())
}

fn name(package: usize) -> String {
    format!("package-{package}")
}

fn manifest(name: &str, dependencies: &str) -> String {
    let crates = workspace::root().join("crates");
    let lines = dependencies.lines().map(|line| match line.split_once(" = ") {
        Some((dependency, _)) => line.replace(SOURCE, &format!("path = {:?}", crates.join(Path::new(dependency)))),
        None => line.to_owned(),
    });
    let lines: Vec<_> = lines.collect();
    format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n\n{}\n", lines.join("\n"))
}

/// The programs of a document, each behind its dependencies.
fn programs(document: &str) -> Result<Vec<(&str, &str)>, &'static str> {
    let blocks = document.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    let blocks: Vec<_> = blocks.filter(|(language, _)| language.starts_with("rust") || *language == "toml").collect();
    let is_program = |language: &str| language.starts_with("rust");
    let first = blocks.iter().find(|(language, _)| !is_program(language)).ok_or("there are no dependencies")?.1;
    let pairs = blocks.iter().enumerate().filter(|(_, (language, _))| is_program(language));
    Ok(pairs
        .map(|(index, (_, program))| match blocks.get(index + 1) {
            Some((language, dependencies)) if !is_program(language) => (*dependencies, *program),
            _ => (first, *program),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_the_dependencies_behind_it_or_else_the_first_ones() {
        let document =
            "```toml\na\n```\n```rust\n1\n```\n```rust,no_run\n2\n```\n```c\n3\n```\n```toml\nb\n```\n```rust\n4\n```";
        assert_eq!(programs(document).unwrap(), [("a\n", "1\n"), ("b\n", "2\n"), ("a\n", "4\n")]);
        assert!(programs("```rust\n1\n```").is_err());
    }

    #[test]
    fn the_crates_are_those_of_this_workspace() {
        let manifest = manifest("x", &format!("[dependencies]\nfutex-sys = {{ {SOURCE} }}\ntokio = \"1\"\n"));
        assert!(manifest.contains("/crates/futex-sys\" }\ntokio = \"1\"\n"), "{manifest}");
        assert!(!manifest.contains("git"), "{manifest}");
    }
}
