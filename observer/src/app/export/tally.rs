//! What is counted at one place, over all listeners that were there. Pure.

use std::collections::BTreeMap;

use observer::model::{Drops, Finding, Listener, Severity, Wakeups};

use super::{
    histogram::{DEPTH, Histogram, WAIT},
    room::Room,
    worth::Observed,
};

/// Outcomes of wakeups, by their names.
pub const OUTCOMES: [&str; 4] = ["won", "lost", "failed", "silent"];

/// Reason of drops where nothing tells reasons apart.
const UNKNOWN: &str = "unknown";

/// Room for the series that every place has: as many as are read below `Listener` in the table of families.
pub const BASE_SERIES: usize = 11;

/// Room for those that it has once anything happened there: histograms with all their lines, outcomes, the reasons that
/// the kernel programs tell apart with the one of those that nobody does, and the rest.
pub const DETAIL_SERIES: usize =
    OUTCOMES.len() + 8 + 3 + WAIT.bounds.len() + 3 + DEPTH.bounds.len() + 3;

/// Room for each finding: whether it is there, and for how long it was.
const FINDING_SERIES: usize = 2;

/// Room for each worker: what it accepted, and its wakeups.
const WORKER_SERIES: usize = 1 + OUTCOMES.len();

/// Counts of one place, since the first of them. `None` and what is not in a map is not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Connections that entered the accept queue.
    pub queued: Option<u64>,
    /// Connections that were accepted.
    pub accepted: Option<u64>,
    /// What is told once something happened.
    pub details: Option<Box<Details>>,
    /// Problems, by name and severity.
    pub findings: BTreeMap<(String, Severity), Lasting>,
    /// Tasks, where somebody asked for them.
    pub workers: BTreeMap<WorkerId, WorkerTally>,
    /// Whether numbers of the place are too low, for want of room in a kernel map.
    pub incomplete: bool,
    /// What is so now.
    pub gauges: Gauges,
    /// Series that room was taken for.
    pub reserved: usize,
}

/// What is counted once something happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// Connections that were in the accept queue of a listener that closed.
    pub discarded: Option<u64>,
    /// Wakeups, in the order of [`OUTCOMES`].
    pub wakeups: Option<[u64; 4]>,
    /// Accept calls that failed, by errno.
    pub accept_errors: BTreeMap<String, u64>,
    /// Connection attempts that were dropped, by reason.
    pub drops: BTreeMap<String, u64>,
    /// Most drops that there can have been, where their number is not certain.
    pub drops_at_most: Option<u64>,
    /// SYNs that were answered with a cookie.
    pub cookies: Option<u64>,
    /// Time in the accept queue.
    pub wait: Histogram,
    /// Depth of the accept queue at each entry.
    pub depth: Histogram,
}

/// What is so when a report is made, over the listeners of the place. `None` is not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Listeners that are open.
    pub listeners: u64,
    /// Connections in their accept queues.
    pub queue: Option<u64>,
    /// Limits on these, added up.
    pub limit: Option<u64>,
    /// Greatest use of one accept queue since the report before, in percent of its limit.
    pub used_percent: Option<f64>,
    /// Longest that a connection waits in a queue now, nanoseconds.
    pub oldest: Option<u64>,
    /// Requests in their SYN queues.
    pub syn_queue: Option<u64>,
    /// Descriptors of the holder that has least left: open ones, and its limit.
    pub descriptors: Option<(u64, Option<u64>)>,
}

/// How long something is there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lasting {
    /// Whether it was there in the last report.
    pub active: bool,
    /// Length of all windows in which it was.
    pub seconds: f64,
}

/// A task of a place.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkerId {
    /// Process and thread id; `None` for those that are not told by name.
    pub task: Option<(u32, u32)>,
    /// Its name.
    pub comm: String,
}

/// What a task did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerTally {
    /// Connections that it accepted.
    pub accepted: u64,
    /// Its wakeups, in the order of [`OUTCOMES`].
    pub wakeups: [u64; 4],
    /// Whether it was in the last report.
    pub is_there: bool,
}

impl Tally {
    /// Room that another listener of the place will want for what is told once something happened.
    #[must_use]
    pub fn needs(&self, listener: &Listener) -> usize {
        if self.details.is_none() && has_anything(listener) { DETAIL_SERIES } else { 0 }
    }

    /// Begins another report: what is so now is told anew.
    pub fn begin_report(&mut self) {
        self.gauges = Gauges::default();
        for lasting in self.findings.values_mut() {
            lasting.active = false;
        }
        for worker in self.workers.values_mut() {
            worker.is_there = false;
        }
    }

    /// Adds what a report tells of one listener of the place.
    pub fn add(
        &mut self,
        listener: &Listener,
        seconds: f64,
        observed: Observed,
        per_worker: bool,
        room: &mut Room,
    ) {
        self.incomplete |= listener.incomplete;
        if observed.handshakes {
            add(&mut self.queued, listener.queued);
        }
        if observed.accepts {
            add(&mut self.accepted, listener.accepted);
        }
        let needed = self.needs(listener);
        if needed > 0 && room.take(needed, &mut self.reserved) {
            self.details = Some(Box::default());
        }
        if let Some(details) = &mut self.details {
            details.add(listener, observed, room, &mut self.reserved);
        }
        if !listener.closed {
            self.gauges.add(listener);
        }
        for finding in &listener.findings {
            self.found(finding, seconds, room);
        }
        if per_worker {
            self.add_workers(listener, room);
        }
    }

