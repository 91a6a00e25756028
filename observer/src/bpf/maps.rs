//! The kernel maps, and readings of them with the values of all CPUs merged.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, HashMap as BpfHashMap, MapData, PerCpuArray, PerCpuHashMap},
    util::nr_cpus,
};
use foldhash::HashMap;
use observer_common::{
    config::{CONTROL_INDEX, Control},
    counters::{
        ErrorKey, INCOMPLETE_SLOTS, ListenerId, ListenerInfo, Misc, QueueStats, RunSinceWoken,
        SLOT_TAKEN, Stamp, TaskSlot, TaskState, Unrecognised, UnrecognisedKey, WaitKey, WorkerKey,
        WorkerStats,
    },
    room::ROOMS,
};

use super::{
    archive::Archive,
    at_start::AtStart,
    cost::Cost,
    gauges::Gauges,
    merge::{merge_misc, merge_queue},
    reader::{ROW_BY_ROW, Reader},
    snapshot::{Incomplete, Snapshot},
    tasks::{Tasks, Workers, entry_key, tasks_of, workers_with},
};
use crate::plan::Sizes;

/// BPF_NOEXIST (uapi).
pub(super) const NO_EXIST: u64 = 1;

/// Maximum number of tries of one reading: where tasks end faster than they are read, a count may be missing
/// or there twice until the next reading.
const TRIES: u32 = 8;

/// Whether the kernel programs have seen a listener, and userspace has not only made its rows.
fn is_seen(info: &ListenerInfo) -> bool {
    info.sock != 0
}

/// The maps that userspace reads and writes.
pub struct Maps {
    control: Array<MapData, Control>,
    port_seen: Array<MapData, u64>,
    pub(super) listeners: BpfHashMap<MapData, ListenerId, ListenerInfo>,
    pub(super) queues: PerCpuHashMap<MapData, ListenerId, QueueStats>,
    pub(super) quiet: BpfHashMap<MapData, ListenerId, ListenerInfo>,
    pub(super) workers: BpfHashMap<MapData, WorkerKey, WorkerStats>,
    pub(super) errors: BpfHashMap<MapData, ErrorKey, u64>,
    pub(super) waits: BpfHashMap<MapData, WaitKey, u64>,
    enqueued_at: BpfHashMap<MapData, u64, Stamp>,
    listen_backlog: BpfHashMap<MapData, ListenerId, u32>,
    task_slots: Array<MapData, TaskSlot>,
    slot_owner: BpfHashMap<MapData, u32, u32>,
    tasks: BpfHashMap<MapData, u32, TaskState>,
    unrecognised: BpfHashMap<MapData, UnrecognisedKey, Unrecognised>,
    misc: PerCpuArray<MapData, Misc>,
    incomplete: Array<MapData, [u8; INCOMPLETE_SLOTS]>,
    pub(super) full: Array<MapData, [u64; ROOMS]>,
    /// CPUs that there may be: maps per CPU have a value for each.
    pub(super) cpus: usize,
    pub(super) pid_tree: BpfHashMap<MapData, u32, u32>,
    pub(super) in_flight: BpfHashMap<MapData, u32, ListenerId>,
    interrupted: BpfHashMap<MapData, u32, ListenerId>,
    runs: BpfHashMap<MapData, u32, RunSinceWoken>,
    wasted: BpfHashMap<MapData, ListenerId, u64>,
    /// Whether it is asked what wakeups in vain cost.
    cost_asked: bool,
    /// What was taken out of the maps above.
    pub(super) archive: Archive,
    pub(super) gauges: Gauges,
    pub(super) at_start: AtStart,
}

