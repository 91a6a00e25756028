//! Who holds the listeners: looked up now and then, because processes come and go.

use std::{
    collections::{BTreeMap, HashSet},
    time::Instant,
};

use observer_common::{
    config::is_outside,
    counters::{FLAG_OF_TREE, UnrecognisedKey, WorkerKey},
};

use crate::{
    bpf::{load::Loaded, maps::Maps, snapshot::Snapshot, watches::Watches},
    config::Filters,
    host::{
        filter::{Candidate, Selection},
        holders,
        netns::Namespaces,
        patience::Patience,
        processes::{Look, Processes},
        waiters,
        waits::Waits,
        ways::Ways,
    },
    report::workers::text,
};

use super::{budget::Budget, memory};

/// What is known of the processes that hold listeners, and which listeners that chooses.
pub(super) struct Tracker {
    pub(super) selection: Selection,
    pub(super) processes: Processes,
    /// How many rows of workers had been made at the last look.
    known: u64,
    looks: Budget,
    scans: Budget,
    full_scans: Budget,
    trims: Budget,
    catch_ups: Budget,
    /// Who waits for each listener.
    pub(super) waits: Waits,
    passes: Budget,
    /// For what may never answer.
    pub(super) patience: Patience,
    /// How processes wait for listeners.
    pub(super) ways: Ways,
    /// Whose open wakeups were settled as silent when the maps were read last.
    pub(super) settled: Vec<WorkerKey>,
}

impl Tracker {
    pub(super) fn new(filters: Filters, processes: Processes) -> Self {
        Self {
            selection: Selection::new(filters),
            processes,
            known: 0,
            looks: Budget::new(),
            scans: Budget::new(),
            full_scans: Budget::rarely(),
            trims: Budget::rarely(),
            catch_ups: Budget::new(),
            waits: Waits::default(),
            passes: Budget::new(),
            patience: Patience::default(),
            ways: Ways::default(),
            settled: Vec::new(),
        }
    }

    /// Chooses the listeners of the window by who opened them: the events of their births may still
    /// be under way, or were lost, and the rows are there.
    pub(super) fn choose_newborn(&mut self, counted: &Snapshot) {
        if !self.selection.asks_for_processes() {
            return;
        }
        for (id, info) in counted.listeners.iter().filter(|(_, info)| info.born != 0) {
            let comm = text(&info.comm);
            let creator = Candidate { pid: info.creator, comm: &comm };
            self.selection.consider_creator(*id, creator, info.flags & FLAG_OF_TREE != 0);
        }
    }

    /// Settles what is decided by now: tasks that an interrupt woke within a notification are left
    /// out, and those that wait again have gone back to sleep. Returns whose wakeups need not be counted
    /// any more.
    pub(super) fn settle(&mut self, counted: &mut Snapshot) -> Vec<UnrecognisedKey> {
        counted.leave_out_strangers(|pid, listener, comm| self.is_stranger(pid, listener, comm));
        let strangers = counted.leave_out_unrecognised(|pid, listener, comm| {
            // Of a listener that no process holds, the kernel's threads are the ones that wait for it.
            let holdings = self.processes.holdings().get(&listener);
            let of_kernel = holdings.is_none_or(Vec::is_empty) && holders::is_kernel_thread(pid);
            // The kernel's threads are outside of a PID namespace, as most that an interrupt wakes.
            is_outside(pid) || !of_kernel && self.is_stranger(pid, listener, comm)
        });
        let accepts = counted.workers.iter().filter(|(_, row)| row.accepted != 0);
        counted.of_kernel = accepts
            .filter(|(key, _)| key.pid != 0)
            .filter(|(key, _)| self.processes.known(key.pid, key.listener) != Some(true))
            .filter(|(key, _)| holders::is_kernel_thread(key.pid))
            .map(|(key, _)| key.listener)
            .collect();
        // Of one that cannot be looked at it stays open.
        let pending = counted.pending().filter(|(pid, _)| !is_outside(*pid));
        let waiting = self.waiting_among(pending.collect());
        self.settled = counted.settle_silent(&waiting);
        strangers
    }

    /// Which of these tasks, told with their processes, wait again. A task that is gone will not accept any more,
    /// and one that does not answer may.
    fn waiting_among(&self, tasks: Vec<(u32, u32)>) -> HashSet<u32> {
        let mut by_process = BTreeMap::<u32, Vec<u32>>::new();
        for (pid, tid) in tasks {
            by_process.entry(pid).or_default().push(tid);
        }
        let pids = by_process.keys().copied().collect();
        let look = move |pid| {
            let tasks = by_process.get(&pid).into_iter().flatten().copied();
            tasks.filter(|tid| waiters::waits(pid, *tid).unwrap_or(true)).collect::<Vec<_>>()
        };
        let found = self.patience.each(pids, look).into_iter();
        found.flat_map(|(_, waiting)| waiting.unwrap_or_default()).collect()
    }

