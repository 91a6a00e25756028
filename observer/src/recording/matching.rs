//! Which listener of one report is which of another: for two recordings side by side, and for a baseline. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::{Family, Listener};

/// What is known of a listener that is sought among those of another report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sought<'a> {
    /// Network namespace; `None` where several are taken for one, as below.
    pub netns: Option<u64>,
    /// Family and address.
    pub address: Option<(Family, &'a str)>,
    /// Port.
    pub port: u16,
    /// Name of the program; `None` where it is not known.
    pub program: Option<&'a str>,
}

impl Sought<'_> {
    fn is_at_address(&self, other: &Self) -> bool {
        (self.port, self.address) == (other.port, other.address)
    }

    /// The program of both is known, and the same.
    fn is_of_program(&self, other: &Self) -> bool {
        self.program.is_some() && self.program == other.program
    }
}

/// What two must have in common to be one listener.
#[derive(Clone, Copy)]
pub struct Rule {
    /// Whether they have the same port; else they have the same program.
    same_port: bool,
    fits: fn(&Sought<'_>, &Sought<'_>) -> bool,
}

/// Rules for two recordings, the strictest first: after a restart in a new container the network namespace is another,
/// after a change of configuration the address, and in a test the port.
pub const OF_RECORDINGS: [Rule; 6] = [
    Rule {
        same_port: true,
        fits: |a, b| a.is_at_address(b) && a.program == b.program && a.netns == b.netns,
    },
    Rule { same_port: true, fits: |a, b| a.is_at_address(b) && a.program == b.program },
    Rule { same_port: true, fits: |a, b| a.is_at_address(b) && a.netns == b.netns },
    Rule { same_port: true, fits: |a, b| a.program == b.program },
    Rule { same_port: true, fits: |a, b| a.is_at_address(b) },
    ON_ANY_PORT,
];

/// Rules for a baseline, the strictest first. Another program on the same port is another server there, which is not
/// compared.
pub const OF_BASELINES: [Rule; 3] = [
    Rule { same_port: true, fits: |a, b| a.program == b.program },
    Rule { same_port: true, fits: |a, b| a.program.is_none() || b.program.is_none() },
    ON_ANY_PORT,
];

/// Tests often listen on whatever port is free: the only ones of a program that are left on either side.
const ON_ANY_PORT: Rule = Rule { same_port: false, fits: |a, b| a.is_of_program(b) };

/// A pair of indices; `None` for what has no partner.
pub type Pair = (Option<usize>, Option<usize>);

/// Pairs of those before and after, each in one. Where a rule leaves a choice, nothing is matched by it. Those of
/// `after` come first, in their order.
#[must_use]
pub fn matched(before: &[Sought<'_>], after: &[Sought<'_>], rules: &[Rule]) -> Vec<Pair> {
    let mut partners: Vec<Option<usize>> = vec![None; after.len()];
    let mut free: Vec<usize> = (0..before.len()).collect();
    for rule in rules {
        let open: Vec<usize> = (0..after.len()).filter(|one| partners[*one].is_none()).collect();
        let (of_before, of_after) = (rule.shelves(before, &free), rule.shelves(after, &open));
        for index in open {
            let one = &after[index];
            let shelf = rule.shelf(one);
            let fitting = |one: &Sought<'_>| {
                let all = of_before.get(&shelf).map(Vec::as_slice).unwrap_or_default();
                let mut fitting =
                    all.iter().copied().filter(|other| (rule.fits)(one, &before[*other]));
                // Two are as many as a hundred.
                (fitting.next(), fitting.next())
            };
            let (Some(partner), None) = fitting(one) else { continue };
            let rivals = of_after.get(&shelf).map(Vec::as_slice).unwrap_or_default();
            let mut rivals =
                rivals.iter().filter(|other| (rule.fits)(&after[**other], &before[partner]));
            if (rivals.next(), rivals.next()) == (Some(&index), None) {
                partners[index] = Some(partner);
            }
        }
        let taken: BTreeSet<usize> = partners.iter().flatten().copied().collect();
        free.retain(|one| !taken.contains(one));
    }
    let pairs = partners.into_iter().enumerate().map(|(index, partner)| (partner, Some(index)));
    pairs.chain(free.into_iter().map(|one| (Some(one), None))).collect()
}

/// What all that fit by a rule have in common, by which they are found.
type Shelf<'a> = (Option<u16>, Option<&'a str>);

