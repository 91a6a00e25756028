//! Sums of counts that may be unknown.

use std::collections::BTreeMap;

/// Sum of what is known: where one is not, that is said elsewhere (`incomplete`), or there was none.
pub(super) fn any(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (one, other) => one.or(other),
    }
}

/// Sum where both are known.
pub(super) fn both(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.zip(b).map(|(a, b)| a.saturating_add(b))
}

/// Greater of the percentages that are known.
pub(super) fn greater(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (one, other) => one.or(other),
    }
}

/// Adds counts by name. The number of names that are new is returned.
pub(super) fn by_name<K: Ord + Clone>(
    sum: &mut BTreeMap<K, u64>,
    more: &BTreeMap<K, u64>,
) -> usize {
    let before = sum.len();
    for (name, count) in more {
        match sum.get_mut(name) {
            Some(sum) => *sum = sum.saturating_add(*count),
            None => drop(sum.insert(name.clone(), *count)),
        }
    }
    sum.len() - before
}

/// Count of things in memory.
pub(super) fn of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
