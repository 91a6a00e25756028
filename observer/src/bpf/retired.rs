//! Listeners that closed and were taken out of the kernel maps: what was counted of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use observer_common::counters::{
    ErrorKey, ListenerId, ListenerInfo, QueueStats, WaitKey, WorkerKey, WorkerStats,
};

use super::{
    merge::{merge_queue, merge_worker},
    snapshot::Snapshot,
};

/// Of so many listeners the counts are kept.
const LISTENERS: usize = 16_384;

/// And so many rows of what tasks did with them, of accept errors and of accept waits.
const ROWS: usize = 262_144;

/// What is kept of one listener.
#[derive(Debug)]
struct One {
    info: ListenerInfo,
    queue: QueueStats,
    workers: BTreeMap<WorkerKey, WorkerStats>,
    errors: BTreeMap<ErrorKey, u64>,
    waits: BTreeMap<WaitKey, u64>,
}

impl One {
    fn rows(&self) -> usize {
        self.workers.len() + self.errors.len() + self.waits.len()
    }
}

/// Listeners that closed, with their counts.
#[derive(Debug, Default)]
pub(super) struct Retired {
    all: HashMap<ListenerId, One>,
    /// The same by when they closed.
    by_age: BTreeSet<(u64, ListenerId)>,
    /// Rows of all of them.
    rows: usize,
    dropped: u64,
}

impl Retired {
    /// Takes in a listener, or another life of one.
    pub(super) fn add_listener(&mut self, id: ListenerId, info: ListenerInfo, queue: &QueueStats) {
        let one = self.all.entry(id).or_insert_with(|| One {
            info,
            queue: QueueStats::ZERO,
            workers: BTreeMap::new(),
            errors: BTreeMap::new(),
            waits: BTreeMap::new(),
        });
        self.by_age.remove(&(one.info.closed, id));
        self.by_age.insert((info.closed, id));
        one.info = info;
        one.queue = merge_queue(one.queue, queue);
    }

    /// Adds what a task did with a listener, if that is here.
    pub(super) fn add_worker(&mut self, key: WorkerKey, stats: &WorkerStats) {
        let Some(one) = self.all.get_mut(&key.listener) else { return };
        let row = one.workers.entry(key).or_insert_with(|| {
            self.rows += 1;
            WorkerStats::ZERO
        });
        *row = merge_worker(*row, stats);
    }

    /// Adds errors of a task's accept calls on a listener, if that is here.
    pub(super) fn add_errors(&mut self, key: ErrorKey, count: u64) {
        let Some(one) = self.all.get_mut(&key.worker.listener) else { return };
        *one.errors.entry(key).or_insert_with(|| {
            self.rows += 1;
            0
        }) += count;
    }

    /// Adds accept waits of a listener's connections, if that is here.
    pub(super) fn add_waits(&mut self, key: WaitKey, count: u64) {
        let Some(one) = self.all.get_mut(&key.listener) else { return };
        *one.waits.entry(key).or_insert_with(|| {
            self.rows += 1;
            0
        }) += count;
    }

    /// Whether a listener is here.
    pub(super) fn contains(&self, id: ListenerId) -> bool {
        self.all.contains_key(&id)
    }

    /// What is known of a listener that is here.
    pub(super) fn listener(&self, id: ListenerId) -> Option<ListenerInfo> {
        self.all.get(&id).map(|one| one.info)
    }

    /// How many had to go for want of room here.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Lets go of those that closed first, as far as there are too many, and counts them.
    pub(super) fn drop_oldest(&mut self) {
        self.drop_down_to(LISTENERS, ROWS);
    }

    fn drop_down_to(&mut self, listeners: usize, rows: usize) {
        while self.all.len() > listeners || self.rows > rows {
            let Some((_, id)) = self.by_age.pop_first() else { return };
            self.rows -= self.all.remove(&id).map_or(0, |one| one.rows());
            self.dropped += 1;
        }
    }

