//! Reuseport groups: listeners at one address are one row, with the members beneath it.

use std::collections::{BTreeMap, BTreeSet};

use super::{columns::fullest, order, tally::Tally};
use crate::app::render::{cell::Cell, labels};
use observer::{
    model::{AcceptWait, Drops, Holder, Listener},
    report::counts::jain,
    units,
};

/// A row of the table with what stands beneath it: one listener, or the members of a reuseport group.
pub struct Block<'a> {
    /// The worst first.
    pub members: Vec<&'a Listener>,
    /// Of several members, their sum.
    sum: Option<Listener>,
}

impl<'a> Block<'a> {
    /// The listeners, those of one group in one block, the worst first.
    pub fn of_all(listeners: impl Iterator<Item = &'a Listener>) -> Vec<Self> {
        let mut groups = BTreeMap::<(u64, bool, u64), Vec<&Listener>>::new();
        for one in listeners {
            let key = match one.reuseport_group {
                Some(group) => (one.netns, true, group.id),
                None => (one.netns, false, one.inode),
            };
            groups.entry(key).or_default().push(one);
        }
        let mut blocks: Vec<Self> = groups.into_values().map(Self::new).collect();
        blocks.sort_by(|a, b| order::by_trouble(a.row(), b.row()));
        blocks
    }

    fn new(mut members: Vec<&'a Listener>) -> Self {
        members.sort_by(|a, b| order::by_trouble(a, b));
        let sum = (members.len() > 1).then(|| sum(&members));
        Self { members, sum }
    }

    /// What the row is about.
    pub fn row(&self) -> &Listener {
        self.sum.as_ref().unwrap_or(self.members[0])
    }

    /// Whether it is a group with its members beneath.
    pub fn is_group(&self) -> bool {
        self.sum.is_some()
    }

    /// Whether none of its members has anything to show.
    pub fn is_idle(&self) -> bool {
        self.members.iter().all(|one| order::idle(one))
    }

    /// Which member accepted least, where they are uneven: `least: python3 23480 accepted 3 of 400; fairness
    /// 0.75 over 4 members`.
    pub fn least(&self) -> Option<String> {
        let fairness = self.sum.as_ref()?.fairness.filter(|fairness| *fairness < EVEN)?;
        let least = self.members.iter().min_by_key(|one| one.accepted)?;
        let all = self.sum.as_ref()?.accepted?;
        Some(format!(
            "fairness {} over {} members; the least: {} accepted {} of {all}",
            units::ratio(Some(fairness)),
            self.members.len(),
            name(least),
            least.accepted?
        ))
    }
}

/// From this fairness on, members are even: hashing spreads connections no better.
const EVEN: f64 = 0.9;

/// A member: the task that accepts from it, or who holds it, or its inode.
pub fn label(member: &Listener) -> Cell {
    Cell::text(&format!("  {}", name(member))).or(&format!("  {}", name(member)), "")
}

/// Its task that accepts most, or who holds it, or its inode.
pub fn name(member: &Listener) -> String {
    let busiest = member.workers.iter().max_by_key(|one| (one.accepted, one.wakeups.total));
    let of_worker = busiest.and_then(|one| Some(format!("{} {}", one.comm, one.pid?)));
    let of_holder = || match member.holders.as_deref() {
        Some([Holder { comm, pid, .. }]) => Some(format!("{comm} {pid}")),
        _ => None,
    };
    of_worker.or_else(of_holder).unwrap_or_else(|| format!("inode {}", member.inode))
}

