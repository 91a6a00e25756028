use std::collections::HashSet;

use observer_common::counters::{
    ErrorKey, ListenerInfo, QueueStats, TaskState, WorkerKey, WorkerStats,
};

use super::{jain, wakeups};
use crate::bpf::snapshot::Snapshot;

const KEY: WorkerKey = WorkerKey { listener: 7, pid: 1, tid: 2 };

fn snapshot(row: WorkerStats, pending: u16) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.workers.insert(KEY, row);
    snapshot.tasks.insert(2, TaskState { listener: 7, pid: 1, pending, ..TaskState::default() });
    snapshot
}

#[test]
fn an_open_wakeup_of_a_task_that_waits_again_is_silent() {
    let row = WorkerStats { wakeups: 3, won: 2, ..WorkerStats::ZERO };
    let mut waiting = snapshot(row, 1);
    assert_eq!(waiting.pending().collect::<Vec<_>>(), [(1, 2)]);
    waiting.settle_silent(&HashSet::from([2]));
    assert_eq!(wakeups(&waiting.workers[&KEY]).silent, 1);
    assert_eq!(wakeups(&waiting.workers[&KEY]).pending, 0);
    // Once is enough, and a task that runs stays undecided.
    waiting.settle_silent(&HashSet::from([2]));
    assert_eq!(wakeups(&waiting.workers[&KEY]).silent, 1);
    let mut running = snapshot(row, 1);
    running.settle_silent(&HashSet::new());
    assert_eq!(wakeups(&running.workers[&KEY]).pending, 1);
}

#[test]
fn only_strangers_that_never_called_accept_are_left_out() {
    let woken = WorkerStats { wakeups: 1, ..WorkerStats::ZERO };
    let mut snapshot = Snapshot::default();
    let key = |pid| WorkerKey { listener: 7, pid, tid: pid };
    snapshot.workers.insert(key(0), woken);
    snapshot.workers.insert(key(1), woken);
    snapshot.workers.insert(key(2), WorkerStats { accepted: 1, ..woken });
    snapshot.workers.insert(key(3), WorkerStats { eagain: 1, ..woken });
    snapshot.workers.insert(key(4), woken);
    snapshot.workers.insert(key(5), woken);
    snapshot.errors.insert(ErrorKey { worker: key(4), errno: 24, zero: 0 }, 1);
    snapshot.leave_out_strangers(|pid, listener, _comm| {
        assert_eq!(listener, 7);
        pid != 5
    });
    let left: Vec<_> = snapshot.workers.keys().map(|key| key.pid).collect();
    assert_eq!(left, [0, 2, 3, 4, 5]);
}

#[test]
fn an_interval_holds_what_came_since_the_last() {
    let before = snapshot(WorkerStats { wakeups: 5, won: 5, accepted: 6, ..WorkerStats::ZERO }, 0);
    let mut after =
        snapshot(WorkerStats { wakeups: 9, won: 7, accepted: 9, ..WorkerStats::ZERO }, 0);
    after.queues.insert(
        7,
        QueueStats { queued: 3, depth_max: 50, interval_depth_max: 2, ..QueueStats::ZERO },
    );
    let row = after.since(&before).workers[&KEY];
    assert_eq!((row.wakeups, row.won, row.accepted), (4, 2, 3));
    assert_eq!(after.since(&before).queues[&7].depth_max, 2);
    assert_eq!(after.since(&after).queues[&7].depth_max, 0);
}

#[test]
fn a_listener_that_closed_before_the_interval_is_not_in_it() {
    let mut before = Snapshot::default();
    before.listeners.insert(1, ListenerInfo { closed: 9, ..ListenerInfo::default() });
    before.listeners.insert(2, ListenerInfo::default());
    let mut after = before.clone();
    after.listeners.insert(2, ListenerInfo { closed: 10, ..ListenerInfo::default() });
    let left = after.since(&before);
    assert!(!left.listeners.contains_key(&1));
    assert!(left.listeners.contains_key(&2));
}

#[test]
fn outcomes_always_add_up() {
    let carried = wakeups(&WorkerStats { wakeups: 0, won: 1, ..WorkerStats::ZERO });
    assert_eq!((carried.total, carried.won, carried.pending), (1, 1, 0));
    let open = wakeups(&WorkerStats { wakeups: 3, lost: 1, ..WorkerStats::ZERO });
    assert_eq!((open.total, open.lost, open.pending), (3, 1, 2));
}

#[test]
fn fairness_has_its_two_ends() {
    let close = |index: Option<f64>, value: f64| index.is_some_and(|i| (i - value).abs() < 1e-9);
    assert!(close(jain(&[5, 5, 5, 5]), 1.0));
    assert!(close(jain(&[20, 0, 0, 0]), 0.25));
    assert_eq!(jain(&[5]), None);
    assert_eq!(jain(&[0, 0]), None);
}
