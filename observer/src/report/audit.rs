//! The audit: what the kernel counted by itself, beside what observer saw. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use observer_common::{counters::QueueStats, drops::DropReason as Reason};

use crate::{
    listener::namespaces::COUNTERS,
    report::model::{Audit, AuditCounter, NetnsAudit},
};

/// A namespace's counters at one end of a window, by the kernel's names. What observer counted was
/// read between the two, so that nothing more exact is known of that moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Before.
    pub before: BTreeMap<String, u64>,
    /// After.
    pub after: BTreeMap<String, u64>,
}

/// Readings of all namespaces, by inode number.
pub type Readings = HashMap<u64, Reading>;

/// What observer saw in one namespace, over all listeners, chosen or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// For `ListenDrops`.
    pub drops: Option<u64>,
    /// For `ListenOverflows`.
    pub overflows: Option<u64>,
    /// For `TCPReqQFullDrop`.
    pub syn_queue_full: Option<u64>,
    /// For `TCPReqQFullDoCookies`.
    pub cookies: Option<u64>,
}

impl Seen {
    /// What the kernel programs counted of these listeners.
    pub fn counted<'a>(queues: impl Iterator<Item = &'a QueueStats>) -> Self {
        let (mut drops, mut overflows, mut full, mut cookies) = (0, 0, 0, 0);
        for queue in queues {
            let of = |reason: Reason| queue.drops[reason as usize];
            drops += queue.drops.iter().sum::<u64>();
            overflows += of(Reason::AcceptQueueFullSyn) + of(Reason::AcceptQueueFullAck);
            full += of(Reason::SynQueueFull);
            cookies += queue.cookies_wanted;
        }
        Self {
            drops: Some(drops),
            overflows: Some(overflows),
            syn_queue_full: Some(full),
            cookies: Some(cookies),
        }
    }

    fn of(&self, name: &str) -> Option<u64> {
        match name {
            "ListenDrops" => self.drops,
            "ListenOverflows" => self.overflows,
            "TCPReqQFullDrop" => self.syn_queue_full,
            "TCPReqQFullDoCookies" => self.cookies,
            _ => None,
        }
    }
}

/// Everything that an audit is made from.
pub struct Input<'a> {
    /// The namespaces of the listeners that are shown.
    pub shown: BTreeSet<u64>,
    /// The counters where the window begins.
    pub start: &'a Readings,
    /// And where it ends.
    pub end: &'a Readings,
    /// What was seen, by namespace; one that is not there had no listener that anything happened on.
    pub seen: &'a HashMap<u64, Seen>,
    /// What stands for a namespace without any.
    pub nothing: Seen,
    /// Perf events that were lost.
    pub events_lost: u64,
    /// Counts that found a map full.
    pub map_full: u64,
    /// Program runs that the kernel skipped.
    pub missed_runs: u64,
}

/// Makes the audit.
#[must_use]
pub fn audit(input: &Input<'_>) -> Audit {
    let netns: Vec<_> = input
        .shown
        .iter()
        .map(|netns| {
            let seen = input.seen.get(netns).unwrap_or(&input.nothing);
            let counters = COUNTERS.iter().map(|name| {
                let observed = seen.of(name);
                let kernel = kernel(input, *netns, name, observed);
                ((*name).to_owned(), AuditCounter { kernel, observed })
            });
            NetnsAudit { netns: *netns, counters: counters.collect() }
        })
        .collect();
    // What is not known of one side is no difference.
    let differs = |one: &AuditCounter| one.kernel.zip(one.observed).is_some_and(|(a, b)| a != b);
    let compared = |one: &AuditCounter| one.kernel.is_some() && one.observed.is_some();
    let all = || netns.iter().flat_map(|one| one.counters.values());
    Audit {
        closes: all().any(compared).then(|| !all().any(differs) && input.map_full == 0),
        events_lost: input.events_lost,
        map_full: input.map_full,
        missed_runs: input.missed_runs,
        netns,
    }
}

/// By how much the kernel's counter grew in the window. Where it grew while an end of the window was
/// read too, that much is not known, and what agrees with `observed` is taken if it is possible.
fn kernel(input: &Input<'_>, netns: u64, name: &str, observed: Option<u64>) -> Option<u64> {
    let end = input.end.get(&netns)?;
    // A namespace that was not there when the window began had counted nothing.
    let (first, last) = match input.start.get(&netns) {
        Some(start) => (*start.before.get(name)?, *start.after.get(name)?),
        None => (0, 0),
    };
    let most = end.after.get(name)?.saturating_sub(first);
    let least = end.before.get(name).unwrap_or(end.after.get(name)?).saturating_sub(last);
    Some(observed.unwrap_or(most).clamp(least.min(most), most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(before: u64, after: u64) -> Readings {
        let all = |value| COUNTERS.iter().map(|name| ((*name).to_owned(), value)).collect();
        HashMap::from([(1, Reading { before: all(before), after: all(after) })])
    }

    fn drops(
        start: &Readings,
        end: &Readings,
        observed: Option<u64>,
    ) -> (Option<u64>, Option<bool>) {
        let seen = Seen {
            drops: observed,
            overflows: observed,
            syn_queue_full: observed,
            cookies: observed,
        };
        let audit = audit(&Input {
            shown: BTreeSet::from([1]),
            start,
            end,
            seen: &HashMap::from([(1, seen)]),
            nothing: Seen::default(),
            events_lost: 0,
            map_full: 0,
            missed_runs: 0,
        });
        (audit.netns[0].counters["ListenDrops"].kernel, audit.closes)
    }

    #[test]
    fn the_same_count_closes_and_another_does_not() {
        let (start, end) = (reading(10, 10), reading(15, 15));
        assert_eq!(drops(&start, &end, Some(5)), (Some(5), Some(true)));
        assert_eq!(drops(&start, &end, Some(4)), (Some(5), Some(false)));
        assert_eq!(drops(&start, &end, Some(6)), (Some(5), Some(false)));
        assert_eq!(drops(&start, &end, None), (Some(5), None));
    }

    #[test]
    fn what_was_counted_while_an_end_was_read_may_be_in_it_or_not() {
        let (start, end) = (reading(10, 11), reading(15, 17));
        for observed in 4..=7 {
            assert_eq!(drops(&start, &end, Some(observed)), (Some(observed), Some(true)));
        }
        assert_eq!(drops(&start, &end, Some(3)), (Some(4), Some(false)));
        assert_eq!(drops(&start, &end, Some(8)), (Some(7), Some(false)));
    }

    #[test]
    fn a_namespace_of_the_window_begins_at_nothing() {
        assert_eq!(drops(&HashMap::new(), &reading(3, 3), Some(3)), (Some(3), Some(true)));
    }

    #[test]
    fn a_namespace_that_is_gone_is_not_known() {
        assert_eq!(drops(&reading(1, 1), &HashMap::new(), Some(3)), (None, None));
    }

    #[test]
    fn counts_of_all_listeners_are_added_up() {
        let mut queue = QueueStats { cookies_wanted: 9, ..QueueStats::ZERO };
        queue.drops[Reason::AcceptQueueFullSyn as usize] = 1;
        queue.drops[Reason::AcceptQueueFullAck as usize] = 2;
        queue.drops[Reason::SynQueueFull as usize] = 4;
        queue.drops[Reason::NoMemory as usize] = 8;
        let seen = Seen::counted([&queue, &queue].into_iter());
        assert_eq!((seen.drops, seen.overflows), (Some(30), Some(6)));
        assert_eq!((seen.syn_queue_full, seen.cookies), (Some(8), Some(18)));
    }
}
