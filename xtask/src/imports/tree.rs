//! A crate's modules, as its sources declare them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use syn::{Item, ItemMacro, ItemMod};

use super::names::{Names, Use, is_for_tests};

/// A module, in a file of its own or inline.
#[derive(Debug)]
pub(super) struct Module {
    /// The names from the crate's root to the module.
    pub(super) path: Vec<String>,
    pub(super) file: String,
    pub(super) parent: Option<usize>,
    pub(super) children: BTreeMap<String, usize>,
    /// What the module defines under a name, its modules aside.
    pub(super) items: BTreeSet<String>,
    pub(super) names: Names,
}

/// The modules of one crate; the first is its root.
#[derive(Debug)]
pub(super) struct Tree {
    modules: Vec<Module>,
}

impl Tree {
    /// Reads the crate whose root is the file `root`.
    pub(super) fn read(root: &str, read: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let (directory, _) = root.rsplit_once('/').context("a crate's root is in a directory")?;
        let mut tree = Self { modules: Vec::new() };
        let source = read(root).with_context(|| format!("cannot read {root}"))?;
        tree.add_file(None, Vec::new(), root, directory, &source, read)?;
        Ok(tree)
    }

    pub(super) fn modules(&self) -> &[Module] {
        &self.modules
    }

    pub(super) fn module(&self, index: usize) -> &Module {
        &self.modules[index]
    }

    /// The names of the modules directly below the root.
    pub(super) fn top(&self) -> impl Iterator<Item = &str> {
        self.modules[0].children.keys().map(String::as_str)
    }

    /// Whether the module with this path, its names joined by slashes, has modules below it.
    pub(super) fn is_folder(&self, path: &str) -> bool {
        self.modules
            .iter()
            .any(|module| module.path.join("/") == path && !module.children.is_empty())
    }

    fn add_file(
        &mut self,
        parent: Option<usize>,
        path: Vec<String>,
        file: &str,
        below: &str,
        source: &str,
        read: &dyn Fn(&str) -> Option<String>,
    ) -> Result<usize> {
        let parsed = syn::parse_file(source).with_context(|| format!("cannot parse {file}"))?;
        if is_for_tests(&parsed.attrs) {
            return self.add(parent, path, file, below, &[], read);
        }
        self.add(parent, path, file, below, &parsed.items, read)
    }

    /// Adds a module of these items, whose own modules have their files in the directory `below`.
    fn add(
        &mut self,
        parent: Option<usize>,
        path: Vec<String>,
        file: &str,
        below: &str,
        items: &[Item],
        read: &dyn Fn(&str) -> Option<String>,
    ) -> Result<usize> {
        let index = self.modules.len();
        self.modules.push(Module {
            path: path.clone(),
            file: file.to_owned(),
            parent,
            children: BTreeMap::new(),
            items: items.iter().filter_map(name).collect(),
            names: Names::of(items),
        });
        for item in items {
            match item {
                Item::Mod(module) if !is_for_tests(&module.attrs) => {
                    let name = module.ident.to_string();
                    let mut path = path.clone();
                    path.push(name.clone());
                    let below = format!("{below}/{name}");
                    let child = match &module.content {
                        Some((_, items)) => {
                            self.add(Some(index), path, file, &below, items, read)?
                        }
                        None => {
                            let (file, source) = source(module, &below, read)?;
                            self.add_file(Some(index), path, &file, &below, &source, read)?
                        }
                    };
                    self.modules[index].children.insert(name, child);
                }
                Item::Macro(exported) if is_exported(exported) => self.export(&path, exported),
                _ => {}
            }
        }
        Ok(index)
    }

    /// `#[macro_export]` gives a macro a name in the crate's root, wherever it is defined.
    fn export(&mut self, path: &[String], exported: &ItemMacro) {
        let Some(name) = exported.ident.as_ref().map(ToString::to_string) else { return };
        if path.is_empty() {
            return;
        }
        let root = std::iter::once("crate".to_owned());
        let path = root.chain(path.iter().cloned()).chain([name.clone()]).collect();
        self.modules[0].names.uses.push(Use { path, name, glob: false, exported: true });
    }
}

fn source(
    module: &ItemMod,
    below: &str,
    read: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, String)> {
    [format!("{below}.rs"), format!("{below}/mod.rs")]
        .into_iter()
        .find_map(|file| read(&file).map(|source| (file, source)))
        .with_context(|| format!("mod {} has no file {below}.rs", module.ident))
}

fn is_exported(item: &ItemMacro) -> bool {
    item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export"))
}

fn name(item: &Item) -> Option<String> {
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
    Some(ident.to_string())
}
