//! Listeners that were seen: one that has a quiet interval stays, and so does one that closed, for a while.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{history::Samples, total};
use observer::model::{
    AcceptQueue, AcceptWait, Drops, Finding, Listener, Report, SynQueue, Wakeups,
};

/// Identity of a listener: inode numbers of its network namespace and of its socket.
pub type Id = (u64, u64);

/// How long a finding stays on the screen after the last interval that had it, in milliseconds: a server with
/// bursts does not have it in each.
pub const FINDING_STAYS: u64 = 30_000;

/// How long a closed listener stays on the screen, in milliseconds.
pub const CLOSED_STAYS: u64 = 60_000;

/// Most closed listeners that stay.
const CLOSED: usize = 1_000;

/// Most listeners that are known: more than one host has, but a recording may have another each second.
const MOST: usize = 32_768;

/// Most findings of a listener that stay.
const FINDINGS: usize = 32;

/// A listener that was seen.
#[derive(Clone, Debug)]
pub struct Known {
    /// What is shown of it: its last interval, its counts 0 where that was a quiet one.
    pub now: Arc<Listener>,
    /// Everything since the beginning.
    pub total: Arc<Listener>,
    /// Numbers of the last intervals.
    pub samples: Samples,
    /// First interval that had it.
    pub born: u32,
    /// Number of the last interval that had it.
    latest: u32,
    /// Time of the last interval that had each of its findings.
    seen: BTreeMap<String, u64>,
    /// Time at which it was first seen closed.
    closed: Option<u64>,
    quiet: bool,
}

/// All listeners that were seen.
#[derive(Clone, Debug, Default)]
pub struct KnownListeners(BTreeMap<Id, Known>);

/// Identity of a listener.
pub fn id(listener: &Listener) -> Id {
    (listener.netns, listener.inode)
}

impl KnownListeners {
    /// Takes the report of an interval that ended at `time`, in milliseconds since the beginning.
    pub fn take(&mut self, report: &Report, tick: u32, time: u64) {
        let seconds = report.window.seconds;
        let mut there = BTreeSet::new();
        for one in &report.listeners {
            there.insert(id(one));
            let is_another = |known: &Known| {
                is_other(known.now.cookie, one.cookie) || known.now.closed && !one.closed
            };
            if self.0.get(&id(one)).is_some_and(is_another) {
                // Another socket got its inode number.
                self.0.remove(&id(one));
            }
            let known = self.0.entry(id(one)).or_insert_with(|| Known::new(one, tick));
            known.take(one, time);
            known.latest = tick;
            known.samples.take(one, tick, seconds);
        }
        for (id, known) in &mut self.0 {
            if !there.contains(id) {
                known.rest(time);
            }
        }
        self.forget(time);
    }

    fn forget(&mut self, time: u64) {
        self.0.retain(|_, known| {
            known.closed.is_none_or(|at| time.saturating_sub(at) < CLOSED_STAYS)
        });
        let mut closed: Vec<(u64, Id)> =
            self.0.iter().filter_map(|(id, known)| Some((known.closed?, *id))).collect();
        if closed.len() > CLOSED {
            closed.sort_unstable();
            for (_, id) in &closed[..closed.len() - CLOSED] {
                self.0.remove(id);
            }
        }
        if let more @ 1.. = self.0.len().saturating_sub(MOST) {
            // Those first on which nothing happened for the longest time.
            let mut all: Vec<(u32, Id)> =
                self.0.iter().map(|(id, known)| (known.latest, *id)).collect();
            all.sort_unstable();
            for (_, id) in &all[..more] {
                self.0.remove(id);
            }
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Id, &Known)> {
        self.0.iter()
    }

    /// One of them.
    pub fn get(&self, id: Id) -> Option<&Known> {
        self.0.get(&id)
    }
}

/// Whether cookies are known and differ.
fn is_other(a: Option<u64>, b: Option<u64>) -> bool {
    a.zip(b).is_some_and(|(a, b)| a != b)
}

impl Known {
    fn new(listener: &Listener, tick: u32) -> Self {
        let mut total = silent(listener);
        total.workers.clear();
        Self {
            now: Arc::new(listener.clone()),
            total: Arc::new(total),
            samples: Samples::default(),
            born: tick,
            latest: tick,
            seen: BTreeMap::new(),
            closed: None,
            quiet: false,
        }
    }

