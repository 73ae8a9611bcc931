//! The modules of a crate, and the imports between its files.

use super::source::{self, Kind, Mention, ModulePath, Source};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

/// The files of a crate, except those that are compiled for tests only.
pub(super) struct Crate {
    files: Vec<File>,
    /// The files of each module. A module has several files if each has its own `cfg`.
    modules: BTreeMap<ModulePath, Vec<usize>>,
}

struct File {
    path: PathBuf,
    module: ModulePath,
    source: Source,
}

/// For each pair of files, the names that the first imports from the second.
pub(super) type Imports = BTreeMap<(usize, usize), BTreeSet<String>>;

impl Crate {
    /// Reads the crate with the root file `root`. `text` returns the text of a file, or `None` if there is no such file.
    pub(super) fn read(root: &Path, text: impl Fn(&Path) -> Option<String>) -> Result<Self, String> {
        let mut found = Self { files: Vec::new(), modules: BTreeMap::new() };
        let mut wanted = VecDeque::from([(ModulePath::new(), vec![root.to_owned()])]);
        while let Some((module, places)) = wanted.pop_front() {
            let Some((path, text)) = places.iter().find_map(|place| Some((place.clone(), text(place)?))) else {
                return Err(format!("the module {} has no file {}", module.join("::"), places[0].display()));
            };
            let source = source::read(&path, &module, &text).map_err(|error| format!("{}: {error}", path.display()))?;
            found.modules.entry(module.clone()).or_default().push(found.files.len());
            for declared in &source.modules {
                if declared.files.is_empty() {
                    found.modules.entry(declared.path.clone()).or_default().push(found.files.len());
                } else {
                    wanted.push_back((declared.path.clone(), declared.files.clone()));
                }
            }
            found.files.push(File { path, module, source });
        }
        Ok(found)
    }

    pub(super) fn path(&self, file: usize) -> &Path {
        &self.files[file].path
    }

    /// Returns the imports between files.
    ///
    /// A re-export is an import if any file of the crate uses a re-exported name of the same file. Otherwise it is for users
    /// of the crate, and not an import.
    pub(super) fn imports(&self) -> Imports {
        let mut passes_on = BTreeSet::new();
        loop {
            let (mut imports, mut through) = (Imports::new(), passes_on.clone());
            for (from, file) in self.files.iter().enumerate() {
                for mention in &file.source.mentions {
                    if matches!(mention.kind, Kind::ReExport { .. }) && !passes_on.contains(&from) {
                        continue;
                    }
                    if mention.kind == Kind::Inline && self.re_exports(from, &mention.names[0]) {
                        through.insert(from); // the file uses its own re-export
                    }
                    let Some((module, name)) = self.resolve(mention) else { continue };
                    for &to in self.modules[module].iter().filter(|&&to| to != from) {
                        if name.is_some_and(|name| self.re_exports(to, name)) {
                            through.insert(to);
                        }
                        let name = name.or(module.last().map(String::as_str)).unwrap_or("crate");
                        imports.entry((from, to)).or_default().insert(name.to_owned());
                    }
                }
            }
            if through == passes_on {
                return imports;
            }
            passes_on = through;
        }
    }

    /// True if a file re-exports this name, or any name for `*`.
    fn re_exports(&self, file: usize, name: &str) -> bool {
        self.files[file].source.mentions.iter().any(|mention| {
            let Kind::ReExport { name: given } = &mention.kind else { return false };
            mention.within == self.files[file].module && (name == "*" || given == name)
        })
    }

    /// Returns the module that a path leads to, and the name in it, unless the path ends at the module itself. Returns `None`
    /// if the path leads out of the crate, or begins with a name of the file itself.
    fn resolve<'a>(&'a self, mention: &'a Mention) -> Option<(&'a ModulePath, Option<&'a str>)> {
        if mention.kind == Kind::Inline && mention.names.len() == 1 {
            return None; // a name of the file, such as a variable
        }
        let mut module = mention.within.clone();
        let mut names = mention.names.iter().peekable();
        let mut is_path = false;
        while let Some(name) = names.peek() {
            match name.as_str() {
                "crate" => module.clear(),
                "self" => {}
                "super" => drop(module.pop()),
                _ => break,
            }
            is_path = true;
            names.next();
        }
        while let Some(&name) = names.peek() {
            module.push(name.clone());
            if !self.modules.contains_key(&module) {
                module.pop();
                break;
            }
            is_path = true;
            names.next();
        }
        let (module, _) = self.modules.get_key_value(&module)?;
        is_path.then(|| (module, names.next().map(String::as_str)))
    }
}
