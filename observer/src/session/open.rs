//! Opening a window: facts, plan, programs, and what there is before it.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    time::Duration,
};

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
    memory, muting,
    sample::{Counters, Sample},
    syn_requests::Requests,
    tracker::{self, Tracker},
    turns::Turns,
};
use crate::{
    bpf::{
        attach::{Attached, attach_all},
        events::Events,
        load::load,
        maps::Maps,
        muted::Muted,
        room::MADE_BEFOREHAND,
        snapshot::Snapshot,
        status,
        watches::{self, Watches},
    },
    config::Config,
    host::{
        descendants, holders,
        identity::Identities,
        inet_diag::Socket,
        netns::{self, Namespaces},
        netns_handles::Places,
        patience::Patience,
        processes::{Look, Processes},
        task_state, waiters,
        waits::Waits,
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
        let existing = netns::look_at_all(&mut places, &mut processes, |_| false);
        let count = existing.values().map(|one| one.sockets.len()).sum();
        let request = Request {
            provider: config.provider,
            pid_filter: !pids.is_empty(),
            cost: config.cost,
            listeners: count,
            max_listeners: config.max_listeners,
            map_memory: config.map_memory,
            least_maps: config.least_maps,
            tells_accepts: config.events.contains(&EventKind::Accepted),
            mutes: !config.events.is_empty() && config.filters.ask_for_processes(),
            cpus: aya::util::nr_cpus().unwrap_or(1),
            ports: &config.filters.port,
        };
        let plan = plan(&facts, request)?;
        // Kernels before 5.11 count maps as locked memory. Where the limit cannot be raised, maps
        // that do not fit say so themselves.
        let _unchanged = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
        let mut loaded = load(&plan, &config.events, config.debug_lines)?;
        let mut attached = attach_all(&mut loaded, &plan)?;
        if let Err(error) = watches::load(&mut loaded) {
            log::warn!("the kernel does not tell how processes wait for listeners: {error:#}");
        }
        let events =
            if config.events.is_empty() { None } else { Some(Events::open(&mut loaded.ebpf)?) };
        let mut muted = match (&events, config.filters.ask_for_processes()) {
            (Some(_), true) => Some(Muted::take(&mut loaded.ebpf, !pids.is_empty())?),
            _ => None,
        };
        let mut watches = Watches::take(&mut loaded)?;
        let mut maps = Maps::take(&mut loaded.ebpf, &plan.sizes, config.forget_closed)?;
        // Forks are followed from here on, so that no child slips through between the two.
        if !pids.is_empty() {
            // Those that were named come first: where there is no room for all, what they hold is chosen.
            for pid in pids.iter().copied().chain(descendants::of(pids)) {
                maps.add_to_tree(pid);
            }
        }
        let mut tracker = Tracker::new(config.filters.clone(), processes);
        let is_looked_at = make_rows(&mut maps, &mut tracker, &existing)?;
        // Before the window opens, or a busy neighbour fills the buffers until it is muted.
        if let Some(muted) = &mut muted {
            muting::mute_others(muted, &tracker.selection, &existing);
        }
        let processes = &mut tracker.processes;
        places.find(processes);
        let namespaces = netns::look_at_all(&mut places, processes, |_| false);
        // Before the tasks are looked at that are in accept: kprobes note those that come later.
        let sockets = || namespaces.values().flat_map(|namespace| &namespace.sockets);
        if sockets().any(|socket| config.filters.port.contains(&socket.port)) {
            maps.mark_port_seen()?;
        }
        if attached.provider(Signal::Accepts) != Some(probes::Provider::Tracepoint) {
            note_in_flight(&mut maps, &tracker::waits(&mut watches, &mut loaded, |_| true));
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
        let before = Counters::Looked(namespaces.clone());
        let mut start = Sample::new(Snapshot::default(), before, namespaces, 0);
        start.after = Some(Counters::read(&places, &start.namespaces));
        let identities = Identities::new(tracker.patience.clone());
        let mut session = Self {
            last: start.clone(),
            start,
            loaded,
            watches,
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
            identities: RefCell::new(identities),
            places,
            quiet: Namespaces::new(),
            turns: Turns::default(),
            searches: Budget::new(),
            requests: Requests::new(),
            last_seen: LastSeen::default(),
            shows_idle: config.idle,
            forgets_closed: config.forget_closed,
            missed_before: 0,
            kprobes_tell: false,
            kinds: config.events.clone(),
            telling: Telling::default(),
            lost_in_kernel: 0,
            lost_told: 0,
            muted,
            events,
        };
        session.kprobes_tell = status::kprobes_tell(&session.loaded.ebpf);
        session.missed_before = session.missed_runs();
        memory::without_types(&mut session.loaded.btf);
        let Self { tracker, maps, start, last_seen, .. } = &mut session;
        let look = if is_looked_at { Look::WhoRan } else { Look::Everyone };
        let namespaces = (&start.namespaces, &Namespaces::new());
        tracker.look(maps, &start.counted, namespaces, look);
        let holdings = tracker.processes.holdings().values().flatten();
        task_state::note_first(
            holdings.map(|holding| holding.holder.pid),
            &mut last_seen.descriptors,
        );
        let start = session.start.clone();
        session.mute_others(&start);
        memory::give_back();
        Ok(session)
    }
}

/// Makes the rows of the listeners that are chosen now, before anything can take their room: those of the system's own
/// users first. Returns whether all processes were looked at for that.
fn make_rows(maps: &mut Maps, tracker: &mut Tracker, existing: &Namespaces) -> Result<bool> {
    let asks = tracker.selection.asks_for_processes();
    if asks {
        let namespaces = (existing, &Namespaces::new());
        tracker.look(maps, &Snapshot::default(), namespaces, Look::Everyone);
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

/// How long the tasks of one process may take to be looked at when the window opens: ten thousand take a quarter of a
/// second.
const PATIENCE: Duration = Duration::from_secs(10);

/// Finds the tasks that are blocked in accept now: exit programs do not run for their calls.
fn note_in_flight(maps: &mut Maps, waits: &Waits) {
    for (listener, waiter) in waits.in_accept() {
        maps.add_in_flight(waiter.tid, listener, REACHED_QUEUE);
    }
    if waits.cut.is_empty() {
        return;
    }
    // More wait than were told, so all tasks of the holders are asked.
    let holdings = holders::scan(&waits.cut.iter().copied().collect());
    let held: HashMap<(u32, i32), u64> = holdings
        .iter()
        .flat_map(|(id, all)| all.iter().map(|one| ((one.holder.pid, one.holder.fd), *id)))
        .collect();
    let pids: BTreeSet<u32> = held.keys().map(|(pid, _)| *pid).collect();
    let found = Patience::of(PATIENCE).each(pids.into_iter().collect(), waiters::in_accept);
    for (pid, tasks) in found {
        for (tid, descriptor) in tasks.unwrap_or_default() {
            if let Some(listener) = held.get(&(pid, descriptor)) {
                maps.add_in_flight(tid, *listener, REACHED_QUEUE);
            }
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
