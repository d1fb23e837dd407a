//! Which module of a program uses which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::module::{Module, ModulePath, modules};

/// A library, a program or a test, with all its modules.
#[derive(Debug)]
pub struct Program {
    modules: BTreeMap<ModulePath, Module>,
}

/// One module names what another defines.
#[derive(Debug)]
pub struct Use<'a> {
    /// The module that names it, from the program's root.
    pub from: &'a [String],
    /// The module that defines it.
    pub to: Vec<String>,
    /// The file of `from`.
    pub file: &'a Path,
    /// The line of that file, from 1.
    pub line: usize,
    /// The path as it is written.
    pub path: String,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
enum Meaning {
    Module(ModulePath),
    /// Something that this module defines.
    Item(ModulePath),
}

/// Names that are being looked up, as re-exports can lead back to themselves.
type Asked = BTreeSet<(ModulePath, String)>;

impl Program {
    /// Reads the program whose root is this file: `lib.rs`, `main.rs` or a test.
    ///
    /// # Errors
    /// If a file of it can't be read or parsed, or is missing.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        Ok(Self { modules: modules(root)? })
    }

    /// Its source files.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.modules.values().map(|module| &module.file)
    }

    /// All uses of one module by another, except those of tests.
    #[must_use]
    pub fn uses(&self) -> Vec<Use<'_>> {
        let mut uses = Vec::new();
        for (from, module) in self.modules.iter().filter(|(_, module)| !module.is_test) {
            for reference in &module.references {
                let mut asked = Asked::new();
                let meanings = match reference.path.as_slice() {
                    // An import of the name counts already, and a variable's name means nothing.
                    [name] if !self.comes_by_glob(module, from, name) => continue,
                    [name] => self.items_called(from, name, &mut asked),
                    path => self.meanings(from, path, &mut asked),
                };
                for meaning in meant(meanings, reference.is_use) {
                    let (Meaning::Module(to) | Meaning::Item(to)) = meaning;
                    let is_test = self.modules.get(&to).is_none_or(|module| module.is_test);
                    if to != *from && !is_test {
                        let path = reference.path.join("::");
                        uses.push(Use { from, to, file: &module.file, line: reference.line, path });
                    }
                }
            }
        }
        uses
    }

    fn comes_by_glob(&self, module: &Module, path: &[String], name: &str) -> bool {
        let is_imported = module.imports.iter().any(|import| import.name.as_deref() == Some(name));
        !is_imported && !module.defined.contains(name) && !self.modules.contains_key(&child(path, name))
    }

    fn items_called(&self, module: &[String], name: &str, asked: &mut Asked) -> Vec<Meaning> {
        let mut meanings = self.meanings_of_name(module, name, asked);
        meanings.retain(|meaning| matches!(meaning, Meaning::Item(_)));
        meanings
    }

    /// What a path written in this module can stand for; nothing if it is another crate's.
    fn meanings(&self, module: &[String], path: &[String], asked: &mut Asked) -> Vec<Meaning> {
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        let mut meanings = match first.as_str() {
            "crate" => vec![Meaning::Module(Vec::new())],
            "self" | "super" => self.step(Meaning::Module(module.to_vec()), first, asked),
            name => self.meanings_of_name(module, name, asked),
        };
        for name in rest {
            meanings = meant(meanings, true).into_iter().flat_map(|meaning| self.step(meaning, name, asked)).collect();
        }
        meanings
    }

    /// What `name` behind `::` stands for.
    fn step(&self, before: Meaning, name: &str, asked: &mut Asked) -> Vec<Meaning> {
        let Meaning::Module(module) = before else {
            // A variant or an associated function.
            return vec![before];
        };
        match name {
            "self" => vec![Meaning::Module(module)],
            "super" => {
                let parent = module.split_last().map(|(_, parent)| parent.to_vec());
                parent.map(Meaning::Module).into_iter().collect()
            }
            name => {
                let meanings = self.meanings_of_name(&module, name, asked);
                // A macro may have made it.
                if meanings.is_empty() { vec![Meaning::Item(module)] } else { meanings }
            }
        }
    }

    /// Types, functions and macros may share a name, so it can stand for several things.
    fn meanings_of_name(&self, module: &[String], name: &str, asked: &mut Asked) -> Vec<Meaning> {
        let key = (module.to_vec(), name.to_owned());
        let Some(content) = self.modules.get(module) else { return Vec::new() };
        if !asked.insert(key.clone()) {
            return Vec::new();
        }
        let mut meanings = Vec::new();
        if content.defined.contains(name) {
            meanings.push(Meaning::Item(module.to_vec()));
        }
        if self.modules.contains_key(&child(module, name)) {
            meanings.push(Meaning::Module(child(module, name)));
        }
        for import in content.imports.iter().filter(|import| import.name.as_deref() == Some(name)) {
            meanings.extend(self.meanings(module, &import.path, asked));
        }
        if meanings.is_empty() {
            for glob in content.imports.iter().filter(|import| import.name.is_none()) {
                for meaning in self.meanings(module, &glob.path, asked) {
                    if let Meaning::Module(other) = meaning {
                        meanings.extend(self.meanings_of_name(&other, name, asked));
                    }
                }
            }
        }
        asked.remove(&key);
        meanings
    }
}

/// Of a module and a function of one name: the module before `::` and in a `use`, else the function.
fn meant(mut meanings: Vec<Meaning>, is_module: bool) -> Vec<Meaning> {
    let are_modules = |meaning: &Meaning| matches!(meaning, Meaning::Module(_));
    if meanings.iter().any(|meaning| are_modules(meaning) == is_module) {
        meanings.retain(|meaning| are_modules(meaning) == is_module);
    }
    meanings
}

fn child(module: &[String], name: &str) -> ModulePath {
    [module, &[name.to_owned()]].concat()
}
