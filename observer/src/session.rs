//! One window of observing: from the first probe to the last report.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant, SystemTime},
};

use anyhow::Result;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use observer_common::{
    config::{Control, READY_QUEUES, READY_WAKES},
    counters::{FLAG_OF_TREE, REACHED_QUEUE},
    event::{Event, EventKind},
};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::{
    bpf::{
        attach::{Attached, attach_all},
        events,
        load::{Loaded, load},
        snapshot::{Maps, Snapshot},
        status::missed_runs,
        table::{self, Signal},
    },
    cli::WatchArgs,
    fail::Failure,
    kernel::facts::{Facts, online_cpus},
    listener::{
        descendants,
        holders::{self, Holdings},
        namespaces::{self, Namespace},
        select::{Candidate, Selection},
        waiters,
    },
    plan::{Request, plan},
    report::{
        build::{self, Input},
        model::{Host, Provider, Providers, Report, Via, Window, WindowKind},
    },
};

/// A look through /proc may take this part of the time between two looks.
const SCAN_SHARE: u32 = 50;

/// A window that is open.
pub struct Session {
    loaded: Loaded,
    attached: Attached,
    /// What `sk_data_ready` is there for.
    ready: u32,
    maps: Maps,
    host: Host,
    selection: Selection,
    holdings: Holdings,
    /// Whether a process held a listener when somebody looked: by process id and listener.
    held: HashMap<(u32, u64), bool>,
    looked: Instant,
    look_took: Duration,
    scanned: Instant,
    scan_took: Duration,
    start: Point,
    last: Point,
    interval: u32,
    missed_before: u64,
}

/// Where a window begins: what is taken off what is read later.
struct Point {
    wall: SystemTime,
    clock: Instant,
    counted: Snapshot,
    namespaces: BTreeMap<u64, Namespace>,
    missed_runs: u64,
}

impl Session {
    /// Gathers the facts, decides, loads, attaches, and opens the window.
    ///
    /// # Errors
    ///
    /// A [`Failure`] when a named process is not there or this host cannot observe.
    pub fn start(args: &WatchArgs) -> Result<(Self, UnboundedReceiver<(Event, EventKind)>)> {
        let pids = &args.filters.pid;
        if let Some(pid) = pids.iter().find(|pid| holders::comm(**pid).is_none()) {
            return Err(Failure::failed(format!(
                "there is no process {pid}; look it up with pgrep or ss -ltnp"
            ))
            .into());
        }
        let facts = Facts::gather(&table::tracepoints(), &table::functions());
        let existing = namespaces::look_at_all().values().map(|one| one.sockets.len()).sum();
        let request = Request {
            provider: args.provider,
            pid_filter: !pids.is_empty(),
            listeners: existing,
            max_listeners: args.max_listeners,
            cpus: aya::util::nr_cpus().unwrap_or(1),
        };
        let plan = plan(&facts, request)?;
        // Kernels before 5.11 count maps as locked memory. Where the limit cannot be raised, maps
        // that do not fit say so themselves.
        let _unchanged = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
        let mut loaded = load(&plan, args.verbose >= 2)?;
        let mut attached = attach_all(&mut loaded, &plan)?;
        let receiver = events::listen(&mut loaded.ebpf)?;
        let mut maps = Maps::take(&mut loaded.ebpf)?;
        // Forks are followed from here on, so that no child slips through between the two.
        if !pids.is_empty() {
            for pid in descendants::of(pids) {
                maps.add_to_tree(pid)?;
            }
        }
        let host = Host { kernel: facts.kernel, arch: facts.arch, cpus: online_cpus() };
        let namespaces = namespaces::look_at_all();
        if attached.provider(Signal::Accepts) != Some(table::Provider::Tracepoint) {
            note_in_flight(&mut maps, &namespaces)?;
        }
        if !maps.any_in_flight() {
            attached.release_in_flight();
        }
        let ready = ready_roles(&attached);
        maps.control(Control { open: 1, interval: 0, ready, zero: 0 })?;
        let point = || Point {
            wall: SystemTime::now(),
            clock: Instant::now(),
            counted: Snapshot::default(),
            namespaces: namespaces.clone(),
            missed_runs: 0,
        };
        let mut session = Self {
            start: point(),
            last: point(),
            loaded,
            attached,
            ready,
            maps,
            host,
            selection: Selection::new(args.filters.clone()),
            holdings: Holdings::new(),
            held: HashMap::new(),
            looked: Instant::now(),
            look_took: Duration::ZERO,
            scanned: Instant::now(),
            scan_took: Duration::ZERO,
            interval: 0,
            missed_before: 0,
        };
        session.missed_before = session.missed_runs();
        session.scan(&namespaces);
        Ok((session, receiver))
    }

