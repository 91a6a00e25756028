//! Who holds the listeners: looked up now and then, because processes come and go.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use observer_common::counters::{FLAG_OF_TREE, WorkerKey};

use crate::{
    bpf::snapshot::{Maps, Snapshot},
    cli::FilterArgs,
    listener::{
        holders::{self, Holdings},
        namespaces::Namespace,
        select::{Candidate, Selection},
        waiters,
    },
    report::build::text,
};

/// A look through /proc may take this part of the time between two looks.
pub(super) const SCAN_SHARE: u32 = 50;

/// What is known of the processes that hold listeners, and which listeners that chooses.
pub(super) struct Lookout {
    pub(super) selection: Selection,
    pub(super) holdings: Holdings,
    /// Whether a process held a listener when somebody looked: by process id and listener.
    held: HashMap<(u32, u64), bool>,
    /// How many rows of workers had been made at the last look.
    known: u64,
    looked: Instant,
    look_took: Duration,
    scanned: Instant,
    scan_took: Duration,
}

impl Lookout {
    pub(super) fn new(filters: FilterArgs) -> Self {
        Self {
            selection: Selection::new(filters),
            holdings: Holdings::new(),
            held: HashMap::new(),
            known: 0,
            looked: Instant::now(),
            look_took: Duration::ZERO,
            scanned: Instant::now(),
            scan_took: Duration::ZERO,
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
    /// out, and those that wait again have gone back to sleep.
    pub(super) fn settle(&mut self, counted: &mut Snapshot) {
        // Names of those who held each listener: what has ended without having been looked at is
        // judged by them.
        let names: HashSet<(u64, String)> = self
            .holdings
            .iter()
            .flat_map(|(id, all)| all.iter().map(|one| (*id, one.holder.comm.clone())))
            .collect();
        counted.leave_out_strangers(|pid, listener, comm| match self.holds(pid, listener) {
            Some(holds) => !holds,
            None => !names.contains(&(listener, text(comm))),
        });
        let waiting: HashSet<u32> = counted
            .pending()
            // A task that is gone will not accept any more.
            .filter(|(pid, tid)| waiters::waits(*pid, *tid).unwrap_or(true))
            .map(|(_, tid)| tid)
            .collect();
        counted.settle_silent(&waiting);
    }

    /// Whether a process holds a listener, or did when it was looked at; `None` for one that ended
    /// before.
    fn holds(&mut self, pid: u32, listener: u64) -> Option<bool> {
        if let Some(known) = self.held.get(&(pid, listener)) {
            // A process that did not hold it may have been given it since.
            if *known || holders::comm(pid).is_none() {
                return Some(*known);
            }
        }
        let holds = holders::holds(pid, listener)?;
        self.held.insert((pid, listener), holds);
        Some(holds)
    }

    /// Looks at the processes that were woken since the last time: those of short life are gone by
    /// the time of a report. `made` is how many rows of workers there were made so far: where it has
    /// not grown nobody is new, and the map is left alone. While one of bpf()'s map operations runs
    /// on a CPU, the programs of kprobes do not run there (`bpf_prog_active`).
    pub(super) fn look_at_woken(&mut self, made: u64, keys: impl FnOnce() -> Vec<WorkerKey>) {
        if made == self.known || self.looked.elapsed() < self.look_took * SCAN_SHARE {
            return;
        }
        self.known = made;
        let began = Instant::now();
        for key in keys() {
            if key.pid != 0 && !self.held.contains_key(&(key.pid, key.listener)) {
                self.holds(key.pid, key.listener);
            }
        }
        self.looked = Instant::now();
        self.look_took = began.elapsed();
    }

    /// Looks for holders again, unless the last look was too dear to be repeated so soon.
    pub(super) fn refresh(
        &mut self,
        maps: &Maps,
        namespaces: &BTreeMap<u64, Namespace>,
        must: bool,
    ) {
        if must || self.scanned.elapsed() >= self.scan_took * SCAN_SHARE {
            self.scan(maps, namespaces);
        }
    }

    /// Looks for holders.
    pub(super) fn scan(&mut self, maps: &Maps, namespaces: &BTreeMap<u64, Namespace>) {
        let began = Instant::now();
        let listening = namespaces
            .values()
            .flat_map(|namespace| &namespace.sockets)
            .filter(|socket| self.selection.wants_port(socket.port))
            .map(|socket| socket.inode)
            .collect::<HashSet<_>>();
        let found = holders::scan(&listening);
        // Of a listener that closed, the last holders stay known.
        self.holdings.retain(|listener, _| !listening.contains(listener));
        self.held.extend(found.iter().flat_map(|(listener, holdings)| {
            holdings.iter().map(|holding| ((holding.holder.pid, *listener), true))
        }));
        self.holdings.extend(found);
        let tree = maps.tree();
        self.selection.update(&self.holdings, &tree);
        self.scanned = Instant::now();
        self.scan_took = began.elapsed();
    }
}
