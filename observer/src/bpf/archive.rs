//! What was counted of listeners that closed and of tasks that ended, taken out of the kernel maps.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use observer_common::counters::{
    ErrorKey, ListenerId, ListenerInfo, QueueStats, WaitKey, WorkerKey, WorkerStats,
};

use super::{
    merge::{merge_queue, merge_worker},
    snapshot::Snapshot,
};

/// Maximum number of closed listeners kept.
const LISTENERS: usize = 16_384;

/// Maximum number of rows kept of closed listeners: of what tasks did, of accept errors and of accept waits.
const ROWS: usize = 262_144;

/// Maximum number of ended tasks kept by name, of listeners that are open. The rest is added to the row for
/// the others of the listener that has most, the oldest task first: a listener with few ended tasks keeps
/// them, whatever another one has.
const TASKS: usize = 4_096;

/// Maximum number of closed listeners kept on which nothing was counted.
const QUIET: usize = 1_024;

/// What is kept of one listener.
#[derive(Debug, Default)]
struct Kept {
    /// The listener and its queues, once it closed.
    closed: Option<(ListenerInfo, QueueStats)>,
    workers: BTreeMap<WorkerKey, WorkerStats>,
    errors: BTreeMap<ErrorKey, u64>,
    waits: BTreeMap<WaitKey, u64>,
    /// Tasks that ended while it was open and are kept by name, the first that was taken first.
    tasks: VecDeque<WorkerKey>,
}

impl Kept {
    /// Number of rows that count against [`ROWS`].
    fn rows(&self) -> usize {
        match self.closed {
            Some(_) => self.workers.len() + self.errors.len() + self.waits.len(),
            None => 0,
        }
    }

    fn add_worker(&mut self, key: WorkerKey, stats: &WorkerStats) {
        let row = self.workers.entry(key).or_insert(WorkerStats::ZERO);
        *row = merge_worker(*row, stats);
    }

    fn add_errors(&mut self, key: ErrorKey, count: u64) {
        *self.errors.entry(key).or_insert(0) += count;
    }

    /// Adds what a task did to the row for the others.
    fn fold(&mut self, key: WorkerKey) {
        let others = others(key.listener);
        if let Some(stats) = self.workers.remove(&key) {
            self.add_worker(others, &WorkerStats { comm: [0; 16], ..stats });
        }
        let first = ErrorKey { worker: key, errno: 0, zero: 0 };
        let of_it = self.errors.range(first..).take_while(|(error, _)| error.worker == key);
        for (error, count) in of_it.map(|(error, count)| (*error, *count)).collect::<Vec<_>>() {
            self.errors.remove(&error);
            self.add_errors(ErrorKey { worker: others, ..error }, count);
        }
    }
}

/// Closed listeners and ended tasks, with their counts.
#[derive(Debug, Default)]
pub(super) struct Archive {
    listeners: HashMap<ListenerId, Kept>,
    /// Closed listeners by when they closed.
    by_age: BTreeSet<(u64, ListenerId)>,
    /// Closed listeners on which nothing was counted, the first that was taken first.
    quiet: VecDeque<(ListenerId, ListenerInfo)>,
    /// Rows of all closed listeners.
    rows: usize,
    /// Listeners by their number of ended tasks.
    by_tasks: BTreeSet<(usize, ListenerId)>,
    /// Ended tasks of all listeners.
    tasks: usize,
    forgotten: u64,
    folded: u64,
}

impl Archive {
    /// Takes in a listener that closed, or another life of one. Its ended tasks are bounded with it from now on.
    pub(super) fn close(&mut self, id: ListenerId, info: ListenerInfo, queue: &QueueStats) {
        self.change(id, |kept| {
            let earlier = kept.closed.map_or(QueueStats::ZERO, |(_, queue)| queue);
            kept.closed = Some((info, merge_queue(earlier, queue)));
            kept.tasks.clear();
        });
    }

    /// Takes in a listener that closed, and on which nothing was counted.
    pub(super) fn close_quiet(&mut self, id: ListenerId, info: ListenerInfo) {
        self.quiet.push_back((id, info));
        if self.quiet.len() > QUIET {
            self.quiet.pop_front();
            self.forgotten += 1;
        }
    }

    /// Adds what a task did with a closed listener, if that is here.
    pub(super) fn add_worker(&mut self, key: WorkerKey, stats: &WorkerStats) {
        self.change_closed(key.listener, |kept| kept.add_worker(key, stats));
    }

    /// Adds errors of a task's accept calls on a closed listener, if that is here.
    pub(super) fn add_errors(&mut self, key: ErrorKey, count: u64) {
        self.change_closed(key.worker.listener, |kept| kept.add_errors(key, count));
    }

    /// Adds accept waits of a closed listener's connections, if that is here.
    pub(super) fn add_waits(&mut self, key: WaitKey, count: u64) {
        self.change_closed(key.listener, |kept| *kept.waits.entry(key).or_insert(0) += count);
    }

    /// Takes in what an ended task did with a listener, which need not be here.
    pub(super) fn add_ended(&mut self, key: WorkerKey, stats: &WorkerStats) {
        self.change(key.listener, |kept| {
            if !kept.workers.contains_key(&key) {
                kept.tasks.push_back(key);
            }
            kept.add_worker(key, stats);
        });
    }