    /// The object, for the debug lines of the kernel programs.
    pub fn loaded(&mut self) -> &mut Loaded {
        &mut self.loaded
    }

    /// What each signal comes from. Every provider sees every event; wakeups of a shown listener that
    /// were attributed by what waker and woken were doing make the number an estimate in its report.
    #[must_use]
    pub fn providers(&self) -> Providers {
        let of = |signal| match self.attached.provider(signal) {
            Some(table::Provider::Fentry) => Via::Fentry,
            Some(table::Provider::Kprobe) => Via::Kprobe,
            Some(table::Provider::Tracepoint) => Via::Tracepoint,
            None => Via::None,
        };
        let exact = |signal| Provider { via: of(signal), exact: true, inferred: None };
        Providers {
            wakeups: Provider {
                via: of(Signal::Wakeups),
                exact: self.attached.sees_chains(),
                inferred: None,
            },
            accepts: exact(Signal::Accepts),
            handshakes: exact(Signal::Handshakes),
            drops: Provider { via: Via::None, exact: false, inferred: None },
        }
    }

    /// How many listeners are chosen now.
    #[must_use]
    pub fn chosen(&self) -> usize {
        let sockets = self.last.namespaces.values().flat_map(|namespace| &namespace.sockets);
        sockets.filter(|one| self.selection.contains(one.inode, one.port)).count()
    }

    /// Takes note of a listener's birth: its holders are looked for soon, and who opened it may
    /// choose it at once.
    ///
    /// # Errors
    ///
    /// When the kernel maps cannot be read.
    pub fn note(&mut self, event: &Event, kind: EventKind) -> Result<()> {
        log::debug!("{kind:?} {event:?}");
        if kind == EventKind::Birth && self.selection.asks_for_processes() {
            let of_tree = self
                .maps
                .listener(event.listener)
                .is_some_and(|info| info.flags & FLAG_OF_TREE != 0);
            let comm = build::text(&event.comm);
            let creator = Candidate { pid: event.pid, comm: &comm };
            self.selection.consider_creator(event.listener, creator, of_tree);
        }
        Ok(())
    }

    /// The counts of the interval that ends now.
    ///
    /// # Errors
    ///
    /// When the kernel maps cannot be read.
    pub fn interval(&mut self) -> Result<Report> {
        let counted = self.read()?;
        let now = self.point(counted);
        self.refresh(&now.namespaces, false);
        let difference = now.counted.since(&self.last.counted);
        let report = self.report(&self.last, &now, &difference, WindowKind::Interval);
        self.last = now;
        self.interval += 1;
        self.control(1)?;
        Ok(report)
    }

    /// Everything since the window opened; it stays open.
    ///
    /// # Errors
    ///
    /// When the kernel maps cannot be read.
    pub fn so_far(&mut self) -> Result<Report> {
        self.total(false)
    }

    /// Closes the window and reports everything since it opened.
    ///
    /// # Errors
    ///
    /// When the kernel maps cannot be read.
    pub fn finish(&mut self) -> Result<Report> {
        self.control(0)?;
        self.total(true)
    }

    fn control(&mut self, open: u32) -> Result<()> {
        self.maps.control(Control { open, interval: self.interval, ready: self.ready, zero: 0 })
    }

    fn total(&mut self, last: bool) -> Result<Report> {
        let counted = self.read()?;
        let now = self.point(counted);
        self.refresh(&now.namespaces, last);
        let report = self.report(&self.start, &now, &now.counted, WindowKind::Total);
        self.last = now;
        Ok(report)
    }

    /// Lets the probes go that follow accept calls of before the window, once these are over or their
    /// tasks dead.
    fn let_go_of_ended(&mut self) {
        if self.attached.follows_in_flight() && !self.maps.any_in_flight() {
            self.attached.release_in_flight();
        }
    }

