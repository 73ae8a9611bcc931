//! `cargo xtask shown`: the documents' programs compile with the dependencies that the documents show.

use crate::error::Error;
use crate::scratch::Scratch;
use crate::workspace;
use std::fs;
use std::path::Path;

/// The documents. A test checks that translations have the same blocks.
const DOCUMENTS: [&str; 7] = [
    "README.md",
    "docs/guide.md",
    "docs/ipc.md",
    "crates/futex-tokio/README.md",
    "crates/futex-core/README.md",
    "crates/futex-sys/README.md",
    "crates/futex-ipc/README.md",
];

/// The source of the published crates in the documents. It is replaced by their directory.
const SOURCE: &str = "git = \"https://github.com/async-futex/async-futex\"";

pub(crate) fn run() -> Result<(), Error> {
    let scratch = Scratch::empty("shown")?;
    let mut packages: Vec<String> = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(workspace::root().join(document))?;
        let programs = programs(&text).map_err(|message| format!("{document}: {message}"))?;
        for (dependencies, program) in programs {
            let known = packages.iter().position(|known| *known == dependencies);
            let package = known.unwrap_or_else(|| {
                packages.push(dependencies.to_owned());
                packages.len() - 1
            });
            let programs = scratch.root().join(name(package)).join("src/bin");
            fs::create_dir_all(&programs)?;
            let number = fs::read_dir(&programs)?.count();
            fs::write(programs.join(format!("program_{number}.rs")), program)?;
        }
    }
    for (package, dependencies) in packages.iter().enumerate() {
        let package = name(package);
        fs::write(scratch.root().join(&package).join("Cargo.toml"), manifest(&package, dependencies))?;
    }
    scratch.write_manifest(&["package-*".into()], "")?;
    // One package at a time: cargo would unite their features.
    (0..packages.len()).try_for_each(|package| scratch.check(["--package", &name(package)]))
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

/// The programs of a document with their dependencies: those in the next block of TOML, if no program comes before it, and
/// otherwise those in the first block of TOML.
fn programs(document: &str) -> Result<Vec<(&str, &str)>, &'static str> {
    let blocks = document.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    let blocks: Vec<_> = blocks.filter(|(language, _)| language.starts_with("rust") || *language == "toml").collect();
    let is_program = |language: &str| language.starts_with("rust");
    let first =
        blocks.iter().find(|(language, _)| !is_program(language)).ok_or("the document shows no dependencies")?.1;
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
    fn a_program_has_the_dependencies_that_follow_it_or_the_first_ones() {
        let document =
            "```toml\na\n```\n```rust\n1\n```\n```rust,no_run\n2\n```\n```c\n3\n```\n```toml\nb\n```\n```rust\n4\n```";
        assert_eq!(programs(document).unwrap(), [("a\n", "1\n"), ("b\n", "2\n"), ("a\n", "4\n")]);
        assert!(programs("```rust\n1\n```").is_err());
    }

    #[test]
    fn the_published_crates_come_from_this_workspace() {
        let manifest = manifest("x", &format!("[dependencies]\nfutex-sys = {{ {SOURCE} }}\ntokio = \"1\"\n"));
        assert!(manifest.contains("/crates/futex-sys\" }\ntokio = \"1\"\n"), "{manifest}");
        assert!(!manifest.contains("git"), "{manifest}");
    }
}
