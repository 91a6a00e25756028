use observer_common::counters::{
    ErrorKey, ListenerInfo, QueueStats, WaitKey, WorkerKey, WorkerStats,
};

use super::{Archive, others};
use crate::bpf::snapshot::Snapshot;

const WORKER: WorkerKey = WorkerKey { listener: 7, pid: 1, tid: 2 };
const ERROR: ErrorKey = ErrorKey { worker: WORKER, errno: 24, zero: 0 };
const WAIT: WaitKey = WaitKey { listener: 7, bucket: 3, zero: 0 };
/// More than anything that the tests put in.
const MANY: usize = 1_000;

fn closed(closed: u64) -> ListenerInfo {
    ListenerInfo { closed, ..ListenerInfo::default() }
}

fn queue(queued: u64, interval: u64, interval_depth_max: u64) -> QueueStats {
    QueueStats {
        queued,
        interval,
        interval_depth_max,
        depth_max: interval_depth_max,
        ..QueueStats::ZERO
    }
}

fn accepted(accepted: u64) -> WorkerStats {
    WorkerStats { accepted, ..WorkerStats::ZERO }
}

fn named(accepted: u64, name: u8) -> WorkerStats {
    WorkerStats { accepted, comm: [name; 16], ..WorkerStats::ZERO }
}

fn key(tid: u32) -> WorkerKey {
    WorkerKey { tid, ..WORKER }
}

fn error(tid: u32) -> ErrorKey {
    ErrorKey { worker: key(tid), ..ERROR }
}

/// A listener that closed, with a row of each kind.
fn one() -> Archive {
    let mut archive = Archive::default();
    archive.close(7, closed(5), &queue(3, 2, 4));
    archive.add_worker(WORKER, &named(3, b'a'));
    archive.add_errors(ERROR, 2);
    archive.add_waits(WAIT, 3);
    archive
}

/// Three ended tasks that accepted 1, 2 and 3 connections and met as many errors.
fn three() -> Archive {
    let mut archive = Archive::default();
    for tid in 1..=3 {
        archive.add_ended(key(tid), &accepted(tid.into()));
        archive.add_ended_errors(error(tid), tid.into());
    }
    archive
}

/// A reading of the archive and of what is in the kernel maps.
fn read_with(archive: &Archive, kernel: &Snapshot) -> Snapshot {
    let mut snapshot = Snapshot { folded: archive.folded(), ..kernel.clone() };
    archive.add_to(&mut snapshot);
    snapshot
}

fn read(archive: &Archive) -> Snapshot {
    read_with(archive, &Snapshot::default())
}

fn rows(snapshot: &Snapshot) -> Vec<(WorkerKey, u64)> {
    snapshot.workers.iter().map(|(key, row)| (*key, row.accepted)).collect()
}

/// What a reading has of listener 7.
fn counts(snapshot: &Snapshot) -> (u64, u64, u64, u64) {
    let (queue, worker) = (&snapshot.queues[&7], &snapshot.workers[&WORKER]);
    (queue.queued, worker.accepted, snapshot.errors[&ERROR], snapshot.waits[&WAIT])
}

#[test]
fn a_reading_says_the_same_before_and_after() {
    let mut kernel = Snapshot::default();
    kernel.listeners.insert(7, closed(5));
    kernel.queues.insert(7, queue(3, 2, 4));
    kernel.workers.insert(WORKER, named(3, b'a'));
    kernel.errors.insert(ERROR, 2);
    kernel.waits.insert(WAIT, 3);
    let after = read(&one());
    assert_eq!(after.listeners, kernel.listeners);
    assert_eq!(after.queues, kernel.queues);
    assert_eq!(after.workers, kernel.workers);
    assert_eq!(after.errors, kernel.errors);
    assert_eq!(after.waits, kernel.waits);
    // Nothing happened since, whatever moved.
    let since = after.since(&kernel);
    assert!(since.listeners.is_empty());
    assert_eq!((since.queues[&7].queued, since.workers[&WORKER].accepted), (0, 0));
}

