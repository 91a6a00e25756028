//! One window of observing: from the first probe to the last report.

mod lookout;
mod memory;
mod pace;
mod point;
mod requests;

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use anyhow::Result;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use observer_common::{
    config::{Control, READY_QUEUES, READY_WAKES, STATE_LIFE},
    counters::{FLAG_OF_TREE, REACHED_QUEUE},
    event::{Event, EventKind, Record},
};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::{
    bpf::{
        attach::{Attached, attach_all},
        events,
        load::{Loaded, load},
        snapshot::{Maps, Snapshot},
        status::missed_runs,
        table::{self, Probe, Signal},
    },
    cli::WatchArgs,
    fail::Failure,
    kernel::facts::{Facts, online_cpus},
    listener::{
        descendants,
        diag::Socket,
        holders,
        namespaces::{self, Namespace},
        places::Places,
        select::Candidate,
        waiters,
    },
    plan::{Request, plan},
    report::{
        Memo,
        build::{self, Input},
        model::{Host, Provider, Providers, Report, Via, Window, WindowKind},
        workers,
    },
};

use self::{
    lookout::Lookout,
    pace::Paced,
    point::{Point, counters, read_again},
    requests::Requests,
};

/// The first interval; 0 stands for none in the kernel maps.
const FIRST_INTERVAL: u32 = 1;

/// A window that is open.
pub struct Session {
    loaded: Loaded,
    attached: Attached,
    /// What the kernel programs are told, but for the interval.
    control: Control,
    maps: Maps,
    host: Host,
    /// Whether this kernel says why it drops a final ACK.
    sees_refused_acks: bool,
    /// Whether a task that scans an epoll instance's ready list is known by what it holds.
    knows_scans: bool,
    /// Exits to attach once one waiter of a shared epoll instance has woken the next.
    scan_ends: Vec<(&'static Probe, &'static str)>,
    lookout: Lookout,
    places: Places,
    searches: Paced,
    requests: Requests,
    memo: Memo,
    start: Point,
    last: Point,
    missed_before: u64,
}

