//! Tasks that ended, of listeners that stay: what was counted of them when their rows were taken out of the
//! kernel maps.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use observer_common::counters::{ErrorKey, ListenerId, WorkerKey, WorkerStats};

use super::{merge::merge_worker, retired::Retired, snapshot::Snapshot};

/// So many are told one by one. What there is beyond that is added to the row for the others of the
/// listener that has most, the oldest first: who has few keeps them whatever another has.
const NAMED: usize = 4_096;

/// What tasks did that are gone.
#[derive(Debug, Default)]
pub(super) struct Ended {
    workers: BTreeMap<WorkerKey, WorkerStats>,
    errors: BTreeMap<ErrorKey, u64>,
    /// Tasks that were taken, by their listeners, the first that was taken first.
    by_age: HashMap<ListenerId, VecDeque<WorkerKey>>,
    /// How many tasks each listener has.
    by_count: BTreeSet<(usize, ListenerId)>,
    /// How many there are in all.
    named: usize,
    folded: u64,
}

impl Ended {
    /// Takes in what a task did with a listener.
    pub(super) fn add_worker(&mut self, key: WorkerKey, stats: &WorkerStats) {
        if !self.workers.contains_key(&key) {
            let of_it = self.by_age.entry(key.listener).or_default();
            self.by_count.remove(&(of_it.len(), key.listener));
            of_it.push_back(key);
            self.by_count.insert((of_it.len(), key.listener));
            self.named += 1;
        }
        self.sum(key, stats);
    }

    /// Takes in errors of its accept calls, if it is here; what it did is taken in first.
    pub(super) fn add_errors(&mut self, key: ErrorKey, count: u64) {
        let worker =
            if self.workers.contains_key(&key.worker) { key.worker } else { rest(key.worker) };
        *self.errors.entry(ErrorKey { worker, ..key }).or_insert(0) += count;
    }

    /// How many were added to the others.
    pub(super) fn folded(&self) -> u64 {
        self.folded
    }

    /// Adds what the oldest did to the others' row, as far as there are too many.
    pub(super) fn fold_oldest(&mut self) {
        self.fold_down_to(NAMED);
    }

    fn fold_down_to(&mut self, named: usize) {
        while self.named > named {
            let Some(key) = self.take_oldest_of_most() else { return };
            self.folded += 1;
            if let Some(stats) = self.workers.remove(&key) {
                self.sum(rest(key), &WorkerStats { comm: [0; 16], ..stats });
            }
            for (errno, count) in self.take_errors(&key) {
                *self.errors.entry(ErrorKey { worker: rest(key), ..errno }).or_insert(0) += count;
            }
        }
    }

    /// The oldest task of the listener that has most of them.
    fn take_oldest_of_most(&mut self) -> Option<WorkerKey> {
        let (count, listener) = self.by_count.pop_last()?;
        let of_it = self.by_age.get_mut(&listener)?;
        let oldest = of_it.pop_front()?;
        self.named -= 1;
        if count > 1 {
            self.by_count.insert((count - 1, listener));
        } else {
            self.by_age.remove(&listener);
        }
        Some(oldest)
    }

    /// Hands over what is here of a listener that closed.
    pub(super) fn retire(&mut self, listener: ListenerId, retired: &mut Retired) {
        let of_it = self.workers.range(rest_of(listener)..).map(|(key, _)| *key);
        let keys: Vec<_> = of_it.take_while(|key| key.listener == listener).collect();
        if keys.is_empty() {
            return;
        }
        for key in &keys {
            if let Some(stats) = self.workers.remove(key) {
                retired.add_worker(*key, &stats);
            }
            for (key, count) in self.take_errors(key) {
                retired.add_errors(key, count);
            }
        }
        if let Some(of_it) = self.by_age.remove(&listener) {
            self.by_count.remove(&(of_it.len(), listener));
            self.named -= of_it.len();
        }
    }

    /// Adds all to what the kernel has.
    pub(super) fn add_to(&self, snapshot: &mut Snapshot) {
        for (key, stats) in &self.workers {
            let row = snapshot.workers.entry(*key).or_insert(WorkerStats::ZERO);
            *row = merge_worker(*row, stats);
        }
        for (key, count) in &self.errors {
            *snapshot.errors.entry(*key).or_insert(0) += count;
        }
    }

    fn sum(&mut self, key: WorkerKey, stats: &WorkerStats) {
        let row = self.workers.entry(key).or_insert(WorkerStats::ZERO);
        *row = merge_worker(*row, stats);
    }

    fn take_errors(&mut self, worker: &WorkerKey) -> Vec<(ErrorKey, u64)> {
        let first = ErrorKey { worker: *worker, errno: 0, zero: 0 };
        let of_it = self.errors.range(first..).take_while(|(key, _)| key.worker == *worker);
        let all: Vec<_> = of_it.map(|(key, count)| (*key, *count)).collect();
        for (key, _) in &all {
            self.errors.remove(key);
        }
        all
    }
}

