//! What each task did with a listener.

use std::collections::BTreeMap;

use nix::errno::Errno;
use observer_common::{
    config::is_outside,
    counters::{ErrorKey, WorkerKey, WorkerStats},
};

use crate::{
    model::Worker,
    report::{counts, input::Input},
};

/// Tasks that were woken by a listener, called accept on it, or wait for it: the busiest first.
pub(super) fn workers(input: &Input<'_>, id: u64) -> Vec<Worker> {
    let mut workers = BTreeMap::<(u32, u32), Worker>::new();
    for waiter in input.waiters.get(&id).into_iter().flatten() {
        workers.insert((waiter.pid, waiter.tid), worker(waiter.pid, waiter.tid, &waiter.comm));
    }
    for (key, row) in rows(input, id) {
        let comm = if key.tid == 0 { "(others)".into() } else { text(&row.comm) };
        let entry =
            workers.entry((key.pid, key.tid)).or_insert_with(|| worker(key.pid, key.tid, &comm));
        entry.wakeups = counts::wakeups(row);
        entry.accepted = row.accepted;
        if row.eagain != 0 {
            entry.accept_errors.insert("EAGAIN".into(), row.eagain);
        }
    }
    for (key, count) in errors(input, id) {
        let named = input.counted.workers.get(&key.worker);
        let comm = named.map(|row| text(&row.comm)).unwrap_or_default();
        let entry = workers
            .entry((key.worker.pid, key.worker.tid))
            .or_insert_with(|| worker(key.worker.pid, key.worker.tid, &comm));
        entry.accept_errors.insert(errno_name(key.errno), *count);
    }
    let mut workers: Vec<_> = workers.into_values().collect();
    workers.sort_by_key(|worker| {
        (std::cmp::Reverse((worker.accepted, worker.wakeups.total)), worker.pid, worker.tid)
    });
    workers
}

/// What tasks did with a listener.
pub(super) fn rows<'a>(
    input: &Input<'a>,
    id: u64,
) -> impl Iterator<Item = (&'a WorkerKey, &'a WorkerStats)> {
    let rows = input.counted.workers.range(first_worker(id)..);
    rows.take_while(move |(key, _)| key.listener == id).filter(|(_, row)| is_active(row))
}

/// The errors that their accept calls met, but for EAGAIN.
pub(super) fn errors<'a>(
    input: &Input<'a>,
    id: u64,
) -> impl Iterator<Item = (&'a ErrorKey, &'a u64)> {
    let errors = input.counted.errors.range(counts::first_error(first_worker(id))..);
    errors.take_while(move |(key, _)| key.worker.listener == id).filter(|(_, count)| **count != 0)
}

/// Where a listener's rows begin among all.
fn first_worker(listener: u64) -> WorkerKey {
    WorkerKey { listener, pid: 0, tid: 0 }
}

fn worker(pid: u32, tid: u32, comm: &str) -> Worker {
    // The row of the others is of no one task.
    let number = |id: u32| (id != 0 && !is_outside(id)).then_some(id);
    Worker {
        pid: number(pid),
        tid: number(tid),
        comm: comm.to_owned(),
        wakeups: counts::sum([]),
        accepted: 0,
        accept_errors: BTreeMap::new(),
    }
}

fn is_active(row: &WorkerStats) -> bool {
    WorkerStats { comm: [0; 16], ..*row } != WorkerStats::ZERO
}

/// Their errors, added up.
pub(super) fn merge_errors(workers: &[Worker]) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for (name, count) in workers.iter().flat_map(|worker| &worker.accept_errors) {
        *sum.entry(name.clone()).or_insert(0) += count;
    }
    sum
}

/// The name of an errno, such as `EMFILE`.
#[must_use]
pub fn errno_name(errno: u32) -> String {
    match i32::try_from(errno).map(Errno::from_raw) {
        Ok(Errno::UnknownErrno) | Err(_) => format!("errno {errno}"),
        Ok(known) => format!("{known:?}"),
    }
}

/// A name that the kernel keeps, up to its first zero.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use observer_common::config::OUTSIDE;

    use super::worker;

    #[test]
    fn only_a_task_that_proc_shows_has_ids() {
        let ids = |pid, tid| {
            let worker = worker(pid, tid, "a");
            (worker.pid, worker.tid)
        };
        assert_eq!(ids(10, 11), (Some(10), Some(11)));
        assert_eq!(ids(10 | OUTSIDE, 11 | OUTSIDE), (None, None));
        // The row of the others.
        assert_eq!(ids(0, 0), (None, None));
    }
}
