//! The audit: what the kernel counted by itself, beside what observer saw. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use observer_common::{counters::QueueStats, drops::DropReason as Reason};

use crate::{
    host::netns::{COUNTERS, NetnsCounters, NetnsId},
    model::{Audit, AuditCounter, NetnsAudit, NoRoom},
};

/// A namespace's counters at one end of a window, by the kernel's names. What observer counted was
/// read between the two, so that nothing more exact is known of that moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The namespace's cookie.
    pub cookie: Option<u64>,
    /// Before.
    pub before: Arc<BTreeMap<String, u64>>,
    /// After.
    pub after: Arc<BTreeMap<String, u64>>,
}

impl Reading {
    /// Of two looks at what has one inode number. A namespace that was not there before had counted nothing.
    #[must_use]
    pub fn new(before: Option<&NetnsCounters>, after: &NetnsCounters) -> Self {
        let NetnsCounters { cookie, values } = after;
        let same =
            before.filter(|before| are_of_one((before.cookie, &before.values), (*cookie, values)));
        let nothing = || Arc::new(values.keys().map(|name| (name.clone(), 0)).collect());
        let before = same.map_or_else(nothing, |before| before.values.clone());
        Self { cookie: *cookie, before, after: values.clone() }
    }
}

/// Counters at two moments, with the cookie of their namespace.
type Values<'a> = (Option<u64>, &'a BTreeMap<String, u64>);

/// Whether counters at two moments can be those of one namespace. Where the kernel tells no cookie, only
/// counters that went back tell that they are not.
fn are_of_one((cookie, then): Values<'_>, (cookie_now, now): Values<'_>) -> bool {
    let went_on = |(name, then): (&String, &u64)| now.get(name).is_none_or(|now| now >= then);
    cookie == cookie_now && (cookie.is_some() || then.iter().all(went_on))
}

/// Readings of all namespaces, by inode number.
pub type Readings = HashMap<u64, Reading>;

/// The readings of a namespace where a window begins, if it was there, and where it ends; `None` of one that
/// is gone, or that may be two.
#[must_use]
pub fn ends<'a>(
    netns: NetnsId,
    start: &'a Readings,
    end: &'a Readings,
) -> Option<(Option<&'a Reading>, &'a Reading)> {
    let end = end.get(&netns.inode).filter(|end| end.cookie == netns.cookie)?;
    let start = start.get(&netns.inode).filter(|start| start.cookie == netns.cookie);
    let is_one =
        |start: &Reading| are_of_one((start.cookie, &start.before), (end.cookie, &end.after));
    start.is_none_or(is_one).then_some((start, end))
}

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
    pub shown: BTreeSet<NetnsId>,
    /// The counters where the window begins.
    pub start: &'a Readings,
    /// And where it ends.
    pub end: &'a Readings,
    /// What was seen, by namespace; one that is not there had no listener that anything happened on.
    pub seen: &'a HashMap<NetnsId, Seen>,
    /// What stands for a namespace without any.
    pub nothing: Seen,
    /// Drops of which it cannot be told whose they are, by namespace; only where they are inferred.
    pub unattributed: &'a HashMap<NetnsId, u64>,
    /// Perf events that were lost.
    pub events_lost: u64,
    /// Counts that found a map full.
    pub no_room: NoRoom,
    /// Shown listeners of which something found one full.
    pub incomplete: u64,
    /// Tasks whose counts moved while they were read.
    pub unsettled: u64,
    /// Processes that did not answer when they were looked at.
    pub unanswered: u64,
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
            NetnsAudit {
                netns: netns.inode,
                counters: counters.collect(),
                unattributed: input.unattributed.get(netns).copied(),
            }
        })
        .collect();
    // What is not known of one side is no difference.
    let differs = |one: &AuditCounter| one.kernel.zip(one.observed).is_some_and(|(a, b)| a != b);
    let compared = |one: &AuditCounter| one.kernel.is_some() && one.observed.is_some();
    let all = || netns.iter().flat_map(|one| one.counters.values());
    Audit {
        closes: all().any(compared).then(|| !all().any(differs) && input.incomplete == 0),
        events_lost: input.events_lost,
        events_sent: None,
        map_full: total(&input.no_room),
        no_room: input.no_room,
        incomplete: input.incomplete,
        unsettled: input.unsettled,
        unanswered: input.unanswered,
        oldest_look: None,
        oldest_syn_look: None,
        missed_runs: input.missed_runs,
        netns,
    }
}

