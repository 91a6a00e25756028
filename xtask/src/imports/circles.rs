//! Circles in a graph of imports.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the first of two names imports from the second.
pub(super) type Imports = BTreeMap<(String, String), BTreeSet<String>>;

/// Most imports of one file from another that a sentence names.
const NAMED: usize = 3;

/// Circles that have no import in common, the shortest first: each name with what it imports from the
/// next one, the last from the first.
pub(super) fn circles(mut imports: Imports) -> Vec<Vec<(String, String)>> {
    imports.retain(|(from, to), _| from != to);
    let mut found = Vec::new();
    while let Some(circle) = shortest(&imports) {
        let mut links = Vec::with_capacity(circle.len());
        for (at, name) in circle.iter().enumerate() {
            let next = &circle[(at + 1) % circle.len()];
            let paths = imports.remove(&(name.clone(), next.clone())).unwrap_or_default();
            links.push((name.clone(), first(&paths)));
        }
        found.push(links);
    }
    found
}

/// The first of the imports, and how many there are beside them.
pub(super) fn first(paths: &BTreeSet<String>) -> String {
    let named = paths.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn shortest(imports: &Imports) -> Option<Vec<String>> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in imports.keys() {
        next.entry(from).or_default().push(to);
    }
    next.keys()
        .filter_map(|start| back_to(start, &next))
        .min_by_key(Vec::len)
        .map(|circle| circle.into_iter().map(str::to_owned).collect())
}

/// The shortest way from a name back to itself.
fn back_to<'name>(
    start: &'name str,
    next: &BTreeMap<&'name str, Vec<&'name str>>,
) -> Option<Vec<&'name str>> {
    let mut came_from = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(name) = waiting.pop_front() {
        for &to in next.get(name).into_iter().flatten() {
            if to == start {
                let mut way = vec![name];
                while let Some(&before) = way.last().and_then(|last| came_from.get(last)) {
                    way.push(before);
                }
                way.reverse();
                return Some(way);
            }
            if let std::collections::btree_map::Entry::Vacant(entry) = came_from.entry(to) {
                entry.insert(name);
                waiting.push_back(to);
            }
        }
    }
    None
}
