//! What the kernel programs counted, as one reading of their maps found it.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashMap;
use observer_common::{
    counters::{
        ErrorKey, INCOMPLETE_SLOTS, ListenerId, ListenerInfo, Misc, QueueStats, TaskState,
        Unrecognised, UnrecognisedKey, WaitKey, WorkerKey, WorkerStats, incomplete_slot,
    },
    signals::ERROR_GIVEN,
};

use super::cost::Cost;

/// Everything that the kernel programs counted since the window opened.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// What is known of each listener that something happened on, be it only that it began or ended.
    pub listeners: HashMap<ListenerId, ListenerInfo>,
    /// Their accept queues.
    pub queues: HashMap<ListenerId, QueueStats>,
    /// What each task did with each of them.
    pub workers: BTreeMap<WorkerKey, WorkerStats>,
    /// Accept errors other than EAGAIN.
    pub errors: BTreeMap<ErrorKey, u64>,
    /// Accept waits: connections in each bucket.
    pub waits: BTreeMap<WaitKey, u64>,
    /// When the oldest connection that waits now entered its queue (`bpf_ktime_get_ns`), by listener.
    pub oldest: HashMap<ListenerId, u64>,
    /// The backlog that was asked for, by socket.
    pub asked: HashMap<ListenerId, u32>,
    /// The latest wakeup of each task, by thread id.
    pub tasks: HashMap<u32, TaskState>,
    /// What wakeups in vain cost; `None` where nobody asked.
    pub cost: Option<Cost>,
    /// What could not be counted, or was inferred.
    pub misc: Misc,
    /// Wakeups that were not counted, of processes that have to do with the listener.
    pub unrecognised: BTreeMap<UnrecognisedKey, Unrecognised>,
    /// Listeners from which the kernel accepts itself: some of these replace `sk_data_ready`, and wake their
    /// threads from a function of their own.
    pub of_kernel: BTreeSet<ListenerId>,
    /// Listeners of which something was not counted.
    pub incomplete: Incomplete,
    /// Listeners that closed and had to be forgotten.
    pub forgotten: u64,
    /// Tasks whose counts moved while they were read, where they did so in each try: these may be missing,
    /// or there twice, until the next reading.
    pub unsettled: u64,
    /// Rows of tasks that ended, and were added to the row for the others of their listeners.
    pub folded: u64,
}

impl Snapshot {
    /// Takes out all that is known of a listener.
    pub(super) fn forget(&mut self, id: ListenerId) {
        self.listeners.remove(&id);
        self.queues.remove(&id);
        take_out(&mut self.workers, WorkerKey { listener: id, pid: 0, tid: 0 }, |key| key.listener);
        let worker = WorkerKey { listener: id, pid: 0, tid: 0 };
        take_out(&mut self.errors, ErrorKey { worker, errno: 0, zero: 0 }, |key| {
            key.worker.listener
        });
        take_out(&mut self.waits, WaitKey { listener: id, bucket: 0, zero: 0 }, |key| key.listener);
    }

    /// Counts the accept calls that gave EINTR to tasks that are still there: they have gone on, and were not
    /// seen to yet. `interrupted` are the listeners of such calls, by task.
    pub(super) fn count_interrupted(&mut self, interrupted: &[(u32, ListenerId)]) {
        for (tid, listener) in interrupted {
            let Some(state) = self.tasks.get(tid) else { continue };
            if state.interrupted == ERROR_GIVEN {
                let worker = WorkerKey { listener: *listener, pid: state.pid, tid: *tid };
                let key = ErrorKey { worker, errno: EINTR, zero: 0 };
                *self.errors.entry(key).or_insert(0) += 1;
            }
        }
    }
}

/// Takes the rows of a listener out of rows that are ordered by listener: `first` is before all of them.
fn take_out<K: Ord + Copy, V>(
    rows: &mut BTreeMap<K, V>,
    first: K,
    listener: impl Fn(&K) -> ListenerId,
) {
    let id = listener(&first);
    let of_it = rows.range(first..).map(|(key, _)| *key);
    for key in of_it.take_while(|key| listener(key) == id).collect::<Vec<_>>() {
        rows.remove(&key);
    }
}

/// EINTR (uapi).
const EINTR: u32 = 4;

/// Listeners of which something found no room in a map.
#[derive(Clone, Debug, Default)]
pub struct Incomplete(Option<Box<[u8; INCOMPLETE_SLOTS]>>);

impl Incomplete {
    /// Those whose places are not 0, and these.
    pub(super) fn new(places: [u8; INCOMPLETE_SLOTS], others: &[ListenerId]) -> Self {
        let mut places = Box::new(places);
        others.iter().for_each(|id| places[incomplete_slot(*id)] = 1);
        Self(Some(places))
    }

    /// Whether a listener may be one of them.
    #[must_use]
    pub fn contains(&self, id: ListenerId) -> bool {
        let place = incomplete_slot(id);
        self.0.as_ref().is_some_and(|places| places.get(place).is_some_and(|place| *place != 0))
    }

    /// A set of exactly these listeners, for tests.
    #[cfg(test)]
    pub fn of(ids: &[ListenerId]) -> Self {
        Self::new([0; INCOMPLETE_SLOTS], ids)
    }
}