    fn found(&mut self, finding: &Finding, seconds: f64, room: &mut Room) {
        let key = (finding.id.clone(), finding.severity);
        if !self.findings.contains_key(&key) {
            if !room.take(FINDING_SERIES, &mut self.reserved) {
                return;
            }
            self.findings.insert(key.clone(), Lasting::default());
        }
        if let Some(lasting) = self.findings.get_mut(&key)
            // Of several listeners that have it, one is enough.
            && !lasting.active
        {
            *lasting = Lasting { active: true, seconds: lasting.seconds + seconds };
        }
    }

    fn add_workers(&mut self, listener: &Listener, room: &mut Room) {
        for worker in &listener.workers {
            let id = WorkerId { task: worker.pid.zip(worker.tid), comm: worker.comm.clone() };
            if !self.workers.contains_key(&id) && !room.take(WORKER_SERIES, &mut self.reserved) {
                continue;
            }
            let tally = self.workers.entry(id).or_default();
            tally.is_there = true;
            tally.accepted = tally.accepted.saturating_add(worker.accepted);
            add_each(&mut tally.wakeups, outcomes(worker.wakeups));
        }
    }

    /// Ends a report: tasks that are no more are forgotten, and give back their room.
    pub fn end_report(&mut self, room: &mut Room) {
        let before = self.workers.len();
        self.workers.retain(|_, worker| worker.is_there);
        room.give_back((before - self.workers.len()) * WORKER_SERIES, &mut self.reserved);
    }
}

impl Details {
    fn add(
        &mut self,
        listener: &Listener,
        observed: Observed,
        room: &mut Room,
        reserved: &mut usize,
    ) {
        add(&mut self.discarded, listener.discarded);
        if observed.wakeups
            && let Some(wakeups) = listener.wakeups
        {
            add_each(self.wakeups.get_or_insert_default(), outcomes(wakeups));
        }
        for (errno, count) in &listener.accept_errors {
            if let Some(sum) = self.accept_errors.get_mut(errno) {
                *sum = sum.saturating_add(*count);
            } else if room.take(1, reserved) {
                self.accept_errors.insert(errno.clone(), *count);
            }
        }
        self.add_drops(&listener.drops);
        add(&mut self.cookies, listener.syn_queue.cookies_sent);
        self.wait.add(&listener.accept_wait.histogram, &WAIT);
        self.depth.add(&listener.accept_queue.histogram, &DEPTH);
    }

    fn add_drops(&mut self, drops: &Drops) {
        let Some(total) = drops.total else { return };
        // What was certain so far stays the least that there can have been.
        let before = self.drops.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let most = drops.at_most.unwrap_or(total).max(total);
        if most != total || self.drops_at_most.is_some() {
            let sum = self.drops_at_most.unwrap_or(before);
            self.drops_at_most = Some(sum.saturating_add(most));
        }
        let mut rest = total;
        for (reason, count) in drops.by_reason.iter().flat_map(|reasons| reasons.iter()) {
            rest = rest.saturating_sub(*count);
            let sum = self.drops.entry(reason.clone().into_owned()).or_default();
            *sum = sum.saturating_add(*count);
        }
        if rest > 0 || drops.by_reason.is_none() {
            let sum = self.drops.entry(UNKNOWN.to_owned()).or_default();
            *sum = sum.saturating_add(rest);
        }
    }
}

impl Gauges {
    fn add(&mut self, listener: &Listener) {
        let queue = &listener.accept_queue;
        self.listeners += 1;
        // A sum of which one part is not known is not known.
        let sum = |sum: Option<u64>, more: Option<u64>| match self.listeners {
            1 => more,
            _ => Some(sum?.saturating_add(more?)),
        };
        self.queue = sum(self.queue, queue.now);
        self.limit = sum(self.limit, queue.limit);
        self.syn_queue = sum(self.syn_queue, listener.syn_queue.now);
        self.oldest = self.oldest.max(listener.accept_wait.oldest);
        if queue.used_percent > self.used_percent {
            self.used_percent = queue.used_percent;
        }
    }

    /// Notes the descriptors of a holder; of several, those count of which least are left.
    pub fn note_descriptors(&mut self, open: u64, limit: Option<u64>) {
        let left = |(open, limit): (u64, Option<u64>)| {
            limit.map_or(u64::MAX, |limit| limit.saturating_sub(open))
        };
        if self.descriptors.is_none_or(|known| left((open, limit)) < left(known)) {
            self.descriptors = Some((open, limit));
        }
    }
}

/// Whether anything was counted on a listener.
fn has_anything(listener: &Listener) -> bool {
    let some = |count: Option<u64>| count.is_some_and(|count| count > 0);
    some(listener.queued)
        || some(listener.accepted)
        || some(listener.discarded)
        || some(listener.drops.total)
        || some(listener.drops.at_most)
        || some(listener.syn_queue.cookies_sent)
        || listener.wakeups.is_some_and(|wakeups| wakeups.total > 0)
        || !listener.accept_errors.is_empty()
}

fn outcomes(wakeups: Wakeups) -> [u64; 4] {
    [wakeups.won, wakeups.lost, wakeups.failed, wakeups.silent]
}

fn add(sum: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or(0).saturating_add(more));
    }
}

fn add_each(sums: &mut [u64; 4], more: [u64; 4]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = sum.saturating_add(more);
    }
}
