//! Imports between a crate's files: none goes in a circle, and in the library none goes up.
//!
//! A circle makes its files one file: none of them can be understood, moved or tested alone. What
//! counts as an import is in [`resolve`]; a parent that declares or re-exports its children does not
//! import them, and what only tests need does not count.

mod circles;
mod names;
mod resolve;
mod tree;

use std::{collections::BTreeMap, fs};

use anyhow::Result;

use self::{
    circles::{Imports, circles, first},
    resolve::{Edge, edges},
    tree::Tree,
};
use crate::workspace::Workspace;

/// Where each crate begins, and the order of its folders where it has one.
const CRATES: &[(&str, &[&[&str]])] = &[
    ("observer-common/src/lib.rs", &[]),
    ("observer-ebpf/src/main.rs", &[]),
    ("observer/src/lib.rs", LIBRARY),
    ("observer/src/main.rs", &[]),
    ("xtask/src/first.rs", &[]),
    ("xtask/src/main.rs", &[]),
];

/// The library's modules directly below `src`, the lowest first: each may import from the rows above
/// its own, and from nothing else but itself.
const LIBRARY: &[&[&str]] = &[
    &["async_fd", "error"],
    &["model", "units"],
    &["findings", "kernel"],
    &["probes"],
    &["config"],
    &["plan", "host"],
    &["bpf"],
    &["report"],
    &["schema", "session"],
    &["stream"],
    &["recording"],
];

/// One sentence for each circle and each import that goes up.
pub(crate) fn complaints(workspace: &Workspace) -> Result<Vec<String>> {
    let read = |path: &str| fs::read_to_string(workspace.root().join(path)).ok();
    let mut complaints = Vec::new();
    for &(root, order) in CRATES {
        complaints.extend(of_crate(root, order, &read)?);
    }
    Ok(complaints)
}

fn of_crate(
    root: &str,
    order: &[&[&str]],
    read: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>> {
    let tree = Tree::read(root, read)?;
    let edges = edges(&tree);
    let mut complaints = circles_of_files(&tree, &edges);
    complaints.extend(circles_of_folders(&tree, &edges));
    if !order.is_empty() {
        complaints.extend(upward(&tree, &edges, order));
    }
    Ok(complaints)
}

fn circles_of_files(tree: &Tree, edges: &[Edge]) -> Vec<String> {
    let mut files = Imports::new();
    for edge in edges {
        let [from, to] = [edge.from, edge.to].map(|module| tree.module(module).file.clone());
        files.entry((from, to)).or_default().insert(edge.path.clone());
    }
    circles(files).iter().map(|circle| told(circle)).collect()
}

/// Circles between modules with the same parent, each taken with all that is below it.
///
/// No file need be in a circle for two folders to be: what the one lends to the other then wants a
/// folder of its own. Circles of files alone are left to [`circles_of_files`].
fn circles_of_folders(tree: &Tree, edges: &[Edge]) -> Vec<String> {
    let mut levels: BTreeMap<&[String], Imports> = BTreeMap::new();
    for edge in edges {
        let (from, to) = (&tree.module(edge.from).path, &tree.module(edge.to).path);
        let shared = from.iter().zip(to).take_while(|(from, to)| from == to).count();
        if from.len() == shared || to.len() == shared {
            continue;
        }
        let [from, to] = [from, to].map(|path| path[..=shared].join("/"));
        let level = levels.entry(&tree.module(edge.from).path[..shared]).or_default();
        level.entry((from, to)).or_default().insert(edge.path.clone());
    }
    let is_folder = |name: &String| tree.is_folder(name);
    levels
        .into_values()
        .flat_map(circles)
        .filter(|circle| circle.iter().any(|(name, _)| is_folder(name)))
        .map(|circle| told(&circle))
        .collect()
}

/// The imports that a lower folder makes from a higher one or from one of its own row.
fn upward(tree: &Tree, edges: &[Edge], order: &[&[&str]]) -> Vec<String> {
    let row = |name: &str| order.iter().position(|names| names.contains(&name));
    let mut complaints: Vec<String> = tree
        .top()
        .filter(|name| row(name).is_none())
        .map(|name| {
            format!("{name} has no place in the order of xtask/src/imports.rs: give it one")
        })
        .collect();
    let mut found = Imports::new();
    for edge in edges {
        let (from, to) = (tree.module(edge.from), tree.module(edge.to));
        // The crate's root declares and re-exports; what it imports is its own business.
        let Some(importer) = from.path.first() else { continue };
        let lower = to.path.first().is_some_and(|imported| {
            imported == importer || row(imported) < row(importer) || row(importer).is_none()
        });
        if !lower {
            let files = (from.file.clone(), to.file.clone());
            found.entry(files).or_default().insert(edge.path.clone());
        }
    }
    complaints.extend(found.into_iter().map(|((from, to), paths)| {
        format!(
            "{from} imports {to} ({}), which is not below it in the order of \
             xtask/src/imports.rs: move down what both need",
            first(&paths)
        )
    }));
    complaints
}

/// A circle as a sentence: each file or folder with what it imports from the next.
fn told(circle: &[(String, String)]) -> String {
    let mut sentence = String::new();
    for (at, (name, import)) in circle.iter().enumerate() {
        let next = &circle[(at + 1) % circle.len()].0;
        let link = if at == 0 { format!("{name} imports") } else { ", which imports".to_owned() };
        sentence.push_str(&format!("{link} {next} ({import})"));
    }
    sentence + ": break the circle, as by moving what both need to a file of its own"
}

#[cfg(test)]
mod tests;
