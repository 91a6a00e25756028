//! One listener over several reports.

use std::{collections::BTreeMap, sync::Arc};

use super::{fairness::FairnessSum, number, size, workers::WorkersSum};
use crate::{
    model::{AcceptQueue, AcceptWait, Backlog, Bucket, ByReason, Drops, Listener, SynQueue},
    report::{
        build::ratio,
        counts,
        waits::{Histogram, summed},
    },
};

/// Counts of a listener so far, with its latest state.
pub(super) struct ListenerSum {
    /// Sum of plain counts; limits, holders and the like are the latest.
    sum: Listener,
    last_seen: u64,
    depths: BTreeMap<u64, u64>,
    waits: Histogram,
    workers: WorkersSum,
    fairness: FairnessSum,
    /// Memory that it takes, about, without its workers and histograms.
    bytes: usize,
}

impl ListenerSum {
    /// Begins with what `report`, by its number, has of it.
    pub(super) fn new(listener: &Listener, report: u64) -> Self {
        let mut one = Self {
            sum: Listener { workers: Vec::new(), findings: Vec::new(), ..listener.clone() },
            last_seen: report,
            depths: BTreeMap::new(),
            waits: Histogram::default(),
            workers: WorkersSum::default(),
            fairness: FairnessSum::default(),
            bytes: size::of_listener(listener),
        };
        one.add_histograms(listener, report);
        one
    }

    /// Memory that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let rows = self.depths.len() + self.waits.len();
        self.bytes + rows * size::ROW + self.workers.bytes()
    }

    /// Whether a listener of a later report is this one, not another that has its number now.
    pub(super) fn is(&self, later: &Listener) -> bool {
        match (self.sum.cookie, later.cookie) {
            (Some(cookie), Some(now)) => cookie == now,
            _ => !self.sum.closed || later.closed,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sum.closed
    }

    /// Number of the last report that has it.
    pub(super) fn last_seen(&self) -> u64 {
        self.last_seen
    }

    /// Adds what the next report that has it, by its number, says.
    pub(super) fn add(&mut self, next: &Listener, report: u64) {
        let before = &mut self.sum;
        let mut errors = std::mem::take(&mut before.accept_errors);
        let _names = number::by_name(&mut errors, &next.accept_errors);
        *before = Listener {
            cookie: next.cookie.or(before.cookie),
            reuseport: next.reuseport.or(before.reuseport),
            incomplete: before.incomplete || next.incomplete,
            holder_states: next.holder_states.clone().or_else(|| before.holder_states.take()),
            queued: number::any(before.queued, next.queued),
            accepted: number::any(before.accepted, next.accepted),
            discarded: number::any(before.discarded, next.discarded),
            wakeups: next.wakeups.or(before.wakeups),
            wasted_cpu: number::both(before.wasted_cpu, next.wasted_cpu),
            accept_errors: errors,
            accept_queue: accept_queue(&before.accept_queue, &next.accept_queue),
            syn_queue: syn_queue(&before.syn_queue, &next.syn_queue),
            backlog: backlog(&before.backlog, &next.backlog),
            accept_wait: AcceptWait {
                count: number::any(before.accept_wait.count, next.accept_wait.count),
                max: before.accept_wait.max.max(next.accept_wait.max),
                oldest: next.accept_wait.oldest,
                ..AcceptWait::default()
            },
            drops: drops(&before.drops, &next.drops),
            workers: Vec::new(),
            server: next.server.clone().or_else(|| before.server.take()),
            findings: Vec::new(),
            ..next.clone()
        };
        self.bytes = size::of_listener(&self.sum);
        self.last_seen = report;
        self.add_histograms(next, report);
    }

    fn add_histograms(&mut self, next: &Listener, report: u64) {
        for Bucket { le, count } in &next.accept_queue.histogram {
            let depth = self.depths.entry(*le).or_default();
            *depth = depth.saturating_add(*count);
        }
        self.waits.add(&next.accept_wait.histogram);
        self.workers.add(&next.workers, report);
        self.fairness.add(next);
    }

    /// All of it.
    pub(super) fn listener(self) -> Listener {
        let Self { mut sum, last_seen, depths, waits, workers, fairness, .. } = self;
        sum.workers = workers.workers(last_seen);
        if sum.wakeups.is_some() {
            let all = sum.workers.iter().map(|worker| worker.wakeups);
            sum.wakeups = Some(counts::sum(all));
        }
        sum.herd_ratio =
            sum.wakeups.zip(sum.accepted).and_then(|(all, accepted)| ratio(all.total, accepted));
        sum.accept_queue.histogram =
            depths.into_iter().map(|(le, count)| Bucket { le, count }).collect();
        let wait = &sum.accept_wait;
        sum.accept_wait = summed(&waits, wait.count, wait.max.unwrap_or(0), wait.oldest);
        sum.fairness = fairness.index(&sum.workers);
        sum
    }
}

fn accept_queue(before: &AcceptQueue, next: &AcceptQueue) -> AcceptQueue {
    AcceptQueue {
        now: next.now,
        max: before.max.max(next.max),
        limit: next.limit.or(before.limit),
        used_percent: number::greater(before.used_percent, next.used_percent),
        histogram: Vec::new(),
    }
}

fn syn_queue(before: &SynQueue, next: &SynQueue) -> SynQueue {
    SynQueue {
        now: next.now,
        max: before.max.max(next.max),
        sampled: before.sampled || next.sampled,
        used_percent: number::greater(before.used_percent, next.used_percent),
        cookies_sent: number::both(before.cookies_sent, next.cookies_sent),
    }
}

/// The latest limits. A call of `listen()` that was seen once stays seen.
fn backlog(before: &Backlog, next: &Backlog) -> Backlog {
    Backlog { limit: next.limit.or(before.limit), ..*next }
}

fn drops(before: &Drops, next: &Drops) -> Drops {
    let most = |drops: &Drops| drops.at_most.or(drops.total);
    let is_open = before.at_most.is_some() || next.at_most.is_some();
    let by_reason = match (&before.by_reason, &next.by_reason) {
        (Some(before), Some(next)) if next.values().all(|count| *count == 0) => {
            Some(before.clone())
        }
        (Some(before), Some(next)) => {
            let mut sum: ByReason = (**before).clone();
            let _names = number::by_name(&mut sum, next);
            Some(Arc::new(sum))
        }
        _ => None,
    };
    Drops {
        total: number::both(before.total, next.total),
        at_most: is_open.then(|| number::both(most(before), most(next))).flatten(),
        by_reason,
        clients: number::both(before.clients, next.clients),
        clients_overflowed: before.clients_overflowed || next.clients_overflowed,
    }
}