    /// Adds all to what the kernel has. A socket that listens again has rows there too, and the two
    /// are one listener: what it is now is what the kernel says.
    pub(super) fn add_to(&self, snapshot: &mut Snapshot) {
        for (id, one) in &self.all {
            snapshot.listeners.entry(*id).or_insert(one.info);
            let queue = snapshot.queues.entry(*id).or_insert(QueueStats::ZERO);
            *queue = merge_queue(*queue, &one.queue);
            for (key, stats) in &one.workers {
                let row = snapshot.workers.entry(*key).or_insert(WorkerStats::ZERO);
                *row = merge_worker(*row, stats);
            }
            for (key, count) in &one.errors {
                *snapshot.errors.entry(*key).or_insert(0) += count;
            }
            for (key, count) in &one.waits {
                *snapshot.waits.entry(*key).or_insert(0) += count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use observer_common::counters::{
        ErrorKey, ListenerInfo, QueueStats, WaitKey, WorkerKey, WorkerStats,
    };

    use super::Retired;
    use crate::bpf::snapshot::Snapshot;

    const WORKER: WorkerKey = WorkerKey { listener: 7, pid: 1, tid: 2 };
    const ERROR: ErrorKey = ErrorKey { worker: WORKER, errno: 24, zero: 0 };
    const WAIT: WaitKey = WaitKey { listener: 7, bucket: 3, zero: 0 };

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

    fn accepted(accepted: u64, name: u8) -> WorkerStats {
        WorkerStats { accepted, comm: [name; 16], ..WorkerStats::ZERO }
    }

    fn read(retired: &Retired, kernel: &Snapshot) -> Snapshot {
        let mut snapshot = kernel.clone();
        retired.add_to(&mut snapshot);
        snapshot
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
        kernel.workers.insert(WORKER, accepted(3, b'a'));
        kernel.errors.insert(ERROR, 2);
        kernel.waits.insert(WAIT, 3);
        let mut retired = Retired::default();
        retired.add_listener(7, closed(5), &queue(3, 2, 4));
        retired.add_worker(WORKER, &accepted(3, b'a'));
        retired.add_errors(ERROR, 2);
        retired.add_waits(WAIT, 3);
        let after = read(&retired, &Snapshot::default());
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
        let mut retired = Retired::default();
        retired.add_listener(7, closed(5), &queue(3, 2, 4));
        retired.add_worker(WORKER, &accepted(3, b'a'));
        retired.add_errors(ERROR, 2);
        retired.add_waits(WAIT, 3);
        // Still in the kernel maps.
        let mut kernel = Snapshot::default();
        kernel.workers.insert(WORKER, accepted(1, b'b'));
        kernel.errors.insert(ERROR, 1);
        kernel.waits.insert(WAIT, 1);
        assert_eq!(counts(&read(&retired, &kernel)), (3, 4, 3, 4));
        // Taken at the next turn.
        retired.add_worker(WORKER, &accepted(1, b'b'));
        retired.add_errors(ERROR, 1);
        retired.add_waits(WAIT, 1);
        let after = read(&retired, &Snapshot::default());
        assert_eq!(counts(&after), (3, 4, 3, 4));
        assert_eq!(after.workers[&WORKER].comm, [b'a'; 16]);
    }

    #[test]
    fn a_socket_that_listens_again_is_one_listener() {
        let mut retired = Retired::default();
        retired.add_listener(7, closed(5), &queue(3, 2, 9));
        let mut kernel = Snapshot::default();
        kernel.listeners.insert(7, closed(0));
        kernel.queues.insert(7, queue(2, 4, 1));
        let open = read(&retired, &kernel);
        assert_eq!(open.listeners[&7].closed, 0);
        assert_eq!((open.queues[&7].queued, open.queues[&7].depth_max), (5, 9));
        // The maxima of an interval are those of the later one.
        assert_eq!(open.queues[&7].interval_depth_max, 1);
        retired.add_listener(7, closed(8), &queue(2, 4, 1));
        let over = read(&retired, &Snapshot::default());
        assert_eq!((over.listeners.len(), over.listeners[&7].closed), (1, 8));
        assert_eq!(over.queues, open.queues);
    }

    #[test]
    fn the_oldest_go_first_and_each_is_counted() {
        let mut retired = Retired::default();
        for (id, time) in [(7, 1), (8, 2), (9, 3)] {
            retired.add_listener(id, closed(time), &QueueStats::ZERO);
        }
        retired.add_worker(WORKER, &accepted(1, b'a'));
        // It listened again, so that it is the youngest.
        retired.add_listener(7, closed(4), &QueueStats::ZERO);
        retired.drop_down_to(2, 10);
        assert_eq!(retired.dropped(), 1);
        assert!(!retired.contains(8) && retired.contains(7) && retired.contains(9));
        // What a task does later with one that is gone is let go as well.
        retired.add_worker(WorkerKey { listener: 8, ..WORKER }, &accepted(1, b'a'));
        assert_eq!(retired.rows, 1);
        retired.drop_down_to(2, 0);
        assert_eq!((retired.dropped(), retired.rows), (3, 0));
        assert!(read(&retired, &Snapshot::default()).listeners.is_empty());
    }
}