#[test]
fn what_comes_later_is_added_wherever_it_is() {
    let mut archive = one();
    // Still in the kernel maps.
    let mut kernel = Snapshot::default();
    kernel.workers.insert(WORKER, named(1, b'b'));
    kernel.errors.insert(ERROR, 1);
    kernel.waits.insert(WAIT, 1);
    assert_eq!(counts(&read_with(&archive, &kernel)), (3, 4, 3, 4));
    // Taken at the next turn.
    archive.add_worker(WORKER, &named(1, b'b'));
    archive.add_errors(ERROR, 1);
    archive.add_waits(WAIT, 1);
    let after = read(&archive);
    assert_eq!(counts(&after), (3, 4, 3, 4));
    assert_eq!(after.workers[&WORKER].comm, [b'a'; 16]);
}

#[test]
fn a_socket_that_listens_again_is_one_listener() {
    let mut archive = Archive::default();
    archive.close(7, closed(5), &queue(3, 2, 9));
    let mut kernel = Snapshot::default();
    kernel.listeners.insert(7, closed(0));
    kernel.queues.insert(7, queue(2, 4, 1));
    let open = read_with(&archive, &kernel);
    assert_eq!(open.listeners[&7].closed, 0);
    assert_eq!((open.queues[&7].queued, open.queues[&7].depth_max), (5, 9));
    // The maxima of an interval are those of the later one.
    assert_eq!(open.queues[&7].interval_depth_max, 1);
    archive.close(7, closed(8), &queue(2, 4, 1));
    let over = read(&archive);
    assert_eq!((over.listeners.len(), over.listeners[&7].closed), (1, 8));
    assert_eq!(over.queues, open.queues);
}

#[test]
fn the_oldest_listeners_go_first_and_each_is_counted() {
    let mut archive = Archive::default();
    for (id, time) in [(7, 1), (8, 2), (9, 3)] {
        archive.close(id, closed(time), &QueueStats::ZERO);
    }
    archive.add_worker(WORKER, &accepted(1));
    // It listened again, so that it is the youngest.
    archive.close(7, closed(4), &QueueStats::ZERO);
    archive.trim_to(2, 10, MANY);
    assert_eq!(archive.forgotten(), 1);
    assert!(!archive.contains(8) && archive.contains(7) && archive.contains(9));
    // What a task does later with one that is gone is let go as well.
    archive.add_worker(WorkerKey { listener: 8, ..WORKER }, &accepted(1));
    assert_eq!(archive.rows, 1);
    archive.trim_to(2, 0, MANY);
    assert_eq!((archive.forgotten(), archive.rows), (3, 0));
    assert!(read(&archive).listeners.is_empty());
}

#[test]
fn what_the_oldest_task_did_is_the_others() {
    let mut archive = three();
    let before = read(&archive);
    archive.trim_to(MANY, MANY, 1);
    let after = read(&archive);
    assert_eq!(rows(&after), [(others(7), 3), (key(3), 3)]);
    let errors: Vec<_> = after.errors.into_iter().collect();
    assert_eq!(errors, [(ErrorKey { worker: others(7), ..error(0) }, 3), (error(3), 3)]);
    // Nothing happened in between, so that nothing is in the interval.
    let since = read(&archive).since(&before);
    assert!(since.workers.values().all(|row| row.accepted == 0), "{:?}", since.workers);
    assert!(since.errors.values().all(|count| *count == 0), "{:?}", since.errors);
}

#[test]
fn a_task_that_came_and_went_within_an_interval_is_in_it() {
    let mut archive = three();
    let before = read(&archive);
    archive.add_ended(key(4), &accepted(5));
    archive.add_ended(key(2), &accepted(1));
    archive.trim_to(MANY, MANY, 0);
    let since = read(&archive).since(&before);
    assert_eq!(since.workers[&others(7)].accepted, 6);
    assert_eq!(since.errors.values().sum::<u64>(), 0);
}

#[test]
fn only_the_listener_that_has_most_tasks_is_folded() {
    let mut archive = Archive::default();
    let of_another = |tid| WorkerKey { listener: 8, ..key(tid) };
    // These are older than all of the other listener's.
    (1..=2).for_each(|tid| archive.add_ended(of_another(tid), &accepted(10)));
    (1..=100).for_each(|tid| archive.add_ended(key(tid), &accepted(1)));
    archive.trim_to(MANY, MANY, 5);
    let left = [98, 99, 100].map(|tid| (key(tid), 1));
    let another = [1, 2].map(|tid| (of_another(tid), 10));
    assert_eq!(rows(&read(&archive)), [&[(others(7), 97)][..], &left[..], &another[..]].concat());
    assert_eq!(archive.folded(), 97);
    // Down to as many as the other has, and then it is the turn of both.
    archive.trim_to(MANY, MANY, 2);
    let count = |listener| {
        let snapshot = read(&archive);
        snapshot.workers.keys().filter(|key| key.listener == listener && key.tid != 0).count()
    };
    assert_eq!((count(7), count(8)), (1, 1));
}

