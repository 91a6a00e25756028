//! Making room in the kernel maps: listeners that closed are taken out of them.

use std::{collections::HashSet, path::Path};

use aya::{
    Pod,
    maps::{HashMap as BpfHashMap, MapData},
};
use observer_common::counters::{ListenerId, ListenerInfo, Misc, QueueStats, WorkerKey};

use super::{
    gauges::{Gauge, workers_made},
    maps::Maps,
    merge::merge_queue,
    reader::{ROW_BY_ROW, present},
    snapshot::Snapshot,
};

/// A listener that closed so long ago, in nanoseconds, has nothing more to come but from tasks that were
/// held up for as long.
const SETTLED: u64 = 50_000_000;

impl Maps {
    /// Takes listeners that closed out of the kernel maps when these are more than half full. What was
    /// counted of them stays in every reading. `misc` was read before; `now` is `CLOCK_MONOTONIC`.
    pub fn make_room(&mut self, misc: &Misc, now: u64) {
        if !self.gauges.are_due(misc, now) {
            return;
        }
        let quiet = self.take_quiet(now);
        let rows: Vec<_> = present(self.listeners.iter()).collect();
        let mut there: HashSet<ListenerId> = rows.iter().map(|(id, _)| *id).collect();
        for (id, info) in rows {
            if info.closed != 0 && info.closed + SETTLED <= now && self.evict(id, info) {
                there.remove(&id);
            }
        }
        let listeners = there.len();
        let (workers, waits, errors) = self.take_rows(&there);
        let (workers, errors) = self.take_ended(workers, errors);
        self.archive.trim();
        self.gauges.listeners.has_left(listeners, misc.listeners);
        self.gauges.workers.has_left(workers, workers_made(misc));
        self.gauges.waits.has_left(waits, misc.waits);
        self.gauges.errors.has_left(errors, misc.errors);
        self.gauges.quiet.has_left(quiet, misc.quiet);
        self.gauges.looked(misc, now);
        self.tell_of_room();
    }

    /// Forgets the listeners that had closed and were taken out of the kernel maps when `reported` was read, which goes
    /// on without them: a report has told of all of it. One that listens again has rows in the kernel, and stays.
    pub fn forget_closed(&mut self, reported: &mut Snapshot) {
        let Self { listeners, quiet, archive, .. } = self;
        let is_there = |id| listeners.get(&id, 0).is_ok() || quiet.get(&id, 0).is_ok();
        archive.forget_closed(reported, is_there);
    }

    /// Takes one listener; `false` where it listens again.
    ///
    /// The queues go first. Were the listener's own row gone before them, a socket that listens again in
    /// between would count on queues that are about to go, and `insert_rows` would not make them anew.
    /// As it is, what can be lost are its row, when it listens again between the second look at it and
    /// its removal, a few microseconds (its counts stay, and its death makes it anew), and a count of a
    /// task that was held up since before the listener closed, between the reading of a row and its
    /// removal. What such a task counts of the queues later finds no row, and is counted in `NoRoom`.
    fn evict(&mut self, id: ListenerId, info: ListenerInfo) -> bool {
        if self.listeners.get(&id, 0).map_or(0, |row| row.closed) != info.closed {
            return false;
        }
        let cpus = self.queues.get(&id, 0).ok().filter(|_| self.queues.remove(&id).is_ok());
        let queue =
            cpus.map_or(QueueStats::ZERO, |cpus| cpus.iter().fold(QueueStats::ZERO, merge_queue));
        let _only_taken_here = self.listeners.remove(&id);
        self.archive.close(id, info, &queue);
        true
    }

    /// Takes listeners that closed without that anything was counted on them: how many are left.
    fn take_quiet(&mut self, now: u64) -> usize {
        let rows: Vec<(ListenerId, ListenerInfo)> = present(self.quiet.iter()).collect();
        let all = rows.len();
        let mut taken = 0;
        for (id, info) in rows {
            let is_over = info.closed != 0 && info.closed + SETTLED <= now;
            // Something may have been counted since, or it may listen again.
            if is_over
                && self.quiet.get(&id, 0).is_ok_and(|row| row.closed == info.closed)
                && self.quiet.remove(&id).is_ok()
            {
                taken += 1;
                if self.listeners.get(&id, 0).is_err() {
                    self.archive.close_quiet(id, info);
                }
            }
        }
        all - taken
    }

