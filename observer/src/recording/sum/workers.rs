//! Workers of a listener over several reports.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use super::{number, size};
use crate::model::{Wakeups, Worker};

/// Workers that are kept of one listener. What others did is in the row `(others)`.
const WORKERS_MAX: usize = 10_000;

/// Process id and thread id; `None` for the row `(others)` and for tasks outside of the PID namespace.
type Key = (Option<u32>, Option<u32>);

#[derive(Default)]
pub(super) struct WorkersSum {
    rows: HashMap<Key, Row>,
    /// Memory that the rows take, about.
    bytes: usize,
}

struct Row {
    worker: Worker,
    last_seen: u64,
}

impl WorkersSum {
    /// Adds the workers of a report, by its number.
    pub(super) fn add(&mut self, workers: &[Worker], report: u64) {
        for worker in workers {
            let row = self.rows.entry((worker.pid, worker.tid)).or_insert_with(|| {
                self.bytes += size::of_worker(worker);
                let worker = Worker {
                    wakeups: Wakeups::default(),
                    accepted: 0,
                    accept_errors: BTreeMap::new(),
                    ..worker.clone()
                };
                Row { worker, last_seen: report }
            });
            row.last_seen = report;
            if row.worker.comm != worker.comm {
                self.bytes = (self.bytes + worker.comm.len()).saturating_sub(row.worker.comm.len());
                row.worker.comm.clone_from(&worker.comm);
            }
            if add(&mut row.worker, worker) > 0 {
                self.bytes += size::of_names(&worker.accept_errors);
            }
        }
        if self.rows.len() > WORKERS_MAX {
            self.fold(report);
        }
    }

    /// Adds what tasks did that are gone to the row of the others.
    fn fold(&mut self, report: u64) {
        let is_gone = |row: &Row| row.last_seen < report;
        let gone: Vec<Worker> = self
            .rows
            .extract_if(|key, row| key.1.is_some() && is_gone(row))
            .map(|(_, row)| row.worker)
            .collect();
        let nobody = |comm: &str| Worker {
            pid: None,
            tid: None,
            comm: comm.to_owned(),
            wakeups: Wakeups::default(),
            accepted: 0,
            accept_errors: BTreeMap::new(),
        };
        let others = self
            .rows
            .entry((None, None))
            .or_insert_with(|| Row { worker: nobody("(others)"), last_seen: report });
        for worker in &gone {
            let _names = add(&mut others.worker, worker);
        }
        self.bytes = self.rows.values().map(|row| size::of_worker(&row.worker)).sum();
        let names = self.rows.values().map(|row| size::of_names(&row.worker.accept_errors));
        self.bytes += names.sum::<usize>();
    }

    /// Memory that they take, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The busiest first. Of tasks that did nothing, those that the report `last` has: the others are gone.
    pub(super) fn workers(self, last: u64) -> Vec<Worker> {
        let did = |worker: &Worker| {
            worker.accepted > 0 || worker.wakeups.total > 0 || !worker.accept_errors.is_empty()
        };
        let rows = self.rows.into_values();
        let rows = rows.filter(|row| row.last_seen == last || did(&row.worker));
        let mut workers: Vec<Worker> = rows.map(|row| row.worker).collect();
        workers.sort_by_key(|worker| {
            (Reverse((worker.accepted, worker.wakeups.total)), worker.pid, worker.tid)
        });
        workers
    }
}

/// Adds what a worker did. The number of errors of another name is returned.
fn add(sum: &mut Worker, worker: &Worker) -> usize {
    sum.accepted = sum.accepted.saturating_add(worker.accepted);
    sum.wakeups = wakeups(&sum.wakeups, &worker.wakeups);
    number::by_name(&mut sum.accept_errors, &worker.accept_errors)
}

/// Adds the wakeups of the next interval. One that was open at its beginning is decided in it or is still open, so
/// that only what is open at the end stays open.
fn wakeups(before: &Wakeups, next: &Wakeups) -> Wakeups {
    let [won, lost, failed, silent] = [
        before.won.saturating_add(next.won),
        before.lost.saturating_add(next.lost),
        before.failed.saturating_add(next.failed),
        before.silent.saturating_add(next.silent),
    ];
    // Nothing was decided in an interval in which nothing happened.
    let pending = if next.total == 0 { before.pending } else { next.pending };
    let total = [won, lost, failed, silent, pending].into_iter().fold(0, u64::saturating_add);
    Wakeups { total, won, lost, failed, silent, pending }
}