/// What the members did together; their fullest queue, and their longest wait.
fn sum(members: &[&Listener]) -> Listener {
    let first = members[0];
    let tally = Tally::of_all(members);
    let known = |of: fn(&Listener) -> Option<u64>| {
        members.iter().map(|one| of(one)).try_fold(0_u64, |sum, one| Some(sum.saturating_add(one?)))
    };
    let holders: Option<BTreeSet<Holder>> = members
        .iter()
        .map(|one| one.holders.clone())
        .collect::<Option<Vec<_>>>()
        .map(|all| all.into_iter().flatten().collect());
    let accepted: Option<Vec<u64>> = members.iter().map(|one| one.accepted).collect();
    let worst = members.iter().max_by(|a, b| fullest(a).total_cmp(&fullest(b))).unwrap_or(&first);
    Listener {
        closed: members.iter().all(|one| one.closed),
        incomplete: members.iter().any(|one| one.incomplete),
        holders: holders.map(|all| all.into_iter().collect()),
        queued: known(|one| one.queued),
        accepted: tally.as_ref().map(|tally| tally.accepted),
        discarded: known(|one| one.discarded),
        wakeups: tally.as_ref().map(|tally| tally.wakeups),
        herd_ratio: tally.as_ref().and_then(Tally::herd_ratio),
        wasted_cpu: known(|one| one.wasted_cpu),
        accept_errors: tally.map(|tally| tally.errors()).unwrap_or_default(),
        accept_queue: worst.accept_queue.clone(),
        backlog: worst.backlog,
        accept_wait: AcceptWait {
            p99: members.iter().filter_map(|one| one.accept_wait.p99).max(),
            ..AcceptWait::default()
        },
        drops: Drops { total: known(|one| one.drops.total), ..Drops::default() },
        fairness: accepted.and_then(|accepted| jain(&accepted)),
        workers: Vec::new(),
        findings: members.iter().flat_map(|one| one.findings.clone()).collect(),
        ..first.clone()
    }
}

/// The address of a row, and of how many listeners it is.
pub fn address(block: &Block<'_>) -> Cell {
    let one = block.row();
    let several =
        if block.is_group() { format!(" ×{}", block.members.len()) } else { String::new() };
    labels::address_and(one, &several)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::render::table::fixtures::{self, listener, traffic};
    use observer::model::{Finding, ReuseportGroup, Severity};

    fn member(inode: u64, accepted: u64) -> Listener {
        let mut one = listener("0.0.0.0", 80);
        one.inode = inode;
        one.reuseport_group = Some(ReuseportGroup { id: 1, size: 3 });
        traffic(&mut one, "a", 1, accepted.max(1), 2, None);
        one.workers[0].pid = u32::try_from(inode).ok();
        one.accepted = Some(accepted);
        one
    }

    #[test]
    fn members_are_one_block_with_their_sum() {
        let other = fixtures::listener("0.0.0.0", 81);
        let mut full = member(2, 10);
        full.accept_queue.max = Some(511);
        full.accept_wait.p99 = Some(5);
        let all = [member(1, 200), other, full, member(3, 0)];
        let blocks = Block::of_all(all.iter());
        assert_eq!(blocks.iter().map(|block| block.members.len()).collect::<Vec<_>>(), [3, 1]);
        assert!(blocks[0].is_group() && !blocks[1].is_group());
        let sum = blocks[0].row();
        assert_eq!((sum.accepted, sum.queued), (Some(210), Some(211)));
        assert_eq!(sum.wakeups.map(|all| all.total), Some(422));
        assert_eq!((sum.accept_queue.max, sum.accept_wait.p99), (Some(511), Some(5)));
        assert_eq!(sum.drops.total, Some(0));
        assert_eq!(address(&blocks[0]).whole(), "*:80 ×3");
        assert_eq!(
            blocks[0].least().as_deref(),
            Some("fairness 0.37 over 3 members; the least: a 3 accepted 0 of 210")
        );
        assert_eq!(blocks[1].least(), None);
    }

    #[test]
    fn even_members_need_no_words_and_the_worst_stands_first() {
        let mut ill = member(3, 100);
        ill.findings.push(Finding {
            id: "x".into(),
            severity: Severity::Info,
            server: None,
            summary: String::new(),
            evidence: String::new(),
            fix: String::new(),
            steps: Vec::new(),
            source: String::new(),
        });
        let all = [member(1, 200), member(2, 190), ill];
        let blocks = Block::of_all(all.iter());
        assert_eq!(blocks[0].least(), None);
        let inodes: Vec<u64> = blocks[0].members.iter().map(|one| one.inode).collect();
        assert_eq!(inodes, [3, 1, 2]);
        assert_eq!(blocks[0].row().findings.len(), 1);
        // What is not known of one is not known of all.
        let mut unknown = member(2, 1);
        (unknown.drops.total, unknown.holders) = (None, None);
        let all = [member(1, 1), unknown];
        let sum = Block::of_all(all.iter()).remove(0);
        assert_eq!((sum.row().drops.total, sum.row().holders.as_ref()), (None, None));
    }
}