impl Session {
    /// Gathers the facts, decides, loads, attaches, and opens the window.
    ///
    /// # Errors
    ///
    /// A [`Failure`] when a named process is not there or this host cannot observe.
    pub fn start(args: &WatchArgs) -> Result<(Self, UnboundedReceiver<Record>)> {
        let pids = &args.filters.pid;
        if let Some(pid) = pids.iter().find(|pid| holders::comm(**pid).is_none()) {
            return Err(Failure::failed(format!(
                "there is no process {pid}; look it up with pgrep or ss -ltnp"
            ))
            .into());
        }
        let facts = Facts::gather(&table::tracepoints(), &table::functions());
        let mut places = Places::new();
        let existing =
            namespaces::look_at_all(&mut places).values().map(|one| one.sockets.len()).sum();
        let request = Request {
            provider: args.provider,
            pid_filter: !pids.is_empty(),
            listeners: existing,
            max_listeners: args.max_listeners,
            cpus: aya::util::nr_cpus().unwrap_or(1),
            ports: &args.filters.port,
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
        let full_at_limit = u32::from(facts.syn_queue_full_at_limit());
        let host = Host { kernel: facts.kernel, arch: facts.arch, cpus: online_cpus() };
        places.find();
        let namespaces = namespaces::look_at_all(&mut places);
        if attached.provider(Signal::Accepts) != Some(table::Provider::Tracepoint) {
            note_in_flight(&mut maps, &namespaces)?;
        }
        if !maps.any_in_flight() {
            attached.release_in_flight();
        }
        let control = Control {
            open: 1,
            interval: FIRST_INTERVAL,
            ready: ready_roles(&attached),
            tell_drops: u32::from(args.verbose > 0),
            full_at_limit,
            in_flight: u32::from(maps.any_in_flight()),
            scan_ends: u32::from(plan.scan_ends.is_empty() && attached.sees_scans()),
        };
        maps.control(control)?;
        // What the kernel counted between the two looks may be in the window or not.
        let before = counters(&namespaces);
        let mut start = Point::new(Snapshot::default(), &before, namespaces, 0);
        let after = read_again(&places, &start.namespaces);
        start.readings = point::readings(&before, &after);
        let mut session = Self {
            last: start.clone(),
            start,
            loaded,
            attached,
            control,
            sees_refused_acks: plan.layout.names_refused_acks(),
            knows_scans: plan.layout.knows_scans(),
            scan_ends: plan.scan_ends,
            maps,
            host,
            lookout: Lookout::new(args.filters.clone()),
            places,
            searches: Paced::new(),
            requests: Requests::new(),
            memo: Memo::default(),
            missed_before: 0,
        };
        session.missed_before = session.missed_runs();
        session.lookout.scan(&session.maps, &session.start.namespaces);
        memory::without_types(&mut session.loaded.btf);
        memory::give_back();
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
                // With tracepoints nothing marks the end of a notification: an interrupt within it can
                // wake somebody else, and who was past the point of return to sleep is taken for awake.
                exact: self.sees_chains()
                    && self.attached.provider(Signal::Wakeups) != Some(table::Provider::Tracepoint),
                inferred: None,
            },
            accepts: exact(Signal::Accepts),
            handshakes: exact(Signal::Handshakes),
            drops: Provider {
                via: of(Signal::Drops),
                exact: self.attached.sees_refusals(),
                inferred: None,
            },
        }
    }

    /// How many listeners are chosen now.
    #[must_use]
    pub fn chosen(&self) -> usize {
        let sockets = self.last.namespaces.values().flat_map(|namespace| &namespace.sockets);
        sockets.filter(|one| self.lookout.selection.contains(one.inode, one.port)).count()
    }

    /// Takes note of an event. A listener's birth: its holders are looked for soon, and who opened it
    /// may choose it at once.
    ///
    /// # Errors
    ///
    /// When the kernel maps cannot be read.
    pub fn note(&mut self, record: &Record) -> Result<()> {
        log::debug!("{record:?}");
        match record {
            Record::Task(event, EventKind::Birth) => self.born(event),
            Record::Task(..) | Record::Drop(_) => {}
        }
        Ok(())
    }

    fn born(&mut self, event: &Event) {
        if self.lookout.selection.asks_for_processes() {
            let info = self.maps.listener(event.listener);
            let of_tree = info.is_some_and(|info| info.flags & FLAG_OF_TREE != 0);
            let comm = workers::text(&event.comm);
            let creator = Candidate { pid: event.pid, comm: &comm };
            self.lookout.selection.consider_creator(event.listener, creator, of_tree);
        }
    }

    /// The counts of the interval that ends now.
    ///
    /// # Errors
    ///
    /// When the kernel maps cannot be read.
    pub fn interval(&mut self) -> Result<Report> {
        let now = self.point()?;
        self.lookout.refresh(&self.maps, &now.counted, &now.namespaces, false);
        self.lookout.look_at_waiting(&now.namespaces, false);
        let difference = now.counted.since(&self.last.counted);
        let requests = self.requests(&now, false);
        let mut memo = std::mem::take(&mut self.memo);
        let (last, kind) = (&self.last, WindowKind::Interval);
        let report = self.report(last, &now, &difference, &requests, kind, &mut memo);
        self.memo = memo;
        self.last = now;
        self.control.interval += 1;
        self.maps.control(self.control)?;
        Ok(report)
    }

    /// Everything since the window opened; it stays open.
    ///
    /// # Errors
    ///
    /// When the kernel maps cannot be read.
    pub fn so_far(&mut self) -> Result<Report> {
        let now = self.point()?;
        self.total(now, false)
    }

    /// Closes the window and reports everything since it opened.
    ///
    /// # Errors
    ///
    /// When the kernel maps cannot be read.
    pub fn finish(&mut self) -> Result<Report> {
        let before = read_again(&self.places, &self.last.namespaces);
        self.control.open = 0;
        self.maps.control(self.control)?;
        let now = self.read(&before)?;
        self.total(now, true)
    }

    fn total(&mut self, now: Point, last: bool) -> Result<Report> {
        self.lookout.refresh(&self.maps, &now.counted, &now.namespaces, last);
        self.lookout.look_at_waiting(&now.namespaces, last);
        let requests = self.requests(&now, last);
        let mut memo = std::mem::take(&mut self.memo);
        let (start, kind) = (&self.start, WindowKind::Total);
        let report = self.report(start, &now, &now.counted, &requests, kind, &mut memo);
        self.memo = memo;
        self.last = now;
        Ok(report)
    }

    /// Everything up to now. While the kernel counts refusals its counters are read twice, before and
    /// after the maps, so that it is known what they were in between.
    fn point(&mut self) -> Result<Point> {
        let point = self.read(&counters(&self.last.namespaces))?;
        if counters(&point.namespaces) == counters(&self.last.namespaces) {
            return Ok(point);
        }
        self.read(&counters(&point.namespaces))
    }

    /// Lets the probes go that follow accept calls of before the window, once these are over or their
    /// tasks dead.
    fn let_go_of_ended(&mut self) {
        if self.attached.follows_in_flight() && !self.maps.any_in_flight() {
            self.attached.release_in_flight();
        }
    }

    /// Reads the maps, and settles what is decided by now.
    fn read(&mut self, before: &point::Counters) -> Result<Point> {
        self.let_go_of_ended();
        // How long connections have waited is told of the moment at which they were seen to wait: to
        // look at the namespaces takes a while.
        let monotonic = point::monotonic();
        let mut counted = self.maps.read()?;
        let missed_runs = self.missed_runs().saturating_sub(self.missed_before);
        self.find_namespaces(&counted);
        let namespaces = namespaces::look_at_all(&mut self.places);
        let point = Point::new(Snapshot::default(), before, namespaces, missed_runs);
        self.lookout.choose_newborn(&counted);
        self.lookout.settle(&mut counted);
        Ok(Point { counted, monotonic, ..point })
    }

    /// Looks for network namespaces: by the processes that are new, and by all of them when that was
    /// not done for long, or when a listener is in one that is not known.
    fn find_namespaces(&mut self, counted: &Snapshot) {
        let began = Instant::now();
        if self.searches.are_due() {
            self.places.find();
            return self.searches.took(began);
        }
        self.places.find_new();
        let mut open = counted.listeners.values().filter(|info| info.closed == 0);
        if open.any(|info| !self.places.contains(info.netns.into())) {
            self.places.find();
        }
    }

    /// Looks at the processes that were woken since the last time.
    pub fn look_at_woken(&mut self) {
        self.let_go_of_ended();
        // A map that cannot be read is an error of the report.
        if let Ok(misc) = self.maps.misc() {
            self.follow_scans(misc.chained);
            let maps = &self.maps;
            self.lookout.look_at_woken(misc.workers, || maps.worker_keys().collect());
        }
    }

    /// Follows the ends of scans of an epoll instance's ready list, once one of its waiters has woken
    /// the next: there, whether a task was asleep is known when the scan is over.
    fn follow_scans(&mut self, chained: u64) {
        if chained == 0 || self.scan_ends.is_empty() {
            return;
        }
        let ends = std::mem::take(&mut self.scan_ends);
        if memory::with_types(&mut self.loaded.btf)
            && self.attached.follow_scans(&mut self.loaded, &ends)
        {
            self.control.scan_ends = 1;
            // What cannot be written now is with the next interval.
            let _later = self.maps.control(self.control);
        }
        memory::without_types(&mut self.loaded.btf);
        memory::give_back();
    }

    /// Whether the wakeups are seen that one waiter of a shared epoll instance passes on.
    fn sees_chains(&self) -> bool {
        self.knows_scans || self.attached.sees_scans()
    }

    /// Runs that were skipped, less those whose count another program made good.
    fn missed_runs(&self) -> u64 {
        let recovered = self.maps.misc().map_or(0, |misc| misc.recovered);
        missed_runs(&self.loaded.ebpf).unwrap_or(0).saturating_sub(recovered)
    }

    /// The requests in the SYN queues of the chosen listeners.
    fn requests(&mut self, now: &Point, must: bool) -> HashMap<u64, u64> {
        let selection = &self.lookout.selection;
        let chosen = |socket: &Socket| selection.contains(socket.inode, socket.port);
        self.requests.of(&self.places, &now.namespaces, chosen, must)
    }

    fn report(
        &self,
        from: &Point,
        to: &Point,
        counted: &Snapshot,
        requests: &HashMap<u64, u64>,
        kind: WindowKind,
        memo: &mut Memo,
    ) -> Report {
        let input = Input {
            host: &self.host,
            window: Window {
                start: humantime::format_rfc3339_millis(from.wall).to_string(),
                seconds: to.clock.duration_since(from.clock).as_secs_f64(),
                kind,
            },
            providers: self.providers(),
            counted,
            clock: to.monotonic,
            start: &from.readings,
            end: &to.readings,
            before: &from.namespaces,
            now: &to.namespaces,
            holdings: self.lookout.census.holdings(),
            waiters: &self.lookout.waiters,
            requests,
            selection: &self.lookout.selection,
            sees_refused_acks: self.sees_refused_acks,
            missed_runs: to.missed_runs.saturating_sub(from.missed_runs),
        };
        build::build(input, memo)
    }
}

/// Finds the tasks that are blocked in accept now: exit programs do not run for their calls.
fn note_in_flight(maps: &mut Maps, namespaces: &BTreeMap<u64, Namespace>) -> Result<()> {
    let sockets = namespaces.values().flat_map(|namespace| &namespace.sockets);
    let all = sockets.map(|socket| socket.inode).collect();
    let holdings = holders::scan(&all);
    let held = holdings.iter().map(|(listener, all)| (*listener, all.as_slice()));
    for (listener, waiters) in waiters::in_accept(held) {
        for waiter in waiters {
            maps.add_in_flight(waiter.tid, listener | REACHED_QUEUE)?;
        }
    }
    Ok(())
}

/// What the tracepoints of socks have to do: only what no better hook does.
fn ready_roles(attached: &Attached) -> u32 {
    let role = |signal, role| match attached.provider(signal) {
        Some(table::Provider::Tracepoint) => role,
        _ => 0,
    };
    let life = match attached.provider(Signal::Life) {
        Some(table::Provider::Fentry) => 0,
        _ => STATE_LIFE,
    };
    role(Signal::Handshakes, READY_QUEUES) | role(Signal::Wakeups, READY_WAKES) | life
}
