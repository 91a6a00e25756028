//! From names to modules: which module of the crate each import means.
//!
//! An import is what a `use` declaration names, and a path in code that begins with `crate`, `self`,
//! `super`, a module's name or an imported one. It leads to where the thing is defined, through
//! re-exports. Two things are none: a re-export whose name the module itself does not use, and the
//! `use` of a module, as the paths that begin with its name say what is wanted of it.

use std::collections::BTreeSet;

use super::{names::Use, tree::Tree};

/// Longest chain of re-exports that is followed, so that two globs of each other come to an end.
const MOST_STEPS: usize = 16;

/// One import between two modules, which may be in the same file.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    /// The import as it is written.
    pub(super) path: String,
}

/// The imports between files.
pub(super) fn edges(tree: &Tree) -> Vec<Edge> {
    let mut edges = BTreeSet::new();
    for (from, module) in tree.modules().iter().enumerate() {
        let mut add = |found: Option<Found>, path: &[String]| {
            if let Some(found) = found.filter(|found| tree.module(found.module).file != module.file)
            {
                edges.insert(Edge { from, to: found.module, path: path.join("::") });
            }
        };
        // What these bring in is imported already where it is used.
        let mut counted = BTreeSet::new();
        for used in module.names.uses.iter().filter(|used| !used.exported) {
            let found = resolve(tree, from, &used.path, MOST_STEPS);
            if let Some(found) = found.filter(|found| used.glob || found.item) {
                add(Some(found), &used.path);
                counted.insert(&used.name);
            }
        }
        let paths = module.names.paths.iter();
        for path in paths.filter(|path| path.first().is_none_or(|name| !counted.contains(name))) {
            add(resolve(tree, from, path, MOST_STEPS).filter(|found| found.item), path);
        }
    }
    edges.into_iter().collect()
}

/// The module that a path leads to.
#[derive(Debug, Clone, Copy)]
struct Found {
    module: usize,
    /// Whether the path names a thing in the module, rather than the module.
    item: bool,
}

/// Where a path leads to that is written in the module `from`; none for those of other crates.
fn resolve(tree: &Tree, from: usize, path: &[String], steps: usize) -> Option<Found> {
    let (first, rest) = path.split_first()?;
    let start = match first.as_str() {
        "crate" => 0,
        "self" => from,
        "super" => tree.module(from).parent?,
        name => match tree.module(from).children.get(name) {
            Some(&child) => child,
            None => return imported(tree, from, path, steps),
        },
    };
    walk(tree, start, rest, steps)
}

/// Follows the rest of a path from a module.
fn walk(tree: &Tree, module: usize, path: &[String], steps: usize) -> Option<Found> {
    let Some((name, rest)) = path.split_first() else {
        return Some(Found { module, item: false });
    };
    if name == "super" {
        return walk(tree, tree.module(module).parent?, rest, steps);
    }
    if let Some(&child) = tree.module(module).children.get(name) {
        return walk(tree, child, rest, steps);
    }
    imported(tree, module, path, steps).or(Some(Found { module, item: true }))
}

/// Where a path leads to whose first name a `use` declaration of the module brings in.
fn imported(tree: &Tree, module: usize, path: &[String], steps: usize) -> Option<Found> {
    let steps = steps.checked_sub(1)?;
    let (name, rest) = path.split_first()?;
    let uses = &tree.module(module).names.uses;
    // `use name` names another crate, and would lead back here.
    let is_crate = |path: &[String]| matches!(path, [only] if only == name);
    let named = |used: &&Use| !used.glob && &used.name == name && !is_crate(&used.path);
    if let Some(used) = uses.iter().find(named) {
        let found = resolve(tree, module, &used.path, steps)?;
        return if found.item { Some(found) } else { walk(tree, found.module, rest, steps) };
    }
    if tree.module(module).items.contains(name) {
        return None;
    }
    uses.iter().filter(|used| used.glob).find_map(|used| {
        let found = resolve(tree, module, &used.path, steps)?;
        let target = tree.module(found.module);
        let has = target.items.contains(name) || target.children.contains_key(name);
        if has {
            return walk(tree, found.module, path, steps);
        }
        imported(tree, found.module, path, steps)
    })
}