    /// Whether a task's process, of which this is the task's name, has nothing to do with a listener. One
    /// that ended without having been looked at is judged by the names of those who held the listener.
    pub(super) fn is_stranger(&mut self, pid: u32, listener: u64, comm: &[u8; 16]) -> bool {
        if let Some(held) = self.processes.held(pid, listener) {
            return !held;
        }
        if is_outside(pid) {
            // Nobody can tell, and who is left out would vanish.
            return false;
        }
        let name = text(comm);
        let holdings = self.processes.holdings().get(&listener);
        !holdings.is_some_and(|all| all.iter().any(|one| one.holder.comm == name))
    }

    /// Looks at the processes that were woken since the last time: those of short life are gone by
    /// the time of a report. `made` is how many rows of workers there were made so far: where it has
    /// not grown nobody is new, and the map is left alone. While one of bpf()'s map operations runs
    /// on a CPU, the programs of kprobes do not run there (`bpf_prog_active`).
    pub(super) fn look_at_woken(&mut self, made: u64, keys: impl FnOnce() -> Vec<WorkerKey>) {
        if made == self.known || !self.looks.are_due() {
            return;
        }
        self.known = made;
        let began = Instant::now();
        for key in keys() {
            let (pid, listener) = (key.pid, key.listener);
            if pid != 0 && !is_outside(pid) && self.processes.known(pid, listener).is_none() {
                self.processes.held(pid, listener);
            }
        }
        self.looks.took(began);
    }

    /// Refreshes the table of processes as thoroughly as may be by now, or `must` be, and what follows from it:
    /// which listeners are chosen, and who waits for these.
    pub(super) fn refresh(
        &mut self,
        (loaded, watches, maps): (&mut Loaded, &mut Watches, &Maps),
        counted: &Snapshot,
        (namespaces, quiet): (&Namespaces, &Namespaces),
        must: bool,
    ) {
        // Reports of many listeners leave holes.
        if self.trims.are_due() {
            let began = Instant::now();
            memory::give_back();
            self.trims.took(began);
        }
        if must || self.full_scans.are_due() {
            self.look(maps, counted, (namespaces, quiet), Look::Everyone);
        } else if self.scans.are_due() {
            self.look(maps, counted, (namespaces, quiet), Look::WhoRan);
        } else if self.catch_ups.are_due() {
            self.look(maps, counted, (namespaces, quiet), Look::Newcomers);
        }
        self.find_waiting(loaded, watches, namespaces, must);
        let woken = counted.tasks.values();
        let woken = woken.map(|task| (task.listener, task.pid, task.wait.to_le_bytes()[0]));
        self.ways = Ways::new(woken, &self.waits);
    }

    /// Looks for holders of the listeners that are there and of a chosen port, and chooses by them.
    pub(super) fn look(
        &mut self,
        maps: &Maps,
        counted: &Snapshot,
        (namespaces, quiet): (&Namespaces, &Namespaces),
        look: Look,
    ) {
        let began = Instant::now();
        let all = namespaces.values().chain(quiet.values());
        let sockets = all.flat_map(|namespace| &namespace.sockets);
        let wanted = sockets.filter(|socket| self.selection.wants_port(socket.port));
        let listening = wanted.map(|socket| socket.inode).collect();
        let creator = |listener| counted.listeners.get(&listener).map(|info| info.creator);
        self.processes.refresh(listening, look, creator);
        if self.selection.asks_for_processes() {
            if look != Look::Newcomers {
                let listens = |id| self.processes.listens(id) || creator(id).is_some();
                self.selection.forget_all_but(listens);
            }
            self.selection.update(self.processes.holdings(), &maps.tree());
        }
        let budget = match look {
            Look::Everyone => &mut self.full_scans,
            Look::WhoRan => &mut self.scans,
            Look::Newcomers => &mut self.catch_ups,
        };
        budget.took(began);
    }

    /// Looks for tasks that wait for chosen listeners, unless that was too expensive to be repeated so soon;
    /// then those stay known that were seen waiting, but for processes that are gone.
    fn find_waiting(
        &mut self,
        loaded: &mut Loaded,
        watches: &mut Watches,
        namespaces: &Namespaces,
        must: bool,
    ) {
        if !must && !self.passes.are_due() {
            for waiters in self.waits.tasks.values_mut() {
                waiters.retain(|waiter| self.processes.contains(waiter.pid));
            }
            return;
        }
        let began = Instant::now();
        let sockets = namespaces.values().flat_map(|namespace| &namespace.sockets);
        let chosen = sockets.filter(|socket| self.selection.contains(socket.inode, socket.port));
        let chosen: HashSet<u64> = chosen.map(|socket| socket.inode).collect();
        self.waits = waits(watches, loaded, |listener| chosen.contains(&listener));
        self.passes.took(began);
    }
}

/// Who waits for the listeners that are wanted; nobody knows where the kernel does not tell.
pub(super) fn waits(
    watches: &mut Watches,
    loaded: &mut Loaded,
    wanted: impl Fn(u64) -> bool,
) -> Waits {
    match watches.look(loaded) {
        Ok(records) => Waits::of_records(&records, wanted),
        Err(error) => {
            log::debug!("who waits for listeners is not known: {error:#}");
            Waits::default()
        }
    }
}
