//! Files that import from each other in a circle.

use super::modules::{Crate, Imports};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A description of each circle of a crate: its files, and the names that each file imports from which other.
pub(super) fn circles(of: &Crate) -> Vec<String> {
    let imports = of.imports();
    let mut described = BTreeSet::new();
    let mut circles = Vec::new();
    for &(file, _) in imports.keys() {
        if described.contains(&file) {
            continue;
        }
        let circle: BTreeSet<_> =
            reached(&imports, file).into_iter().filter(|&other| reached(&imports, other).contains(&file)).collect();
        if !circle.is_empty() {
            circles.push(describe(of, &imports, &circle));
            described.extend(circle);
        }
    }
    circles
}

/// The files that a file imports from, directly or through other files.
fn reached(imports: &Imports, file: usize) -> BTreeSet<usize> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![file]);
    while let Some(file) = open.pop() {
        let next = imports.keys().filter(|(from, _)| *from == file).map(|&(_, to)| to);
        open.extend(next.filter(|&to| reached.insert(to)));
    }
    reached
}

fn describe(of: &Crate, imports: &Imports, circle: &BTreeSet<usize>) -> String {
    let mut text = format!("{} files import from each other in a circle:", circle.len());
    for ((from, to), names) in imports {
        if circle.contains(from) && circle.contains(to) {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let _ =
                write!(text, "\n    {} -> {}: {}", of.path(*from).display(), of.path(*to).display(), names.join(", "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// The circles of a crate that has these files.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let text =
            |path: &Path| files.iter().find(|(name, _)| path == Path::new(name)).map(|(_, text)| (*text).to_owned());
        circles(&Crate::read(Path::new(files[0].0), text).unwrap())
    }

    #[test]
    fn a_circle_is_described_by_its_files_and_their_imports() {
        let lib = ("lib.rs", "mod a; mod b; mod c; mod d;");
        let a = ("a.rs", "use crate::b::{B, more::{Deep, self}};");
        let more = ("b/more.rs", "pub struct Deep;");
        let b = ("b.rs", "pub mod more; fn f() -> crate::c::C {}");
        let c = ("c.rs", "use super::a::A as Other;");
        let d = ("d.rs", "use crate::a::A;");
        assert_eq!(
            found(&[lib, a, b, more, c, d]),
            [
                "3 files import from each other in a circle:\n    a.rs -> b.rs: B\n    b.rs -> c.rs: C\n    c.rs -> a.rs: A"
            ]
        );
        assert_eq!(found(&[lib, a, b, more, ("c.rs", ""), d]), [""; 0]);
    }

    #[test]
    fn a_name_from_a_re_export_is_imported_from_the_file_with_the_re_export() {
        let lib = ("lib.rs", "mod a; mod b; pub use self::{a::A, b::B}; pub use other::Far;");
        let b = ("b.rs", "pub struct B;");
        assert_eq!(found(&[lib, ("a.rs", "use crate::b::B;"), b]), [""; 0]);
        let through = "2 files import from each other in a circle:\n    lib.rs -> a.rs: A\n    a.rs -> lib.rs: ";
        assert_eq!(found(&[lib, ("a.rs", "use crate::B;"), b]), [format!("{through}B")]);
        assert_eq!(found(&[lib, ("a.rs", "use crate::Far;"), b]), [format!("{through}Far")]);
        assert_eq!(found(&[lib, ("a.rs", "use super::*;"), b]), [format!("{through}*")]);
    }

    #[test]
    fn a_re_export_for_users_of_the_crate_is_not_an_import() {
        let (a, lib) = (("a.rs", "use super::Unit;"), "mod a; pub use a::A; pub struct Unit;");
        assert_eq!(found(&[("lib.rs", lib), a]), [""; 0]);
        // In a module within the file it is an import.
        assert_eq!(found(&[("lib.rs", "mod a; pub mod b { pub use crate::a::A; } pub struct Unit;"), a]).len(), 1);
        // The file that re-exports a name imports it if it uses the name itself.
        assert_eq!(found(&[("lib.rs", &format!("{lib} fn f(_: A) {{}}")), a]).len(), 1);
    }

    #[test]
    fn a_path_within_a_macro_counts_and_a_variable_does_not() {
        let lib = ("lib.rs", "mod a; mod b;");
        let b = ("b.rs", "fn f() { println!(\"{}\", a(crate::a::f())); }");
        assert_eq!(found(&[lib, ("a.rs", "use crate::b::f;"), b]).len(), 1);
        let parent = ("lib.rs", "mod a; pub struct Unit; fn f(a: u8) -> u8 { assert!(a > 1); a }");
        assert_eq!(found(&[parent, ("a.rs", "use crate::Unit;")]), [""; 0]);
    }

    #[test]
    fn what_is_compiled_for_tests_only_does_not_count() {
        let lib = ("lib.rs", "mod a; #[cfg(all(unix, test))] mod not_there; #[cfg(not(test))] mod b;");
        let a = ("a.rs", "use crate::b::B;");
        let b = "#[cfg(test)] use crate::a::A; #[cfg(test)] mod tests { use crate::a::*; }
            impl B { #[cfg(any(test, all(test, unix)))] fn f() { crate::a::f() } }
            struct C { #[cfg(test)] field: crate::a::A }";
        assert_eq!(found(&[lib, a, ("b.rs", b)]), [""; 0]);
        assert_eq!(found(&[lib, a, ("b.rs", "#![cfg(test)] use crate::a::A;")]), [""; 0]);
        assert_eq!(found(&[lib, a, ("b.rs", "#[cfg(any(test, unix))] use crate::a::A;")]).len(), 1);
    }

    #[test]
    fn a_module_is_found_in_each_place_that_it_can_be_in() {
        let lib = (
            "src/lib.rs",
            "mod folder; mod inner { pub mod deep; pub use super::folder::F; } #[path = \"x/other.rs\"] mod there;",
        );
        let folder = ("src/folder/mod.rs", "mod leaf; use crate::inner::deep::D;");
        let leaf = ("src/folder/leaf.rs", "use super::super::there::T;");
        let deep = ("src/inner/deep.rs", "use super::super::folder::leaf::L;");
        let there = ("src/x/other.rs", "");
        assert_eq!(found(&[lib, folder, leaf, deep, there]), [""; 0]);
        let there = ("src/x/other.rs", "use crate::folder;");
        let circle = found(&[lib, folder, leaf, deep, there]);
        assert_eq!(circle.len(), 1);
        assert!(
            circle[0].starts_with("4 files") && circle[0].contains("src/x/other.rs -> src/folder/mod.rs: folder"),
            "{circle:?}"
        );
    }

    #[test]
    fn a_module_without_a_file_is_an_error() {
        let error =
            Crate::read(Path::new("lib.rs"), |path| (path == Path::new("lib.rs")).then(|| "mod a;".into())).err();
        assert_eq!(error.unwrap(), "the module a has no file a.rs");
    }
}
