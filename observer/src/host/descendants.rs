//! The processes below those that `--pid` names, as /proc shows them.

use std::collections::{HashMap, HashSet};

use procfs::process::all_processes;

/// `roots` and every process below them now.
#[must_use]
pub fn of(roots: &[u32]) -> HashSet<u32> {
    let parents = all_processes()
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|process| {
            let stat = process.stat().ok()?;
            Some((u32::try_from(stat.pid).ok()?, u32::try_from(stat.ppid).ok()?))
        })
        .collect();
    below(roots, &parents)
}

fn below(roots: &[u32], parents: &HashMap<u32, u32>) -> HashSet<u32> {
    let mut family = roots.iter().copied().collect::<HashSet<_>>();
    // Parents need not have smaller ids than their children: repeat until nothing is added.
    loop {
        let before = family.len();
        for (child, parent) in parents {
            if family.contains(parent) {
                family.insert(*child);
            }
        }
        if family.len() == before {
            return family;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::below;

    #[test]
    fn descendants_are_followed_through_every_generation() {
        let parents = HashMap::from([(10, 1), (5, 10), (7, 5), (20, 1), (21, 20)]);
        assert_eq!(below(&[10], &parents), HashSet::from([10, 5, 7]));
        assert_eq!(below(&[10, 20], &parents), HashSet::from([10, 5, 7, 20, 21]));
        assert_eq!(below(&[99], &parents), HashSet::from([99]));
    }
}
