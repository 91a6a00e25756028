//! Opening a window: facts, plan, programs, and what there is before it.

use std::collections::BTreeMap;

use anyhow::Result;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use observer_common::{
    config::{Control, READY_QUEUES, READY_WAKES, STATE_LIFE},
    counters::{ListenerInfo, REACHED_QUEUE},
    event::EventKind,
};

use super::{
    FIRST_INTERVAL, Session,
    budget::Budget,
    events_waiting::Telling,
    memory,
    sample::{self, Sample, counters, read_again},
    syn_requests::Requests,
    tracker::Tracker,
};
use crate::{
    bpf::{
        attach::{Attached, attach_all},
        events::Events,
        load::load,
        maps::Maps,
        room::MADE_BEFOREHAND,
        snapshot::Snapshot,
        status,
    },
    config::Config,
    host::{
        descendants, holders,
        inet_diag::Socket,
        netns::{self, Namespace},
        netns_handles::Places,
        processes::{Look, Processes},
        waiters,
    },
    kernel::facts::Facts,
    plan::{Request, plan},
    probes::{self, Signal},
    report::LastSeen,
};

impl Session {
    /// Gathers the facts, decides, loads, attaches, and opens the window.
    ///
    /// # Errors
    ///
    /// A [`crate::error::Failure`] when this host cannot observe.
    pub fn open(config: &Config) -> Result<Self> {
        let pids = &config.filters.pid;
        let facts = Facts::gather(&probes::tracepoints(), &probes::functions());
        let mut processes = Processes::default();
        let mut places = Places::new(&mut processes);
        let existing = netns::look_at_all(&mut places, &mut processes, BTreeMap::new());
        let count = existing.values().map(|one| one.sockets.len()).sum();
        let request = Request {
            provider: config.provider,
            pid_filter: !pids.is_empty(),
            listeners: count,
            max_listeners: config.max_listeners,
            map_memory: config.map_memory,
            least_maps: config.least_maps,
            tells_accepts: config.events.contains(&EventKind::Accepted),
            cpus: aya::util::nr_cpus().unwrap_or(1),
            ports: &config.filters.port,
        };
        let plan = plan(&facts, request)?;
        // Kernels before 5.11 count maps as locked memory. Where the limit cannot be raised, maps
        // that do not fit say so themselves.
        let _unchanged = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
        let mut loaded = load(&plan, &config.events, config.debug_lines)?;
        let mut attached = attach_all(&mut loaded, &plan)?;
        let events =
            if config.events.is_empty() { None } else { Some(Events::open(&mut loaded.ebpf)?) };
        let mut maps = Maps::take(&mut loaded.ebpf, &plan.sizes)?;
        // Forks are followed from here on, so that no child slips through between the two.
        if !pids.is_empty() {
            // Those that were named come first: where there is no room for all, what they hold is chosen.
            for pid in pids.iter().copied().chain(descendants::of(pids)) {
                maps.add_to_tree(pid);
            }
        }
        let mut tracker = Tracker::new(config.filters.clone(), processes);
        let is_looked_at = make_rows(&mut maps, &mut tracker, &existing)?;
        let processes = &mut tracker.processes;
        places.find(processes);
        let namespaces = netns::look_at_all(&mut places, processes, BTreeMap::new());
        // Before the tasks are looked at that are in accept: kprobes note those that come later.
        let sockets = || namespaces.values().flat_map(|namespace| &namespace.sockets);
        if sockets().any(|socket| config.filters.port.contains(&socket.port)) {
            maps.mark_port_seen()?;
        }
        if attached.provider(Signal::Accepts) != Some(probes::Provider::Tracepoint) {
            note_in_flight(&mut maps, &namespaces);
        }
        if !maps.any_in_flight() {
            attached.release_in_flight();
        }
        let control = Control {
            open: 1,
            interval: FIRST_INTERVAL,
            ready: ready_roles(&attached),
            in_flight: u32::from(maps.any_in_flight()),
            scan_ends: u32::from(plan.scan_ends.is_empty() && attached.sees_scans()),
        };
        maps.control(control)?;
        // What the kernel counted between the two looks may be in the window or not.
        let before = counters(&namespaces);
        let mut start = Sample::new(Snapshot::default(), &before, namespaces, 0);
        let after = read_again(&places, &start.namespaces);
        start.readings = sample::readings(&before, &after);
        let mut session = Self {
            last: start.clone(),
            start,
            loaded,
            attached,
            control,
            ipv6: facts.ipv6,
            sees_refused_acks: plan.layout.names_dropped_acks(),
            knows_scans: plan.layout.knows_scans(),
            scan_ends: plan.scan_ends,
            pid_namespace: plan.pid_namespace,
            maps,
            host: facts.host,
            tracker,
            places,
            searches: Budget::new(),
            requests: Requests::new(),
            last_seen: LastSeen::default(),
            shows_idle: config.idle,
            missed_before: 0,
            kprobes_tell: false,
            kinds: config.events.clone(),
            telling: Telling::default(),
            lost_in_kernel: 0,
            events,
        };
        session.kprobes_tell = status::kprobes_tell(&session.loaded.ebpf);
        session.missed_before = session.missed_runs();
        memory::without_types(&mut session.loaded.btf);
        let Self { tracker, maps, start, .. } = &mut session;
        let look = if is_looked_at { Look::WhoRan } else { Look::Everyone };
        tracker.look(maps, &start.counted, &start.namespaces, look);
        memory::give_back();
        Ok(session)
    }
}

