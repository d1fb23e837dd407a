//! A program's modules, as its files declare them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context;
use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, Meta, Token, UseTree};

/// Names from the program's root, which is the empty path, to a module.
pub(crate) type ModulePath = Vec<String>;

#[derive(Debug, Default)]
pub(crate) struct Module {
    pub(crate) file: PathBuf,
    /// It is compiled for tests only.
    pub(crate) is_test: bool,
    /// The items that its own file defines.
    pub(crate) defined: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
    /// All paths, those of `use` included.
    pub(crate) references: Vec<Reference>,
}

/// A name that `use` brings into a module.
#[derive(Debug)]
pub(crate) struct Import {
    /// `None` is a glob.
    pub(crate) name: Option<String>,
    pub(crate) path: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) path: Vec<String>,
    /// It stands in a `use`, so it can mean a module.
    pub(crate) is_use: bool,
    pub(crate) line: usize,
}

/// Reads the program whose root is this file: `lib.rs`, `main.rs` or a test.
pub(crate) fn modules(root: &Path) -> anyhow::Result<BTreeMap<ModulePath, Module>> {
    let mut modules = BTreeMap::new();
    let folder = root.parent().context("a file is in a folder")?;
    read_file(&Place { file: root, folder, path: &[], is_test: false }, &mut modules)?;
    Ok(modules)
}

struct Place<'a> {
    file: &'a Path,
    /// Where the files of its children are.
    folder: &'a Path,
    path: &'a [String],
    is_test: bool,
}

fn read_file(place: &Place<'_>, modules: &mut BTreeMap<ModulePath, Module>) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(place.file).with_context(|| format!("can't read {}", place.file.display()))?;
    let file = syn::parse_file(&text).with_context(|| format!("can't parse {}", place.file.display()))?;
    read_items(&file.items, place, modules)
}

fn read_items(items: &[Item], place: &Place<'_>, modules: &mut BTreeMap<ModulePath, Module>) -> anyhow::Result<()> {
    let mut module = Module { file: place.file.to_owned(), is_test: place.is_test, ..Module::default() };
    for item in items {
        let Item::Mod(child) = item else {
            module.defined.extend(name_of(item));
            module.visit_item(item);
            continue;
        };
        let name = child.ident.unraw().to_string();
        let folder = place.folder.join(&name);
        let path = [place.path, std::slice::from_ref(&name)].concat();
        let is_test = place.is_test || are_for_tests(&child.attrs);
        if let Some((_, items)) = &child.content {
            read_items(items, &Place { file: place.file, folder: &folder, path: &path, is_test }, modules)?;
        } else {
            let files = [place.folder.join(format!("{name}.rs")), folder.join("mod.rs")];
            let file = files.iter().find(|file| file.is_file());
            let file = file.with_context(|| format!("{} has `mod {name}` without a file", place.file.display()))?;
            read_file(&Place { file, folder: &folder, path: &path, is_test }, modules)?;
        }
    }
    modules.insert(place.path.to_vec(), module);
    Ok(())
}

impl Module {
    fn refer(&mut self, path: Vec<String>, line: usize) {
        self.references.push(Reference { path, is_use: false, line });
    }

    fn import(&mut self, prefix: &[String], tree: &UseTree) {
        let joined = |ident: &Ident| [prefix, &[ident.unraw().to_string()]].concat();
        // `a::{self}` is `a`.
        let path_to = |ident: &Ident| if ident == "self" { prefix.to_vec() } else { joined(ident) };
        let (ident, name, path) = match tree {
            UseTree::Path(part) => return self.import(&joined(&part.ident), &part.tree),
            UseTree::Group(group) => return group.items.iter().for_each(|tree| self.import(prefix, tree)),
            UseTree::Glob(glob) => {
                let line = glob.star_token.spans[0].start().line;
                self.imports.push(Import { name: None, path: prefix.to_vec() });
                return self.references.push(Reference { path: prefix.to_vec(), is_use: true, line });
            }
            UseTree::Name(named) => (&named.ident, path_to(&named.ident).last().cloned(), path_to(&named.ident)),
            UseTree::Rename(renamed) => {
                (&renamed.ident, Some(renamed.rename.unraw().to_string()), path_to(&renamed.ident))
            }
        };
        self.imports.push(Import { name, path: path.clone() });
        self.references.push(Reference { path, is_use: true, line: ident.span().start().line });
    }

    /// The paths among tokens that nobody has parsed: those of a macro or an attribute, and there those in texts, too, as in
    /// `serialize_with = "crate::seconds"`.
    fn refer_to_all(&mut self, tokens: TokenStream, in_texts: bool) {
        let mut path = Vec::new();
        let mut line = 0;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if colons == 2 => {
                    // Without a beginning it is `::name` or `<…>::name`, and nothing of this program.
                    if !path.is_empty() {
                        path.push(ident.unraw().to_string());
                    }
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    colons = 0;
                    if !path.is_empty() {
                        self.refer(std::mem::take(&mut path), line);
                    }
                    match other {
                        TokenTree::Ident(ident) => {
                            line = ident.span().start().line;
                            path.push(ident.unraw().to_string());
                        }
                        TokenTree::Group(group) => self.refer_to_all(group.stream(), in_texts),
                        TokenTree::Literal(literal) if in_texts => {
                            let text = literal.to_string();
                            if let Ok(named) = syn::parse_str::<syn::Path>(text.trim_matches('"')) {
                                self.refer(names(&named), literal.span().start().line);
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
        if !path.is_empty() {
            self.refer(path, line);
        }
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast Item) {
        if !are_for_tests(attributes_of(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            _ => return visit::visit_impl_item(self, item),
        };
        if !are_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.import(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let (None, Some(first)) = (&path.leading_colon, path.segments.first()) {
            self.refer(names(path), first.ident.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.refer_to_all(call.tokens.clone(), false);
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.refer_to_all(list.tokens.clone(), true);
        }
    }
}

fn names(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.unraw().to_string()).collect()
}

fn are_for_tests(attributes: &[Attribute]) -> bool {
    let is_for_tests = |attribute: &Attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args().is_ok_and(|condition| needs_test(&condition))
    };
    attributes.iter().any(is_for_tests)
}

/// Whether a condition of `cfg` holds in tests only.
fn needs_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(name) => name.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|conditions| conditions.iter().any(needs_test)),
        _ => false,
    }
}

fn attributes_of(item: &Item) -> &[Attribute] {
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
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.unraw().to_string())
}