impl Maps {
    /// Takes the maps out of an object that was loaded with these sizes, and whether closed listeners are forgotten
    /// ([`Self::forget_closed`]).
    ///
    /// # Errors
    ///
    /// When the object lacks one, or it is of another type: a defect of the build.
    pub fn take(ebpf: &mut Ebpf, sizes: &Sizes, forgets_closed: bool) -> Result<Self> {
        let mut take = |name: &'static str| {
            ebpf.take_map(name).with_context(|| format!("the object has no map {name}"))
        };
        Ok(Self {
            control: take(".data.control")?.try_into()?,
            port_seen: take(".data.port_seen")?.try_into()?,
            listeners: take("LISTENERS")?.try_into()?,
            queues: take("QUEUES")?.try_into()?,
            quiet: take("QUIET")?.try_into()?,
            workers: take("WORKERS")?.try_into()?,
            errors: take("ERRORS")?.try_into()?,
            waits: take("WAITS")?.try_into()?,
            enqueued_at: take("ENQUEUED_AT")?.try_into()?,
            listen_backlog: take("LISTEN_BACKLOG")?.try_into()?,
            task_slots: take("TASK_SLOTS")?.try_into()?,
            slot_owner: take("SLOT_OWNER")?.try_into()?,
            tasks: take("TASKS")?.try_into()?,
            unrecognised: take("UNRECOGNISED")?.try_into()?,
            misc: take("MISC")?.try_into()?,
            incomplete: take(".data.incomplete")?.try_into()?,
            full: take(".data.full")?.try_into()?,
            pid_tree: take("PID_TREE")?.try_into()?,
            in_flight: take("IN_FLIGHT")?.try_into()?,
            interrupted: take("INTERRUPTED")?.try_into()?,
            runs: take("RUNS")?.try_into()?,
            wasted: take("WASTED")?.try_into()?,
            cost_asked: sizes.runs > 1,
            cpus: nr_cpus().map_err(|(path, error)| {
                anyhow::Error::new(error).context(format!("cannot read {path}"))
            })?,
            archive: Archive::default(),
            gauges: Gauges::new(sizes, forgets_closed),
            at_start: AtStart::default(),
        })
    }

    /// Opens or closes the window, or begins an interval.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the write.
    pub fn control(&mut self, control: Control) -> Result<()> {
        self.control.set(CONTROL_INDEX, control, 0).context("cannot write the control map")
    }

    /// Tells the kernel programs that a listener is there which was asked for by its port. What begins to
    /// listen once they are attached they see themselves.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the write.
    pub fn mark_port_seen(&mut self) -> Result<()> {
        self.port_seen.set(0, 1, 0).context("cannot write that a port was seen")
    }

    /// The processes that `--pid` names and their descendants.
    #[must_use]
    pub fn tree(&self) -> std::collections::HashSet<u32> {
        self.pid_tree.keys().filter_map(Result::ok).collect()
    }

    /// Forgets wakeups of strangers, so that these do not fill the map.
    pub fn forget_unrecognised(&mut self, strangers: &[UnrecognisedKey]) {
        for stranger in strangers {
            let _was_not = self.unrecognised.remove(stranger);
        }
        if !strangers.is_empty() {
            self.tell_of_room();
        }
    }

    /// Whether accept calls of before the window are still under way, as far as is known.
    #[must_use]
    pub fn any_in_flight(&self) -> bool {
        self.in_flight.keys().next().is_some()
    }

    /// The tasks that have a row, with the listener of each.
    pub fn worker_keys(&self) -> impl Iterator<Item = WorkerKey> + '_ {
        let entries =
            self.all_tasks(&ROW_BY_ROW).into_iter().map(|(tid, state)| entry_key(tid, &state));
        self.workers.keys().filter_map(Result::ok).chain(entries)
    }

    /// What is known of one listener.
    #[must_use]
    pub fn listener(&self, id: ListenerId) -> Option<ListenerInfo> {
        let counted = self.listeners.get(&id, 0).ok().filter(is_seen);
        counted.or_else(|| self.quiet.get(&id, 0).ok()).or_else(|| self.archive.listener(id))
    }

    /// Reads everything, and adds what was taken out of the maps to what is there; `in_batches` where no
    /// kprobe has to wait for that.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn read(&self, in_batches: bool) -> Result<Snapshot> {
        let reader = Reader { in_batches, cpus: self.cpus };
        let (workers, tasks, unsettled) = self.workers_and_tasks(&reader)?;
        // One that is counted on meanwhile goes from the first of these to the second.
        let mut listeners: HashMap<_, _> = reader.rows(&self.quiet);
        let counted: Vec<(ListenerId, ListenerInfo)> = reader.rows(&self.listeners);
        listeners.extend(counted.into_iter().filter(|(_, info)| is_seen(info)));
        let mut snapshot = Snapshot {
            listeners,
            queues: reader
                .rows_per_cpu(&self.queues, |cpus| cpus.iter().fold(QueueStats::ZERO, merge_queue)),
            workers,
            errors: reader.rows(&self.errors),
            waits: reader.rows(&self.waits),
            oldest: self.oldest(&reader),
            asked: reader.rows(&self.listen_backlog),
            tasks,
            unrecognised: reader.rows(&self.unrecognised),
            forgotten: self.archive.forgotten(),
            unsettled,
            cost: self.cost_asked.then(|| self.cost(&reader)),
            folded: self.archive.folded(),
            ..Snapshot::default()
        };
        // What was not counted in time for the reading may be in it, and not the other way round.
        snapshot.misc = self.misc()?;
        snapshot.incomplete = self.incomplete(&snapshot.misc)?;
        self.archive.add_to(&mut snapshot);
        snapshot.count_interrupted(&reader.rows::<_, _, Vec<_>>(&self.interrupted));
        Ok(snapshot)
    }

    /// The tasks that have an entry, in their places and elsewhere.
    pub(super) fn all_tasks(&self, reader: &Reader) -> Vec<(u32, TaskState)> {
        let taken: Vec<(u32, u32)> = reader.rows(&self.slot_owner);
        let mut tasks: Vec<_> = taken
            .into_iter()
            .filter_map(|(place, _)| self.task_slots.get(&place, 0).ok())
            // The others are about to be filled.
            .filter(|place| place.tid & SLOT_TAKEN != 0)
            .filter_map(|place| Some((u32::try_from(place.tid & !SLOT_TAKEN).ok()?, place.state)))
            .collect();
        tasks.extend(reader.rows::<_, _, Vec<_>>(&self.tasks));
        tasks
    }

    /// What each task did, wherever it is kept. What a task did moves from its own entry to a row when
    /// it ends: a reading that met such a move is made again, and how many the last one met is told.
    fn workers_and_tasks(&self, reader: &Reader) -> Result<(Workers, Tasks, u64)> {
        let mut tries = 0;
        loop {
            let done = self.misc()?.moves_done;
            let workers: Workers = reader.rows(&self.workers);
            let entries = self.all_tasks(reader);
            tries += 1;
            let moved = self.misc()?.moves_begun.saturating_sub(done);
            if moved != 0 && tries < TRIES {
                continue;
            }
            return Ok((workers_with(workers, &entries), tasks_of(entries), moved));
        }
    }

    /// What could not be counted, and how many rows were made.
    ///
    /// # Errors
    ///
    /// When the map cannot be read.
    pub fn misc(&self) -> Result<Misc> {
        let cpus = self.misc.get(&0, 0).context("cannot read the map MISC")?;
        let start = Misc { no_room: self.at_start.no_room, ..Misc::default() };
        Ok(cpus.iter().fold(start, merge_misc))
    }

    /// Nothing is looked at while there was room for everything.
    fn incomplete(&self, misc: &Misc) -> Result<Incomplete> {
        if misc.no_room.total() == 0 {
            return Ok(Incomplete::default());
        }
        let places =
            self.incomplete.get(&0, 0).context("cannot read which listeners had no room")?;
        Ok(Incomplete::new(places, &self.at_start.incomplete))
    }
}

impl Maps {
    /// What wakeups in vain cost.
    fn cost(&self, reader: &Reader) -> Cost {
        let runs: Vec<(u32, RunSinceWoken)> = reader.rows(&self.runs);
        let open = runs.into_iter().map(|(tid, run)| (tid, (run.listener, run.ran)));
        Cost::new(reader.rows::<_, _, Vec<_>>(&self.wasted), open)
    }

    fn oldest(&self, reader: &Reader) -> HashMap<ListenerId, u64> {
        let mut oldest = HashMap::default();
        let stamps: Vec<(u64, Stamp)> = reader.rows(&self.enqueued_at);
        for (_, Stamp { time, listener }) in stamps.into_iter().filter(|(_, one)| one.time != 0) {
            let first = oldest.entry(listener).or_insert(time);
            *first = time.min(*first);
        }
        oldest
    }
}
