//! Arithmetic on snapshots: settling what is decided by the time of the report, and taking what an
//! earlier one had already.

use std::collections::{BTreeMap, HashSet};

use observer_common::{
    counters::{
        ErrorKey, ListenerId, QueueStats, Unrecognised, UnrecognisedKey, WorkerKey, WorkerStats,
    },
    drops::DROP_REASONS,
    hist::DEPTH_BUCKETS,
};

use crate::{
    bpf::{
        merge::{no_room_since, take_off},
        snapshot::{Incomplete, Snapshot},
    },
    model::Wakeups,
};

impl Snapshot {
    /// Tasks whose latest wakeup is still open: process id and thread id.
    pub fn pending(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.tasks
            .iter()
            .filter(|(_, state)| state.pending != 0)
            .map(|(tid, state)| (state.pid, *tid))
    }

    /// Settles as silent the open wakeups of tasks that wait again, or are gone. The kernel
    /// programs settle them too, but only when the task is woken once more.
    /// Whose they were is returned.
    pub fn settle_silent(&mut self, waiting_again: &HashSet<u32>) -> Vec<WorkerKey> {
        let mut settled = Vec::new();
        for (tid, state) in &mut self.tasks {
            if state.pending == 0 || !waiting_again.contains(tid) {
                continue;
            }
            state.pending = 0;
            if let Some(cost) = &mut self.cost {
                cost.settle(*tid, state.listener);
            }
            let key = WorkerKey { listener: state.listener, pid: state.pid, tid: *tid };
            let rest = WorkerKey { listener: state.listener, pid: 0, tid: 0 };
            let row = if self.workers.contains_key(&key) { key } else { rest };
            if let Some(worker) = self.workers.get_mut(&row)
                && worker.won + worker.lost + worker.failed + worker.silent < worker.wakeups
            {
                worker.silent += 1;
                settled.push(key);
            }
        }
        settled
    }

    /// Takes out the tasks of processes that do not hold the listener: an interrupt within a
    /// notification (a timer's end, a signal) wakes whoever it is for, who may well be waiting for
    /// something else. A task that called accept on the listener is none of these.
    pub fn leave_out_strangers(
        &mut self,
        mut is_stranger: impl FnMut(u32, ListenerId, &[u8; 16]) -> bool,
    ) {
        let errors = &self.errors;
        self.workers.retain(|key, row| {
            let called = row.accepted + row.eagain != 0
                || errors
                    .range(first_error(*key)..)
                    .next()
                    .is_some_and(|(one, _)| one.worker == *key);
            key.pid == 0 || called || !is_stranger(key.pid, key.listener, &row.comm)
        });
    }

    /// Takes out the processes that have nothing to do with the listener whose notification an interrupt woke
    /// them in, and returns them: those that do not hold it, and of the kernel's threads those that never
    /// called accept on it, unless it is a listener that nobody holds but the kernel.
    pub fn leave_out_unrecognised(
        &mut self,
        mut is_stranger: impl FnMut(u32, ListenerId, &[u8; 16]) -> bool,
    ) -> Vec<UnrecognisedKey> {
        let mut strangers = Vec::new();
        let workers = &self.workers;
        self.unrecognised.retain(|key, row| {
            let first = WorkerKey { listener: key.listener, pid: key.pid, tid: 0 };
            let of_process = workers.range(first..);
            let mut of_process = of_process
                .take_while(|(one, _)| (one.listener, one.pid) == (key.listener, key.pid));
            let called = of_process.any(|(_, row)| row.accepted + row.eagain != 0);
            let stays = called || !is_stranger(key.pid, key.listener, &row.comm);
            if !stays {
                strangers.push(*key);
            }
            stays
        });
        strangers
    }

    /// What was counted since `base`. Rows keep their place also where nothing changed.
    #[must_use]
    pub fn since(&self, base: &Self) -> Self {
        let queues = self.queues.iter().map(|(id, queue)| {
            (*id, queue_since(queue, base.queues.get(id).unwrap_or(&QueueStats::ZERO)))
        });
        let workers = self.workers.iter().map(|(key, worker)| {
            (*key, worker_since(worker, base.workers.get(key).unwrap_or(&WorkerStats::ZERO)))
        });
        let errors = self.errors.iter().map(|(key, count)| {
            (*key, count.saturating_sub(base.errors.get(key).copied().unwrap_or(0)))
        });
        let (mut workers, mut errors): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (workers.collect(), errors.collect());
        if self.folded != base.folded {
            leave_out_folded(self, base, &mut workers, &mut errors);
        }
        let (mut misc, misc_before) = (self.misc, base.misc);
        take_off!(misc, misc_before: events_lost, workers, recovered, in_doubt);
        misc.no_room = no_room_since(misc.no_room, &misc_before.no_room);
        Self {
            // A listener that had closed before is no part of this window.
            listeners: self
                .listeners
                .iter()
                .filter(|(id, _)| base.listeners.get(id).is_none_or(|before| before.closed == 0))
                .map(|(id, info)| (*id, *info))
                .collect(),
            queues: queues.collect(),
            workers,
            errors,
            waits: self
                .waits
                .iter()
                .map(|(key, count)| {
                    (*key, count.saturating_sub(base.waits.get(key).copied().unwrap_or(0)))
                })
                .collect(),
            oldest: self.oldest.clone(),
            cost: self.cost.as_ref().map(|cost| match &base.cost {
                Some(base) => cost.since(base),
                None => cost.clone(),
            }),
            asked: self.asked.clone(),
            tasks: self.tasks.clone(),
            unrecognised: self
                .unrecognised
                .iter()
                .map(|(key, row)| {
                    let before = base.unrecognised.get(key).map_or(0, |row| row.wakeups);
                    (*key, Unrecognised { wakeups: row.wakeups.saturating_sub(before), ..*row })
                })
                .collect(),
            of_kernel: self.of_kernel.clone(),
            folded: self.folded,
            // Since when it is one of them is not known: it may be one of this interval.
            incomplete: match misc.no_room.total() {
                0 => Incomplete::default(),
                _ => self.incomplete.clone(),
            },
            forgotten: self.forgotten.saturating_sub(base.forgotten),
            misc,
            // What one reading missed, the other has.
            unsettled: self.unsettled + base.unsettled,
        }
    }
}