    /// Takes in errors of an ended task's accept calls; what it did is taken in first, or else they are the
    /// others'.
    pub(super) fn add_ended_errors(&mut self, key: ErrorKey, count: u64) {
        self.change(key.worker.listener, |kept| {
            let is_here = kept.workers.contains_key(&key.worker);
            let worker = if is_here { key.worker } else { others(key.worker.listener) };
            kept.add_errors(ErrorKey { worker, ..key }, count);
        });
    }

    /// Changes what is kept of a closed listener that is here.
    fn change_closed(&mut self, id: ListenerId, change: impl FnOnce(&mut Kept)) {
        if self.contains(id) {
            self.change(id, change);
        }
    }

    /// Changes what is kept of a listener, and the sums and orders above with it.
    fn change(&mut self, id: ListenerId, change: impl FnOnce(&mut Kept)) {
        let kept = self.listeners.entry(id).or_default();
        let of = |kept: &Kept| (kept.rows(), kept.tasks.len(), closed_at(kept));
        let (rows, tasks, closed) = of(kept);
        change(kept);
        let (rows_now, tasks_now, closed_now) = of(kept);
        self.rows = self.rows + rows_now - rows;
        self.tasks = self.tasks + tasks_now - tasks;
        if tasks_now != tasks {
            self.by_tasks.remove(&(tasks, id));
            self.by_tasks.extend((tasks_now != 0).then_some((tasks_now, id)));
        }
        if closed_now != closed {
            closed.map(|time| self.by_age.remove(&(time, id)));
            self.by_age.extend(closed_now.map(|time| (time, id)));
        }
    }

    /// Whether a closed listener is here.
    pub(super) fn contains(&self, id: ListenerId) -> bool {
        self.listeners.get(&id).is_some_and(|kept| kept.closed.is_some())
    }

    /// A closed listener that is here.
    pub(super) fn listener(&self, id: ListenerId) -> Option<ListenerInfo> {
        let counted = self.listeners.get(&id).and_then(|kept| kept.closed.map(|(info, _)| info));
        let quiet = || self.quiet.iter().rev().find(|(one, _)| *one == id).map(|(_, info)| *info);
        counted.or_else(quiet)
    }

    /// Number of closed listeners that found no room here.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Number of ended tasks that were added to the others.
    pub(super) fn folded(&self) -> u64 {
        self.folded
    }

    /// Forgets the listeners that closed first and folds the oldest tasks, as far as there are too many, and
    /// counts them.
    pub(super) fn trim(&mut self) {
        self.trim_to(LISTENERS, ROWS, TASKS);
    }

    fn trim_to(&mut self, listeners: usize, rows: usize, tasks: usize) {
        while (self.by_age.len() > listeners || self.rows > rows)
            && let Some((_, id)) = self.by_age.first().copied()
        {
            self.change(id, |kept| *kept = Kept::default());
            self.listeners.remove(&id);
            self.forgotten += 1;
        }
        while self.tasks > tasks
            && let Some((_, id)) = self.by_tasks.last().copied()
        {
            self.change(id, |kept| {
                if let Some(oldest) = kept.tasks.pop_front() {
                    kept.fold(oldest);
                }
            });
            self.folded += 1;
        }
    }

    /// Forgets the closed listeners that `reported` has as such, and takes them out of that, but for those that are in the
    /// kernel maps again. They are not counted as forgotten: nothing of them is left to be told.
    pub(super) fn forget_closed(
        &mut self,
        reported: &mut Snapshot,
        is_there: impl Fn(ListenerId) -> bool,
    ) {
        let was_told = |id: ListenerId, info: &ListenerInfo| {
            let told = reported.listeners.get(&id);
            told.is_some_and(|told| told.closed == info.closed) && !is_there(id)
        };
        let closed = self.listeners.iter().filter_map(|(id, kept)| Some((*id, kept.closed?.0)));
        let gone: Vec<_> = closed.filter(|(id, info)| was_told(*id, info)).collect();
        let (quiet, rest) =
            self.quiet.drain(..).partition::<Vec<_>, _>(|(id, info)| was_told(*id, info));
        self.quiet = rest.into();
        for (id, _) in gone.iter().chain(&quiet) {
            reported.forget(*id);
        }
        for (id, _) in gone {
            self.change(id, |kept| *kept = Kept::default());
            self.listeners.remove(&id);
        }
    }

    /// Adds all to what the kernel has. A socket that listens again has rows there too, and the two
    /// are one listener: what it is now is what the kernel says.
    pub(super) fn add_to(&self, snapshot: &mut Snapshot) {
        for (id, kept) in &self.listeners {
            if let Some((info, queue)) = &kept.closed {
                snapshot.listeners.entry(*id).or_insert(*info);
                let row = snapshot.queues.entry(*id).or_insert(QueueStats::ZERO);
                *row = merge_queue(*row, queue);
            }
            for (key, stats) in &kept.workers {
                let row = snapshot.workers.entry(*key).or_insert(WorkerStats::ZERO);
                *row = merge_worker(*row, stats);
            }
            for (key, count) in &kept.errors {
                *snapshot.errors.entry(*key).or_insert(0) += count;
            }
            for (key, count) in &kept.waits {
                *snapshot.waits.entry(*key).or_insert(0) += count;
            }
        }
        for (id, info) in self.quiet.iter().rev() {
            snapshot.listeners.entry(*id).or_insert(*info);
        }
    }
}

fn closed_at(kept: &Kept) -> Option<u64> {
    kept.closed.map(|(info, _)| info.closed)
}

/// The listener's row for the tasks that have none of their own.
fn others(listener: ListenerId) -> WorkerKey {
    WorkerKey { listener, pid: 0, tid: 0 }
}

#[cfg(test)]
mod tests;