    /// Reads the maps, and settles what is decided by now.
    fn read(&mut self) -> Result<Snapshot> {
        self.let_go_of_ended();
        let mut counted = self.maps.read()?;
        // Names of those who held each listener: what has ended without having been looked at is
        // judged by them.
        let names: HashSet<(u64, String)> = self
            .holdings
            .iter()
            .flat_map(|(id, all)| all.iter().map(|one| (*id, one.holder.comm.clone())))
            .collect();
        counted.leave_out_strangers(|pid, listener, comm| match self.holds(pid, listener) {
            Some(holds) => !holds,
            None => !names.contains(&(listener, build::text(comm))),
        });
        let waiting: HashSet<u32> = counted
            .pending()
            // A task that is gone will not accept any more.
            .filter(|(pid, tid)| waiters::waits(*pid, *tid).unwrap_or(true))
            .map(|(_, tid)| tid)
            .collect();
        counted.settle_silent(&waiting);
        Ok(counted)
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
    /// the time of a report.
    pub fn look_at_woken(&mut self) {
        self.let_go_of_ended();
        if self.looked.elapsed() < self.look_took * SCAN_SHARE {
            return;
        }
        let began = Instant::now();
        let keys: Vec<_> = self.maps.worker_keys().collect();
        for key in keys {
            if key.pid != 0 && !self.held.contains_key(&(key.pid, key.listener)) {
                self.holds(key.pid, key.listener);
            }
        }
        self.looked = Instant::now();
        self.look_took = began.elapsed();
    }

    fn point(&self, counted: Snapshot) -> Point {
        Point {
            wall: SystemTime::now(),
            clock: Instant::now(),
            counted,
            namespaces: namespaces::look_at_all(),
            missed_runs: self.missed_runs().saturating_sub(self.missed_before),
        }
    }

    fn missed_runs(&self) -> u64 {
        missed_runs(&self.loaded.ebpf).unwrap_or(0)
    }

    /// Looks for holders again, unless the last look was too dear to be repeated so soon.
    fn refresh(&mut self, namespaces: &BTreeMap<u64, Namespace>, must: bool) {
        if must || self.scanned.elapsed() >= self.scan_took * SCAN_SHARE {
            self.scan(namespaces);
        }
    }

    fn scan(&mut self, namespaces: &BTreeMap<u64, Namespace>) {
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
        let tree = self.maps.tree();
        self.selection.update(&self.holdings, &tree);
        self.scanned = Instant::now();
        self.scan_took = began.elapsed();
    }

    fn report(&self, from: &Point, to: &Point, counted: &Snapshot, kind: WindowKind) -> Report {
        let chosen: HashSet<u64> = to
            .namespaces
            .values()
            .flat_map(|namespace| &namespace.sockets)
            .filter(|socket| self.selection.contains(socket.inode, socket.port))
            .map(|socket| socket.inode)
            .collect();
        let held = self.holdings.iter().filter(|(listener, _)| chosen.contains(*listener));
        let waiters: HashMap<_, _> =
            held.map(|(listener, holdings)| (*listener, waiters::find(holdings))).collect();
        build::build(Input {
            host: &self.host,
            window: Window {
                start: humantime::format_rfc3339_millis(from.wall).to_string(),
                seconds: to.clock.duration_since(from.clock).as_secs_f64(),
                kind,
            },
            providers: self.providers(),
            counted,
            before: &from.namespaces,
            now: &to.namespaces,
            holdings: &self.holdings,
            waiters: &waiters,
            selection: &self.selection,
            missed_runs: to.missed_runs.saturating_sub(from.missed_runs),
        })
    }
}

/// Finds the tasks that are blocked in accept now: exit programs do not run for their calls.
fn note_in_flight(maps: &mut Maps, namespaces: &BTreeMap<u64, Namespace>) -> Result<()> {
    let sockets = namespaces.values().flat_map(|namespace| &namespace.sockets);
    let all = sockets.map(|socket| socket.inode).collect();
    for (listener, holdings) in holders::scan(&all) {
        for waiter in waiters::in_accept(&holdings) {
            maps.add_in_flight(waiter.tid, listener | REACHED_QUEUE)?;
        }
    }
    Ok(())
}

/// What `sk_data_ready` has to do: only what no better hook does.
fn ready_roles(attached: &Attached) -> u32 {
    let role = |signal, role| match attached.provider(signal) {
        Some(table::Provider::Tracepoint) => role,
        _ => 0,
    };
    role(Signal::Handshakes, READY_QUEUES) | role(Signal::Wakeups, READY_WAKES)
}