/// Takes what `base` has of tasks whose rows are gone off the others' rows, to which these were added since:
/// it was not done in this interval.
fn leave_out_folded(
    now: &Snapshot,
    base: &Snapshot,
    workers: &mut BTreeMap<WorkerKey, WorkerStats>,
    errors: &mut BTreeMap<ErrorKey, u64>,
) {
    let rest = |key: &WorkerKey| WorkerKey { pid: 0, tid: 0, ..*key };
    for (key, before) in base.workers.iter().filter(|(key, _)| !now.workers.contains_key(key)) {
        if let Some(others) = workers.get_mut(&rest(key)) {
            *others = worker_since(others, before);
        }
    }
    for (key, before) in base.errors.iter().filter(|(key, _)| !now.errors.contains_key(key)) {
        if let Some(others) = errors.get_mut(&ErrorKey { worker: rest(&key.worker), ..*key }) {
            *others = others.saturating_sub(*before);
        }
    }
}

/// What a task did since `base`.
fn worker_since(row: &WorkerStats, base: &WorkerStats) -> WorkerStats {
    let mut since = *row;
    take_off!(since, base: wakeups, won, lost, failed, silent, accepted, eagain);
    since
}

/// A listener's queues since `base`. The maxima of an interval are those of this one only where
/// something happened in it.
fn queue_since(queue: &QueueStats, base: &QueueStats) -> QueueStats {
    let mut since = *queue;
    take_off!(
        since, base: queued, discarded, inferred, cookies_sent, cookies_wanted, waits, clients,
        clients_unknown
    );
    for reason in 0..DROP_REASONS {
        since.drops[reason] = since.drops[reason].saturating_sub(base.drops[reason]);
    }
    for bucket in 0..DEPTH_BUCKETS {
        since.depth[bucket] = since.depth[bucket].saturating_sub(base.depth[bucket]);
    }
    let of = |now: u64, before: u64, max: u64| if now == before { 0 } else { max };
    since.depth_max = if since.queued == 0 { 0 } else { queue.interval_depth_max };
    since.syn_max = of(queue.interval, base.interval, queue.interval_syn_max);
    since.wait_max = if since.waits == 0 { 0 } else { queue.interval_wait_max };
    since
}

/// Wakeups by a listener that were not counted.
pub(super) fn unrecognised(counted: &Snapshot, listener: ListenerId) -> u64 {
    let first = UnrecognisedKey { listener, pid: 0, zero: 0 };
    let of_listener = counted.unrecognised.range(first..);
    of_listener.take_while(|(key, _)| key.listener == listener).map(|(_, row)| row.wakeups).sum()
}

/// Where a worker's errors begin among all.
pub(super) fn first_error(worker: WorkerKey) -> ErrorKey {
    ErrorKey { worker, errno: 0, zero: 0 }
}

/// A row's wakeups, so that the outcomes add up to the total.
///
/// A wakeup that was open when one interval ended is decided in the next, where the outcomes can
/// then be more than the wakeups: it counts in both, open in the first and decided in the second.
#[must_use]
pub fn wakeups(row: &WorkerStats) -> Wakeups {
    let settled = row.won + row.lost + row.failed + row.silent;
    Wakeups {
        total: row.wakeups.max(settled),
        won: row.won,
        lost: row.lost,
        failed: row.failed,
        silent: row.silent,
        pending: row.wakeups.saturating_sub(settled),
    }
}

/// Adds up wakeups.
#[must_use]
pub fn sum(all: impl IntoIterator<Item = Wakeups>) -> Wakeups {
    all.into_iter().fold(Wakeups::default(), |sum, one| Wakeups {
        total: sum.total.saturating_add(one.total),
        won: sum.won.saturating_add(one.won),
        lost: sum.lost.saturating_add(one.lost),
        failed: sum.failed.saturating_add(one.failed),
        silent: sum.silent.saturating_add(one.silent),
        pending: sum.pending.saturating_add(one.pending),
    })
}

/// Jain's index of fairness: 1 when all took the same, 1/n when one took all; `None` below two, or
/// when nothing was taken.
#[must_use]
pub fn jain(taken: &[u64]) -> Option<f64> {
    if taken.len() < 2 {
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "an index needs no more than 52 bits of a count"
    )]
    let parts: Vec<f64> = taken.iter().map(|count| *count as f64).collect();
    let squares: f64 = parts.iter().map(|part| part * part).sum();
    if squares == 0.0 {
        return None;
    }
    let sum: f64 = parts.iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 workers")]
    let workers = parts.len() as f64;
    Some(sum * sum / (workers * squares))
}

#[cfg(test)]
mod tests;