    /// Takes the rows of tasks that ended, where there are many rows: how many are left of these keys, and of
    /// so many rows of errors. The keys must have been read before.
    ///
    /// A task that is gone has no entry, and /proc does not know it. What it did was moved to its row when
    /// it ended (`worker::ends`): once all moves are done that had begun by then, no row of such a task
    /// is written any more, unless its ids are given to another, which has a row of its own then.
    fn take_ended(&mut self, keys: Vec<WorkerKey>, error_rows: usize) -> (usize, usize) {
        let rows = keys.len();
        let are_few = |rows: usize, gauge: &Gauge| (rows as u64) < gauge.room / 4;
        if are_few(rows, &self.gauges.workers) && are_few(error_rows, &self.gauges.errors) {
            return (rows, error_rows);
        }
        let entries: HashSet<(u32, u32)> =
            self.all_tasks(&ROW_BY_ROW).into_iter().map(|(tid, state)| (state.pid, tid)).collect();
        let is_gone = |key: &WorkerKey| {
            let WorkerKey { pid, tid, .. } = *key;
            tid != 0
                && !entries.contains(&(pid, tid))
                && !Path::new(&format!("/proc/{pid}/task/{tid}")).exists()
        };
        let gone: HashSet<WorkerKey> = keys.into_iter().filter(is_gone).collect();
        match self.misc() {
            Ok(misc) if misc.moves_begun == misc.moves_done => {}
            _ => return (rows, error_rows),
        }
        let Self { workers, errors, archive, .. } = self;
        for key in &gone {
            if let Some(stats) = take(workers, key) {
                archive.add_ended(*key, &stats);
            }
        }
        let (errors_go, errors_left) = keys_of(errors, |key| gone.contains(&key.worker));
        for key in errors_go {
            if let Some(count) = take(errors, &key) {
                archive.add_ended_errors(key, count);
            }
        }
        (rows - gone.len(), errors_left.len())
    }

    /// Takes the rows of listeners that are not there any more, also those that a task made later: how
    /// many are left of workers, of waits and of errors.
    ///
    /// A listener that is not known was let go of, or is being born: its own row is the last that is made.
    /// What is not known twice in a row goes, and belongs to what was counted in `NoRoom`.
    fn take_rows(&mut self, there: &HashSet<ListenerId>) -> (Vec<WorkerKey>, usize, usize) {
        let Self { listeners, workers, errors, waits, archive, gauges, .. } = self;
        let before = std::mem::take(&mut gauges.strangers);
        let strangers = &mut gauges.strangers;
        let mut goes = |id: ListenerId| {
            if there.contains(&id) {
                return false;
            }
            if archive.contains(id) {
                return true;
            }
            strangers.insert(id);
            before.contains(&id) && listeners.get(&id, 0).is_err()
        };
        let (workers_go, workers_left) = keys_of(workers, |key| goes(key.listener));
        let (waits_go, waits_left) = keys_of(waits, |key| goes(key.listener));
        let (errors_go, errors_left) = keys_of(errors, |key| goes(key.worker.listener));
        for key in workers_go {
            if let Some(stats) = take(workers, &key) {
                archive.add_worker(key, &stats);
            }
        }
        for key in waits_go {
            if let Some(count) = take(waits, &key) {
                archive.add_waits(key, count);
            }
        }
        for key in errors_go {
            if let Some(count) = take(errors, &key) {
                archive.add_errors(key, count);
            }
        }
        (workers_left, waits_left.len(), errors_left.len())
    }
}

/// The keys that go, and those that stay.
fn keys_of<K: Pod, V: Pod>(
    map: &BpfHashMap<MapData, K, V>,
    mut goes: impl FnMut(&K) -> bool,
) -> (Vec<K>, Vec<K>) {
    map.keys().filter_map(Result::ok).partition(|key| goes(key))
}

/// Takes a row out of a map: `None` where there is none, or where it cannot be removed, so that no count
/// is in two places.
fn take<K: Pod, V: Pod>(map: &mut BpfHashMap<MapData, K, V>, key: &K) -> Option<V> {
    let row = map.get(key, 0).ok()?;
    map.remove(key).ok()?;
    Some(row)
}