#[test]
fn the_tasks_of_a_listener_that_closed_go_with_it() {
    let mut archive = three();
    archive.add_ended(WorkerKey { listener: 8, ..key(9) }, &accepted(9));
    let before = read(&archive);
    archive.close(7, closed(1), &QueueStats::ZERO);
    let after = read(&archive);
    assert_eq!((before.workers, before.errors), (after.workers, after.errors));
    assert_eq!((archive.tasks, archive.rows), (1, 6));
    archive.trim_to(MANY, MANY, 0);
    assert_eq!(read(&archive).workers[&others(8)].accepted, 9);
    // They are its own as long as it is kept.
    assert_eq!(read(&archive).workers[&key(1)].accepted, 1);
    archive.trim_to(0, MANY, MANY);
    assert_eq!(rows(&read(&archive)), [(others(8), 9)]);
    assert_eq!((archive.forgotten(), archive.rows, archive.tasks), (1, 0, 0));
}

#[test]
fn tasks_of_a_listener_that_opened_again_are_bounded_too() {
    let mut archive = one();
    (3..=5).for_each(|tid| archive.add_ended(key(tid), &accepted(1)));
    archive.trim_to(MANY, MANY, 1);
    assert_eq!(rows(&read(&archive)), [(others(7), 2), (WORKER, 3), (key(5), 1)]);
    assert_eq!((archive.folded(), archive.tasks, archive.rows), (2, 1, 5));
    archive.trim_to(0, MANY, MANY);
    assert!(rows(&read(&archive)).is_empty());
    assert_eq!((archive.tasks, archive.by_tasks.len()), (0, 0));
}

/// Generation after generation is born, counts, closes, and is told of: what is kept, and read for each report, does not
/// grow with them, and nothing is called missing.
#[test]
fn what_was_told_of_is_forgotten_where_nobody_wants_a_total() {
    let mut archive = Archive::default();
    let mut most = 0;
    for generation in 0..1_000_u64 {
        let id = 100 + generation;
        archive.close(id, closed(generation + 1), &queue(3, 2, 4));
        let worker = WorkerKey { listener: id, ..WORKER };
        archive.add_worker(worker, &accepted(3));
        archive.add_errors(ErrorKey { worker, ..ERROR }, 2);
        archive.add_waits(WaitKey { listener: id, ..WAIT }, 3);
        archive.close_quiet(10_000 + generation, closed(generation + 1));
        archive.trim();
        let mut reported = read(&archive);
        most = most.max(reported.workers.len() + reported.listeners.len());
        assert_eq!(rows(&reported), [(worker, 3)]);
        archive.forget_closed(&mut reported, |_| false);
        assert!(reported.listeners.is_empty() && reported.queues.is_empty());
        assert!(reported.workers.is_empty() && reported.errors.is_empty());
        assert!(reported.waits.is_empty());
    }
    assert_eq!(most, 3, "a listener, one on which nothing was counted, and a worker");
    assert_eq!((archive.rows, archive.forgotten(), archive.by_age.len()), (0, 0, 0));
    assert!(archive.listeners.is_empty() && archive.quiet.is_empty());
}

#[test]
fn what_was_not_told_of_or_lives_again_is_kept() {
    let mut archive = one();
    // Read before it closed.
    let mut reported = Snapshot::default();
    reported.listeners.insert(7, closed(0));
    archive.forget_closed(&mut reported, |_| false);
    assert_eq!(rows(&read(&archive)), [(WORKER, 3)]);
    assert!(reported.listeners.contains_key(&7));
    // It listens again: what it counts is added to this.
    let mut reported = read(&archive);
    archive.forget_closed(&mut reported, |id| id == 7);
    assert_eq!(rows(&read(&archive)), [(WORKER, 3)]);
    assert_eq!(rows(&reported), [(WORKER, 3)]);
    // What tasks did that ended, with a listener that is open, is told again and again.
    archive.add_ended(WorkerKey { listener: 8, ..WORKER }, &accepted(1));
    archive.forget_closed(&mut reported, |_| false);
    assert_eq!(rows(&read(&archive)), [(WorkerKey { listener: 8, ..WORKER }, 1)]);
}
