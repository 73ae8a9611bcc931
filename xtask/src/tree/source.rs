//! One source file: its modules and the paths in it, except code that is compiled for tests only.

use proc_macro2::{TokenStream, TokenTree};
use std::path::{Path, PathBuf};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprLit, ImplItem, Item, Lit, Meta, Token, UseTree, Visibility};

/// The path of a module from the crate's root. The root's path is empty.
pub(super) type ModulePath = Vec<String>;

/// The contents of a file.
#[derive(Default)]
pub(super) struct Source {
    /// Modules within the file, and modules with files of their own.
    pub(super) modules: Vec<Module>,
    pub(super) mentions: Vec<Mention>,
}

/// A module that a file declares.
pub(super) struct Module {
    pub(super) path: ModulePath,
    /// The paths that its file can have. Empty if the module is within this file.
    pub(super) files: Vec<PathBuf>,
}

/// A path in a file.
pub(super) struct Mention {
    /// The module that the path is relative to.
    pub(super) within: ModulePath,
    /// At least one name. The last one may be `*`.
    pub(super) names: Vec<String>,
    pub(super) kind: Kind,
}

/// The place of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Use,
    /// A `use` with a visibility, under this name.
    ReExport {
        name: String,
    },
    /// An expression, a type, a pattern or a macro.
    Inline,
}

/// Reads the text of a file that is the module `path`.
pub(super) fn read(file: &Path, path: &[String], text: &str) -> syn::Result<Source> {
    let mut reader = Reader { file, path, within: path.to_vec(), source: Source::default() };
    let parsed = syn::parse_file(text)?;
    if !only_for_tests(&parsed.attrs) {
        reader.visit_file(&parsed);
    }
    Ok(reader.source)
}

struct Reader<'a> {
    file: &'a Path,
    path: &'a [String],
    /// The module that is being read: the file's own, or one within it.
    within: ModulePath,
    source: Source,
}

impl Reader<'_> {
    fn mention(&mut self, names: Vec<String>, kind: Kind) {
        self.source.mentions.push(Mention { within: self.within.clone(), names, kind });
    }

    /// The paths that the file of a module can have. The current module declares it.
    fn files(&self, name: &str, attributes: &[Attribute]) -> Vec<PathBuf> {
        let beside = self.file.parent().unwrap_or(Path::new(""));
        if let Some(path) = attributes.iter().find_map(path_attribute) {
            return vec![beside.join(path)];
        }
        let stem = self.file.file_stem().unwrap_or_default();
        let mut directory = beside.to_owned();
        if !["lib", "main", "mod"].iter().any(|root| stem == *root) {
            directory.push(stem);
        }
        directory.extend(&self.within[self.path.len()..]);
        vec![directory.join(format!("{name}.rs")), directory.join(name).join("mod.rs")]
    }

    fn mention_tree(&mut self, tree: &UseTree, mut names: Vec<String>, re_export: bool) {
        let alias = match tree {
            UseTree::Path(path) => {
                names.push(path.ident.to_string());
                return self.mention_tree(&path.tree, names, re_export);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.mention_tree(tree, names.clone(), re_export));
            }
            UseTree::Glob(_) => {
                names.push("*".into());
                "*".into()
            }
            UseTree::Name(name) => {
                names.push(name.ident.to_string());
                name.ident.to_string()
            }
            UseTree::Rename(rename) => {
                names.push(rename.ident.to_string());
                rename.rename.to_string()
            }
        };
        // `a::{self}` is `a`.
        if names.len() > 1 && names.last().is_some_and(|name| name == "self") {
            names.pop();
        }
        self.mention(names, if re_export { Kind::ReExport { name: alias } } else { Kind::Use });
    }

    /// Reads the paths in the input of a macro, which is not Rust syntax.
    fn mention_tokens(&mut self, tokens: TokenStream) {
        let mut names: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.mention_inline(std::mem::take(&mut names));
                    }
                    names.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.mention_inline(std::mem::take(&mut names));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.mention_tokens(group.stream());
                    }
                }
            }
        }
        self.mention_inline(names);
    }

    fn mention_inline(&mut self, names: Vec<String>) {
        if !names.is_empty() {
            self.mention(names, Kind::Inline);
        }
    }
}

impl<'a> Visit<'a> for Reader<'_> {
    fn visit_item(&mut self, item: &'a Item) {
        if !only_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'a ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => &item.attrs[..],
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            _ => &[],
        };
        if !only_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_field(&mut self, field: &'a syn::Field) {
        if !only_for_tests(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_field_value(&mut self, field: &'a syn::FieldValue) {
        if !only_for_tests(&field.attrs) {
            visit::visit_field_value(self, field);
        }
    }

    fn visit_local(&mut self, local: &'a syn::Local) {
        if !only_for_tests(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        let name = item.ident.to_string();
        let files = if item.content.is_some() { Vec::new() } else { self.files(&name, &item.attrs) };
        self.within.push(name);
        self.source.modules.push(Module { path: self.within.clone(), files });
        visit::visit_item_mod(self, item);
        self.within.pop();
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        if item.leading_colon.is_none() {
            // In a module within the file, a re-export is an import.
            let re_export = self.within == self.path && !matches!(item.vis, Visibility::Inherited);
            self.mention_tree(&item.tree, Vec::new(), re_export);
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.leading_colon.is_none() {
            self.mention_inline(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'a syn::Macro) {
        visit::visit_macro(self, call);
        self.mention_tokens(call.tokens.clone());
    }

    /// The path in `pub(in path)` is not an import.
    fn visit_visibility(&mut self, _: &'a Visibility) {}

    fn visit_attribute(&mut self, _: &'a Attribute) {}
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The file that `#[path = "…"]` names.
fn path_attribute(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    }
}

/// True if a `cfg` removes the item from every build that is not for tests.
fn only_for_tests(attributes: &[Attribute]) -> bool {
    let mut conditions = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    conditions.any(|condition| condition.parse_args().is_ok_and(|condition| holds(&condition) == Some(false)))
}

/// The value of a condition without `test`, or `None` if it depends on other conditions.
fn holds(condition: &Meta) -> Option<bool> {
    if condition.path().is_ident("test") {
        return Some(false);
    }
    let parts = condition.require_list().ok()?.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
    let mut parts = parts.iter().map(holds);
    match condition.path().get_ident()?.to_string().as_str() {
        "not" => parts.next()?.map(|holds| !holds),
        "all" => parts.any(|holds| holds == Some(false)).then_some(false),
        "any" => parts.all(|holds| holds == Some(false)).then_some(false),
        _ => None,
    }
}