/// The listener's row for those that have none of their own.
fn rest(key: WorkerKey) -> WorkerKey {
    rest_of(key.listener)
}

fn rest_of(listener: ListenerId) -> WorkerKey {
    WorkerKey { listener, pid: 0, tid: 0 }
}

#[cfg(test)]
mod tests {
    use observer_common::counters::{ErrorKey, ListenerInfo, QueueStats, WorkerKey, WorkerStats};

    use super::{Ended, rest_of};
    use crate::bpf::{retired::Retired, snapshot::Snapshot};

    fn key(tid: u32) -> WorkerKey {
        WorkerKey { listener: 7, pid: 1, tid }
    }

    fn error(tid: u32) -> ErrorKey {
        ErrorKey { worker: key(tid), errno: 24, zero: 0 }
    }

    fn accepted(accepted: u64) -> WorkerStats {
        WorkerStats { accepted, ..WorkerStats::ZERO }
    }

    /// Three tasks that accepted 1, 2 and 3 connections and met as many errors.
    fn three() -> Ended {
        let mut ended = Ended::default();
        for tid in 1..=3 {
            ended.add_worker(key(tid), &accepted(tid.into()));
            ended.add_errors(error(tid), tid.into());
        }
        ended
    }

    fn read(ended: &Ended) -> Snapshot {
        let mut snapshot = Snapshot { folded: ended.folded(), ..Snapshot::default() };
        ended.add_to(&mut snapshot);
        snapshot
    }

    #[test]
    fn what_the_oldest_did_is_the_others() {
        let mut ended = three();
        let before = read(&ended);
        ended.fold_down_to(1);
        let after = read(&ended);
        let rest = rest_of(7);
        let rows: Vec<_> = after.workers.iter().map(|(key, row)| (*key, row.accepted)).collect();
        assert_eq!(rows, [(rest, 3), (key(3), 3)]);
        let errors: Vec<_> = after.errors.into_iter().collect();
        assert_eq!(errors, [(ErrorKey { worker: rest, ..error(0) }, 3), (error(3), 3)]);
        // Nothing happened in between, so that nothing is in the interval.
        let since = read(&ended).since(&before);
        assert!(since.workers.values().all(|row| row.accepted == 0), "{:?}", since.workers);
        assert!(since.errors.values().all(|count| *count == 0), "{:?}", since.errors);
    }

    #[test]
    fn one_that_came_and_went_within_an_interval_is_in_it() {
        let mut ended = three();
        let before = read(&ended);
        ended.add_worker(key(4), &accepted(5));
        ended.add_worker(key(2), &accepted(1));
        ended.fold_down_to(0);
        let since = read(&ended).since(&before);
        assert_eq!(since.workers[&rest_of(7)].accepted, 6);
        assert_eq!(since.errors.values().sum::<u64>(), 0);
    }

    #[test]
    fn only_the_listener_that_has_most_is_folded() {
        let mut ended = Ended::default();
        let of_another = |tid| WorkerKey { listener: 8, ..key(tid) };
        // These are older than all of the other listener's.
        (1..=2).for_each(|tid| ended.add_worker(of_another(tid), &accepted(10)));
        (1..=100).for_each(|tid| ended.add_worker(key(tid), &accepted(1)));
        ended.fold_down_to(5);
        let rows: Vec<_> =
            read(&ended).workers.iter().map(|(key, row)| (*key, row.accepted)).collect();
        let left = [98, 99, 100].map(|tid| (key(tid), 1));
        let others = [(rest_of(7), 97)];
        let another = [1, 2].map(|tid| (of_another(tid), 10));
        assert_eq!(rows, [&others[..], &left[..], &another[..]].concat());
        assert_eq!(ended.folded(), 97);
        // Down to as many as the other has, and then it is the turn of both.
        ended.fold_down_to(2);
        let count = |listener| {
            let snapshot = read(&ended);
            snapshot.workers.keys().filter(|key| key.listener == listener && key.tid != 0).count()
        };
        assert_eq!((count(7), count(8)), (1, 1));
    }

    #[test]
    fn those_of_a_listener_that_closed_go_with_it() {
        let mut ended = three();
        ended.add_worker(WorkerKey { listener: 8, ..key(9) }, &accepted(9));
        let mut retired = Retired::default();
        retired.add_listener(
            7,
            ListenerInfo { closed: 1, ..ListenerInfo::default() },
            &QueueStats::ZERO,
        );
        let mut before = read(&ended);
        retired.add_to(&mut before);
        ended.retire(7, &mut retired);
        assert_eq!(read(&ended).workers.keys().map(|key| key.listener).collect::<Vec<_>>(), [8]);
        let mut after = read(&ended);
        retired.add_to(&mut after);
        assert_eq!((before.workers, before.errors), (after.workers, after.errors));
        ended.fold_down_to(0);
        assert_eq!(read(&ended).workers[&rest_of(8)].accepted, 9);
    }
}