/// Makes the rows of the listeners that are chosen now, before anything can take their room: those of the system's own
/// users first. Returns whether all processes were looked at for that.
fn make_rows(
    maps: &mut Maps,
    tracker: &mut Tracker,
    existing: &BTreeMap<u64, Namespace>,
) -> Result<bool> {
    let asks = tracker.selection.asks_for_processes();
    if asks {
        tracker.look(maps, &Snapshot::default(), existing, Look::Everyone);
    }
    let all = existing.iter().flat_map(|(netns, one)| {
        one.sockets.iter().map(move |socket| (*netns, one.cookie, socket))
    });
    let mut chosen: Vec<_> = all
        .filter(|(.., one)| one.inode != 0 && tracker.selection.contains(one.inode, one.port))
        .collect();
    chosen.sort_by_key(|(netns, _, one)| (one.uid, *netns, one.port));
    for (netns, cookie, socket) in chosen.into_iter().take(MADE_BEFOREHAND) {
        if !maps.make_rows(socket.inode, row_of(netns, cookie, socket))? {
            break;
        }
    }
    Ok(asks)
}

/// What is known of a listener before a kernel program has seen it.
fn row_of(netns: u64, netns_cookie: Option<u64>, socket: &Socket) -> ListenerInfo {
    ListenerInfo {
        cookie: socket.cookie.unwrap_or(0),
        netns_cookie: netns_cookie.unwrap_or(0),
        netns: u32::try_from(netns).unwrap_or(0),
        limit: socket.limit.unwrap_or(0),
        port: socket.port,
        ..ListenerInfo::default()
    }
}

/// Finds the tasks that are blocked in accept now: exit programs do not run for their calls.
fn note_in_flight(maps: &mut Maps, namespaces: &BTreeMap<u64, Namespace>) {
    let sockets = namespaces.values().flat_map(|namespace| &namespace.sockets);
    let all = sockets.map(|socket| socket.inode).collect();
    let holdings = holders::scan(&all);
    let held = holdings.iter().map(|(listener, all)| (*listener, all.as_slice()));
    for (listener, waiters) in waiters::in_accept(held) {
        for waiter in waiters {
            maps.add_in_flight(waiter.tid, listener, REACHED_QUEUE);
        }
    }
}

/// What the tracepoints of socks have to do: only what no better hook does.
fn ready_roles(attached: &Attached) -> u32 {
    let role = |signal, role| match attached.provider(signal) {
        Some(probes::Provider::Tracepoint) => role,
        _ => 0,
    };
    let life = match attached.provider(Signal::Life) {
        Some(probes::Provider::Fentry) => 0,
        _ => STATE_LIFE,
    };
    role(Signal::Handshakes, READY_QUEUES) | role(Signal::Wakeups, READY_WAKES) | life
}
