//! What each task did: in its own entry, in a row, or in both.

use std::collections::BTreeMap;

use foldhash::HashMap;
use observer_common::counters::{TaskState, WorkerKey, WorkerStats};

use super::merge::merge_worker;

/// What each task did with each listener.
pub(super) type Workers = BTreeMap<WorkerKey, WorkerStats>;
/// The entries of tasks, by thread id.
pub(super) type Tasks = HashMap<u32, TaskState>;

/// Adds what the entries of tasks hold to their rows. Two entries of one task, which two CPUs may have
/// made at once, are both counted.
pub(super) fn workers_with(mut workers: Workers, entries: &[(u32, TaskState)]) -> Workers {
    for (tid, state) in entries {
        let row = workers.entry(entry_key(*tid, state)).or_insert(WorkerStats::ZERO);
        *row = merge_worker(*row, &state.stats);
    }
    workers
}

/// The entries by thread id; of two the first, which is the one that the kernel programs find.
pub(super) fn tasks_of(entries: Vec<(u32, TaskState)>) -> Tasks {
    entries.into_iter().rev().collect()
}

/// Whose counts a task's entry holds.
pub(super) fn entry_key(tid: u32, state: &TaskState) -> WorkerKey {
    WorkerKey { listener: state.stats_listener, pid: state.pid, tid }
}

#[cfg(test)]
mod tests {
    use observer_common::counters::{TaskState, WorkerStats};

    use super::{Workers, entry_key, tasks_of, workers_with};

    #[test]
    fn two_entries_of_one_task_are_added_up() {
        let entry = |accepted, pending| {
            let stats = WorkerStats { accepted, wakeups: 1, ..WorkerStats::ZERO };
            TaskState { pid: 40, stats_listener: 7, listener: 7, pending, stats, ..TaskState::NONE }
        };
        // In its place, and elsewhere.
        let entries = vec![(42, entry(3, 1)), (42, entry(2, 0)), (43, entry(1, 0))];
        let key = entry_key(42, &entry(0, 0));
        let rows = Workers::from([(key, WorkerStats { accepted: 4, ..WorkerStats::ZERO })]);
        let workers = workers_with(rows, &entries);
        let counted: Vec<_> =
            workers.iter().map(|(key, row)| (key.tid, row.accepted, row.wakeups)).collect();
        assert_eq!(counted, [(42, 9, 2), (43, 1, 1)]);
        assert_eq!(tasks_of(entries)[&42], entry(3, 1));
    }
}