impl Rule {
    fn shelf<'a>(&self, one: &Sought<'a>) -> Shelf<'a> {
        if self.same_port { (Some(one.port), None) } else { (None, one.program) }
    }

    fn shelves<'a>(&self, all: &[Sought<'a>], chosen: &[usize]) -> HashMap<Shelf<'a>, Vec<usize>> {
        let mut shelves = HashMap::<_, Vec<usize>>::new();
        for index in chosen {
            shelves.entry(self.shelf(&all[*index])).or_default().push(*index);
        }
        shelves
    }
}

/// Name of the program that listeners belong to: that of most of the processes that hold them, or of the worker that
/// accepted most where no holder is known, as where all have ended. `None` where neither tells.
#[must_use]
pub fn program<'a>(listeners: &[&'a Listener]) -> Option<&'a str> {
    let mut pids = BTreeMap::<&str, BTreeSet<u32>>::new();
    for holder in listeners.iter().filter_map(|one| one.holders.as_ref()).flatten() {
        pids.entry(&holder.comm).or_default().insert(holder.pid);
    }
    // Of equals the first by name.
    if let Some((name, _)) = pids.into_iter().rev().max_by_key(|(_, pids)| pids.len()) {
        return Some(name);
    }
    let mut accepted = BTreeMap::<&str, u64>::new();
    for worker in listeners.iter().flat_map(|one| &one.workers).filter(|one| one.pid.is_some()) {
        let sum = accepted.entry(&worker.comm).or_default();
        *sum = sum.saturating_add(worker.accepted);
    }
    accepted.into_iter().rev().max_by_key(|(_, count)| *count).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sought<'a>(netns: u64, address: &'a str, port: u16, program: &'a str) -> Sought<'a> {
        Sought {
            netns: Some(netns),
            address: Some((Family::Ipv4, address)),
            port,
            program: Some(program).filter(|name| !name.is_empty()),
        }
    }

    fn pairs(before: &[Sought<'_>], after: &[Sought<'_>]) -> [Vec<Pair>; 2] {
        [&OF_RECORDINGS[..], &OF_BASELINES].map(|rules| matched(before, after, rules))
    }

    const BOTH: Pair = (Some(0), Some(0));
    const APART: [Pair; 2] = [(None, Some(0)), (Some(0), None)];

    #[test]
    fn the_same_is_found_and_what_changed_is_found_by_the_rest() {
        let one = sought(1, "127.0.0.1", 80, "nginx");
        for other in [
            one,
            sought(2, "127.0.0.1", 80, "nginx"),
            sought(1, "10.0.0.1", 80, "nginx"),
            sought(3, "10.0.0.1", 8080, "nginx"),
            sought(1, "127.0.0.1", 80, ""),
        ] {
            assert_eq!(pairs(&[one], &[other]), [vec![BOTH], vec![BOTH]], "{other:?}");
        }
    }

    #[test]
    fn another_program_on_a_port_is_another_server_to_a_baseline() {
        let found = pairs(&[sought(1, "::1", 80, "nginx")], &[sought(1, "::1", 80, "apache2")]);
        assert_eq!(found, [vec![BOTH], APART.to_vec()]);
        // Nothing is known of either program, and nothing else is the same.
        let found = pairs(&[sought(1, "::1", 80, "")], &[sought(2, "::2", 81, "")]);
        assert_eq!(found, [APART.to_vec(), APART.to_vec()]);
    }

    #[test]
    fn a_choice_is_no_match_on_either_side() {
        let one = sought(1, "::1", 80, "a");
        let two = [sought(2, "::1", 80, "a"), sought(3, "::1", 80, "a")];
        let none = [(None, Some(0)), (None, Some(1)), (Some(0), None)];
        assert_eq!(pairs(&[one], &two)[0], none);
        let none = [(None, Some(0)), (Some(0), None), (Some(1), None)];
        assert_eq!(pairs(&two, &[one])[0], none);
        // The one that is at its place leaves no choice for the other.
        let found = pairs(&two, &[sought(7, "::1", 81, "a"), two[1]]);
        assert_eq!(found[0], [(Some(0), Some(0)), (Some(1), Some(1))]);
    }

    #[test]
    fn many_are_matched_in_time() {
        let all: Vec<Sought<'_>> = (0..20_000).map(|netns| sought(netns, "::", 80, "a")).collect();
        let apart: Vec<Sought<'_>> =
            (0..=u16::MAX).map(|port| sought(1, "::", port, "b")).collect();
        assert!(pairs(&apart, &apart)[0].iter().all(|(one, other)| one == other));
        assert_eq!(matched(&all[..2_000], &all[..2_000], &OF_BASELINES).len(), 4_000);
    }
}