    fn take(&mut self, listener: &Listener, time: u64) {
        total::add(Arc::make_mut(&mut self.total), listener);
        self.seen.extend(listener.findings.iter().map(|one| (one.id.clone(), time)));
        let mut now = listener.clone();
        now.findings.extend(self.stay(&listener.findings, time));
        now.findings.sort_by_key(|one| std::cmp::Reverse(one.severity));
        now.findings.truncate(FINDINGS);
        self.seen.retain(|id, _| now.findings.iter().any(|one| one.id == *id));
        if now.server.is_none() {
            now.server.clone_from(&self.now.server);
        }
        // Who no longer has a descriptor may still be told.
        if now.closed && now.holders.as_ref().is_none_or(Vec::is_empty) {
            now.holders.clone_from(&self.now.holders);
        }
        if now.closed {
            self.closed.get_or_insert(time);
        }
        self.now = Arc::new(now);
        self.quiet = false;
    }

    /// Nothing happened on it.
    fn rest(&mut self, time: u64) {
        if !self.quiet {
            self.quiet = true;
            self.now = Arc::new(silent(&self.now));
        }
        let stale = |one: &Finding| !self.stays(&one.id, time);
        if self.now.findings.iter().any(stale) {
            let mut now = (*self.now).clone();
            now.findings.retain(|one| self.stays(&one.id, time));
            self.now = Arc::new(now);
        }
    }

    /// Findings of before that stay beside those of now.
    fn stay(&mut self, now: &[Finding], time: u64) -> Vec<Finding> {
        let mut stay = Vec::new();
        for one in &self.now.findings {
            if self.stays(&one.id, time) && now.iter().all(|other| other.id != one.id) {
                stay.push(one.clone());
            }
        }
        self.seen.retain(|_, seen| time.saturating_sub(*seen) < FINDING_STAYS);
        stay
    }

    fn stays(&self, finding: &str, time: u64) -> bool {
        self.seen.get(finding).is_some_and(|seen| time.saturating_sub(*seen) < FINDING_STAYS)
    }