/// How many found no room, whatever had none.
fn total(full: &NoRoom) -> u64 {
    let NoRoom {
        listeners,
        tasks,
        workers,
        wakeups,
        errors,
        waits,
        calls,
        backlogs,
        processes,
        closed,
        lives,
    } = *full;
    let of_listeners = [listeners, tasks, workers, wakeups, errors, waits, calls];
    let others = [backlogs, processes, closed, lives];
    of_listeners.into_iter().chain(others).sum()
}

/// By how much the kernel's counter grew in the window. Where it grew while an end of the window was
/// read too, that much is not known, and what agrees with `observed` is taken if it is possible.
fn kernel(input: &Input<'_>, netns: NetnsId, name: &str, observed: Option<u64>) -> Option<u64> {
    let (start, end) = ends(netns, input.start, input.end)?;
    // A namespace that was not there when the window began had counted nothing.
    let (first, last) = match start {
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

    const NETNS: NetnsId = NetnsId { inode: 1, cookie: None };

    fn all(value: u64) -> Arc<BTreeMap<String, u64>> {
        Arc::new(COUNTERS.iter().map(|name| ((*name).to_owned(), value)).collect())
    }

    fn reading(before: u64, after: u64) -> Readings {
        HashMap::from([(1, Reading { cookie: None, before: all(before), after: all(after) })])
    }

    fn drops(
        start: &Readings,
        end: &Readings,
        observed: Option<u64>,
    ) -> (Option<u64>, Option<bool>) {
        let audit = without_room(start, end, observed, 0, NoRoom::default());
        (audit.netns[0].counters["ListenDrops"].kernel, audit.closes)
    }

    fn without_room(
        start: &Readings,
        end: &Readings,
        observed: Option<u64>,
        incomplete: u64,
        no_room: NoRoom,
    ) -> Audit {
        let seen = Seen {
            drops: observed,
            overflows: observed,
            syn_queue_full: observed,
            cookies: observed,
        };
        audit(&Input {
            shown: BTreeSet::from([NETNS]),
            start,
            end,
            seen: &HashMap::from([(NETNS, seen)]),
            nothing: Seen::default(),
            unattributed: &HashMap::new(),
            events_lost: 0,
            no_room,
            incomplete,
            unsettled: 0,
            unanswered: 0,
            missed_runs: 0,
        })
    }

    #[test]
    fn what_others_had_no_room_for_is_told_and_closes() {
        let (start, end) = (reading(10, 10), reading(15, 15));
        let no_room = NoRoom { listeners: 3, waits: 4, closed: 5, ..NoRoom::default() };
        let audit = |incomplete| without_room(&start, &end, Some(5), incomplete, no_room);
        assert_eq!((audit(0).map_full, audit(0).no_room), (12, no_room));
        assert_eq!((audit(0).closes, audit(1).closes), (Some(true), Some(false)));
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
    fn another_namespace_of_the_same_number_begins_at_nothing() {
        let of = |cookie, mut readings: Readings| {
            readings.get_mut(&1).expect("a reading").cookie = Some(cookie);
            readings
        };
        let (start, end) = (of(7, reading(2, 2)), of(8, reading(3, 3)));
        let netns = |cookie| NetnsId { inode: 1, cookie: Some(cookie) };
        let grown = |cookie| {
            let (start, end) = ends(netns(cookie), &start, &end)?;
            Some((start.is_some(), end.after["ListenDrops"]))
        };
        assert_eq!(grown(8), Some((false, 3)));
        assert_eq!(grown(7), None, "it is gone");
        // Where there are no cookies, counters that went back tell, and whose the other counts were is not known.
        assert_eq!(drops(&reading(10, 10), &reading(3, 3), Some(3)), (None, None));
        let look = |cookie, value| NetnsCounters { cookie, values: all(value) };
        let first = |before, after| Reading::new(Some(&before), &after).before["ListenDrops"];
        assert_eq!(first(look(Some(7), 2), look(Some(7), 3)), 2);
        assert_eq!(first(look(Some(7), 2), look(Some(8), 3)), 0);
        assert_eq!(first(look(None, 2), look(None, 3)), 2);
        assert_eq!(first(look(None, 4), look(None, 3)), 0);
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
