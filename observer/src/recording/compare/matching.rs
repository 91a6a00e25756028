//! Which listener of one recording is which of the other.

use super::place::Place;

/// What two places must have in common, the strictest first: after a restart in a new container the network namespace
/// is another, after a change of configuration the address.
const RULES: [fn(&Place<'_>, &Place<'_>) -> bool; 5] = [
    |a, b| is_address(a, b) && a.comm == b.comm && a.netns == b.netns,
    |a, b| is_address(a, b) && a.comm == b.comm,
    |a, b| is_address(a, b) && a.netns == b.netns,
    |a, b| a.port == b.port && a.comm == b.comm,
    |a, b| is_address(a, b),
];

fn is_address(a: &Place<'_>, b: &Place<'_>) -> bool {
    (a.port, a.family, a.address) == (b.port, b.family, b.address)
}

/// Pairs, each place in one. Where a rule leaves a choice, nothing is matched by it.
pub(super) fn matched<'a>(
    before: &'a [Place<'a>],
    after: &'a [Place<'a>],
) -> Vec<(Option<&'a Place<'a>>, Option<&'a Place<'a>>)> {
    use std::collections::HashMap;

    let mut partners: Vec<Option<usize>> = vec![None; after.len()];
    let mut free: Vec<usize> = (0..before.len()).collect();
    for is_match in RULES {
        // All rules want the same port.
        let mut by_port = HashMap::<u16, Vec<usize>>::new();
        for index in &free {
            by_port.entry(before[*index].port).or_default().push(*index);
        }
        let open: Vec<usize> =
            (0..after.len()).filter(|index| partners[*index].is_none()).collect();
        let mut open_by_port = HashMap::<u16, Vec<usize>>::new();
        for index in &open {
            open_by_port.entry(after[*index].port).or_default().push(*index);
        }
        for index in open {
            let port = after[index].port;
            let candidates = |of: &[usize]| -> Vec<usize> {
                let matches = |one: &&usize| is_match(&before[**one], &after[index]);
                of.iter().filter(matches).copied().collect()
            };
            let Some(of_port) = by_port.get(&port) else { continue };
            let [one] = candidates(of_port)[..] else { continue };
            let others = open_by_port.get(&port).map(Vec::as_slice).unwrap_or_default();
            let rivals = others.iter().filter(|other| is_match(&before[one], &after[**other]));
            if rivals.count() == 1 {
                partners[index] = Some(one);
            }
        }
        free.retain(|index| !partners.contains(&Some(*index)));
    }
    let pairs = after.iter().zip(&partners);
    let pairs =
        pairs.map(|(after, before_index)| (before_index.map(|one| &before[one]), Some(after)));
    pairs.chain(free.iter().map(|index| (Some(&before[*index]), None))).collect()
}