    /// How long ago a finding was last seen, in milliseconds.
    pub fn ago(&self, finding: &str, time: u64) -> u64 {
        self.seen.get(finding).map_or(0, |seen| time.saturating_sub(*seen))
    }
}

/// The listener in an interval in which nothing happened: its holders, limits and findings are those of before.
pub fn silent(listener: &Listener) -> Listener {
    let zero = |known: Option<u64>| known.map(|_| 0);
    let queue = &listener.accept_queue;
    let workers = listener.workers.iter().map(|one| {
        let (wakeups, accepted, accept_errors) = (Wakeups::default(), 0, BTreeMap::new());
        observer::model::Worker { wakeups, accepted, accept_errors, ..one.clone() }
    });
    Listener {
        queued: zero(listener.queued),
        accepted: zero(listener.accepted),
        discarded: zero(listener.discarded),
        wakeups: listener.wakeups.map(|_| Wakeups::default()),
        herd_ratio: None,
        wasted_cpu: zero(listener.wasted_cpu),
        accept_errors: BTreeMap::new(),
        accept_queue: AcceptQueue {
            now: zero(queue.now),
            max: zero(queue.max),
            used_percent: None,
            histogram: Vec::new(),
            limit: queue.limit,
        },
        syn_queue: SynQueue {
            now: zero(listener.syn_queue.now),
            max: zero(listener.syn_queue.max),
            cookies_sent: zero(listener.syn_queue.cookies_sent),
            used_percent: None,
            ..listener.syn_queue
        },
        accept_wait: AcceptWait {
            count: zero(listener.accept_wait.count),
            ..AcceptWait::default()
        },
        drops: Drops {
            total: zero(listener.drops.total),
            at_most: None,
            by_reason: listener.drops.by_reason.as_ref().map(|_| Default::default()),
            clients: zero(listener.drops.clients),
            clients_overflowed: false,
        },
        fairness: None,
        workers: workers.collect(),
        ..listener.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::render::table::fixtures::{herd, report};

    fn accepted(known: &KnownListeners) -> Vec<Option<u64>> {
        known.iter().map(|(_, one)| one.now.accepted).collect()
    }

    #[test]
    fn a_quiet_listener_stays_and_its_finding_for_a_while() {
        let mut known = KnownListeners::default();
        let busy = herd(32);
        known.take(&busy, 0, 1_000);
        assert_eq!(accepted(&known), [Some(200)]);
        known.take(&report(Vec::new()), 1, 2_000);
        assert_eq!(accepted(&known), [Some(0)]);
        let one = |known: &KnownListeners| known.0.values().next().cloned().expect("one");
        assert_eq!(one(&known).now.findings.len(), 1);
        assert_eq!(one(&known).ago("thundering-herd", 2_000), 1_000);
        assert_eq!(one(&known).total.accepted, Some(200));
        known.take(&report(Vec::new()), 2, 1_000 + FINDING_STAYS);
        assert_eq!(one(&known).now.findings.len(), 0);
        known.take(&busy, 3, 60_000);
        assert_eq!(one(&known).total.accepted, Some(400));
    }

    #[test]
    fn a_closed_listener_is_marked_and_goes() {
        let mut known = KnownListeners::default();
        let mut busy = herd(8);
        known.take(&busy, 0, 1_000);
        busy.listeners[0].closed = true;
        busy.listeners[0].holders = Some(Vec::new());
        known.take(&busy, 1, 2_000);
        let one = known.0.values().next().expect("one");
        assert!(one.now.closed && one.now.holders.as_ref().is_some_and(|all| all.len() == 8));
        known.take(&report(Vec::new()), 2, 2_000 + CLOSED_STAYS);
        assert_eq!(known.iter().count(), 0);
    }

    #[test]
    fn those_that_are_quiet_for_the_longest_go_where_there_are_too_many() {
        let mut known = KnownListeners::default();
        let mut busy = herd(1);
        let mut one = busy.listeners.remove(0);
        let each = MOST as u64 / 2 + 1;
        for tick in 0..3 {
            let of = (0..each).map(|number| {
                one.inode = u64::from(tick) * each + number + 1;
                one.clone()
            });
            busy.listeners = of.collect();
            known.take(&busy, tick, u64::from(tick));
        }
        assert_eq!(known.iter().count(), MOST);
        assert!(known.get((one.netns, one.inode)).is_some() && known.get((one.netns, 1)).is_none());
    }

    #[test]
    fn findings_have_a_bound() {
        let mut known = KnownListeners::default();
        let mut busy = herd(32);
        for number in 0..100 {
            busy.listeners[0].findings[0].id = format!("finding-{number}");
            known.take(&busy, 0, 0);
        }
        let one = known.0.values().next().expect("one");
        assert_eq!((one.now.findings.len(), one.seen.len()), (FINDINGS, FINDINGS));
    }

    #[test]
    fn what_vain_wakeups_cost_adds_up() {
        let mut known = KnownListeners::default();
        let mut busy = herd(8);
        busy.listeners[0].wasted_cpu = Some(5);
        known.take(&busy, 0, 0);
        known.take(&report(Vec::new()), 1, 1);
        known.take(&busy, 2, 2);
        let one = known.0.values().next().expect("one");
        assert_eq!((one.now.wasted_cpu, one.total.wasted_cpu), (Some(5), Some(10)));
    }

    #[test]
    fn another_socket_with_the_same_inode_begins_anew() {
        let mut known = KnownListeners::default();
        let mut busy = herd(8);
        known.take(&busy, 0, 1_000);
        busy.listeners[0].cookie = Some(1);
        known.take(&busy, 1, 2_000);
        let one = known.0.values().next().expect("one");
        assert_eq!((one.born, one.total.accepted), (1, Some(200)));
    }
}
