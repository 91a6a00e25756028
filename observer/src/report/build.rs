//! Making a report. Everything that it needs is handed in, so that it can be tested without a
//! kernel.

use std::collections::{BTreeMap, HashMap, HashSet};

use nix::errno::Errno;
use observer_common::counters::{FLAG_REUSEPORT, ListenerInfo, QueueStats, WorkerKey, WorkerStats};

use crate::{
    bpf::snapshot::Snapshot,
    listener::{
        diag::Socket,
        holders::{Holding, Holdings},
        namespaces::Namespace,
        select::Selection,
        waiters::Waiter,
    },
    report::{
        audit::{self, Readings, Seen},
        counts,
        drops::{self, Counters, Reasons, Traces},
        model::{
            Audit, Drops, Family, Host, Listener, Providers, Report, SCHEMA_VERSION, Tool, Via,
            Window, Worker,
        },
        place::{address, by_inode, mark_reuseport_groups},
        queues,
        waits::{Histogram, accept_wait},
    },
};

/// Everything that a report is made from.
pub struct Input<'a> {
    /// Where.
    pub host: &'a Host,
    /// When.
    pub window: Window,
    /// Which hooks.
    pub providers: Providers,
    /// What was counted in the window.
    pub counted: &'a Snapshot,
    /// `CLOCK_MONOTONIC` when it was counted, in nanoseconds.
    pub clock: u64,
    /// The namespaces' counters where the window begins.
    pub start: &'a Readings,
    /// And where it ends.
    pub end: &'a Readings,
    /// The network namespaces when the window began.
    pub before: &'a BTreeMap<u64, Namespace>,
    /// The network namespaces now.
    pub now: &'a BTreeMap<u64, Namespace>,
    /// Who holds which listener.
    pub holdings: &'a Holdings,
    /// Tasks that wait for each listener now.
    pub waiters: &'a HashMap<u64, Vec<Waiter>>,
    /// Requests that wait in the SYN queue of each listener now, where it is known.
    pub requests: &'a HashMap<u64, u64>,
    /// Which listeners to show.
    pub selection: &'a Selection,
    /// Whether final ACKs are seen that found the accept queue full, with tracepoints only.
    pub sees_refused_acks: bool,
    /// Program runs that the kernel skipped.
    pub missed_runs: u64,
}

/// Makes the report.
#[must_use]
pub fn build(input: Input<'_>) -> Report {
    let sockets = by_inode(input.now);
    let earlier = by_inode(input.before);
    let refusals = Refusals::of(&input, &sockets, &earlier);
    let ids = sockets.keys().chain(input.counted.listeners.keys()).copied().collect::<HashSet<_>>();
    let mut listeners: Vec<_> = ids
        .into_iter()
        .filter_map(|id| listener(&input, id, sockets.get(&id), earlier.get(&id), &refusals))
        .filter(|listener| input.selection.contains(listener.inode, listener.port))
        .collect();
    mark_reuseport_groups(&mut listeners);
    let place = |one: &Listener| (one.netns, one.port, one.family);
    listeners.sort_by(|one, other| {
        let by_place = place(one).cmp(&place(other));
        by_place.then_with(|| (&one.address, one.inode).cmp(&(&other.address, other.inode)))
    });
    let audit = refusals.audit(&input, listeners.iter().map(|one| one.netns).collect());
    let mut providers = input.providers;
    let queues = listeners.iter().filter_map(|one| input.counted.queues.get(&one.inode));
    let inferred: u64 = queues.map(|queue| queue.inferred).sum();
    if inferred != 0 {
        providers.wakeups.exact = false;
        providers.wakeups.inferred = Some(inferred);
    }
    if input.missed_runs != 0 {
        // What a program did not see, nobody counted.
        for provider in [&mut providers.wakeups, &mut providers.accepts, &mut providers.handshakes]
        {
            provider.exact = false;
        }
    }
    Report {
        schema_version: SCHEMA_VERSION,
        tool: Tool { name: "observer".into(), version: env!("CARGO_PKG_VERSION").into() },
        host: input.host.clone(),
        window: input.window,
        providers,
        listeners,
        audit,
    }
}

fn listener(
    input: &Input<'_>,
    id: u64,
    socket: Option<&(u64, &Socket)>,
    earlier: Option<&(u64, &Socket)>,
    refusals: &Refusals,
) -> Option<Listener> {
    let info = input.counted.listeners.get(&id);
    let (netns, address, port) = match (socket, info) {
        (Some((netns, socket)), _) => (*netns, socket.address, socket.port),
        (None, Some(info)) => (u64::from(info.netns), address(info), info.port),
        (None, None) => return None,
    };
    let socket = socket.map(|(_, socket)| *socket);
    let earlier = earlier.map(|(_, socket)| *socket);
    let closed = socket.is_none() && info.is_some_and(|info| info.closed != 0);
    let holdings = input.holdings.get(&id).map(Vec::as_slice).unwrap_or_default();
    let workers = workers(input, id);
    let wakeups = counts::sum(workers.iter().map(|worker| worker.wakeups));
    let accepted = workers.iter().map(|worker| worker.accepted).sum();
    let queue = input.counted.queues.get(&id).copied().unwrap_or(QueueStats::ZERO);
    let limit = socket
        .or(earlier)
        .and_then(|socket| socket.limit)
        .or_else(|| info.map(|info| info.limit))
        .map(u64::from);
    let taken: Vec<u64> = workers.iter().map(|worker| worker.accepted).collect();
    Some(Listener {
        netns,
        cookie: socket
            .or(earlier)
            .and_then(|socket| socket.cookie)
            .or_else(|| info.map(|info| info.cookie).filter(|cookie| *cookie != 0)),
        inode: id,
        family: if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 },
        address: address.to_string(),
        port,
        reuseport: info.map(|info| info.flags & FLAG_REUSEPORT != 0),
        closed,
        holders: holdings.iter().map(|holding: &Holding| holding.holder.clone()).collect(),
        queued: queue.queued,
        accepted,
        wakeups,
        herd_ratio: ratio(wakeups.total, accepted),
        accept_errors: merge_errors(&workers),
        accept_queue: queues::accept_queue(&queue, socket, limit),
        syn_queue: queues::syn_queue(
            &queue,
            input.requests.get(&id).copied(),
            limit,
            input.providers.drops.exact,
        ),
        backlog: queues::backlog(
            limit,
            input.counted.asked.get(&id).copied().map(u64::from),
            input.now.get(&netns),
            input.before.get(&netns),
        ),
        accept_wait: accept_wait(
            &Histogram::of(&input.counted.waits, id),
            &queue,
            // A note of a connection that is there no more is no connection that waits.
            socket
                .filter(|socket| socket.queue != 0)
                .and_then(|_| input.counted.oldest.get(&id))
                .map(|entered| input.clock.saturating_sub(*entered)),
        ),
        drops: refusals.of_listener(&queue, id),
        fairness: counts::jain(&taken),
        workers,
        findings: Vec::new(),
    })
}

/// By how much a socket's own counter of refusals grew in the window.
fn counter(
    socket: Option<&Socket>,
    earlier: Option<&Socket>,
    info: Option<&ListenerInfo>,
) -> Option<u64> {
    let now = match (socket, info) {
        (Some(socket), _) => socket.drops?,
        (None, Some(info)) if info.closed != 0 => info.drops,
        _ => return None,
    };
    // A socket that did not listen when the window began had refused nobody.
    let before = earlier.map_or(Some(0), |socket| socket.drops)?;
    // The counter is an int that wraps.
    Some(u64::from(now.wrapping_sub(before)))
}

/// What was refused, by whom and why.
enum Refusals {
    /// The kernel programs counted it.
    Counted(HashMap<u64, Seen>),
    /// It was inferred, with the help of the kernel's counters, which it is no witness for. By
    /// listener; those whose own counter is not known are left out.
    Inferred(HashMap<u64, Reasons>),
}

impl Refusals {
    fn of(
        input: &Input<'_>,
        sockets: &HashMap<u64, (u64, &Socket)>,
        earlier: &HashMap<u64, (u64, &Socket)>,
    ) -> Self {
        let infos = &input.counted.listeners;
        let mut by_namespace = BTreeMap::<u64, Vec<u64>>::new();
        let closed = infos.iter().filter(|(id, _)| !sockets.contains_key(*id));
        let all = sockets
            .iter()
            .map(|(id, (netns, _))| (*id, *netns))
            .chain(closed.map(|(id, info)| (*id, u64::from(info.netns))));
        all.for_each(|(id, netns)| by_namespace.entry(netns).or_default().push(id));
        let queues = |ids: &[u64]| -> Vec<&QueueStats> {
            ids.iter().filter_map(|id| input.counted.queues.get(id)).collect()
        };
        if input.providers.drops.exact {
            let seen =
                |(netns, ids): (&u64, &Vec<u64>)| (*netns, Seen::counted(queues(ids).into_iter()));
            return Self::Counted(by_namespace.iter().map(seen).collect());
        }
        let sees_acks = input.providers.drops.via == Via::Tracepoint && input.sees_refused_acks;
        let mut reasons = HashMap::new();
        for (netns, ids) in by_namespace {
            let known: Vec<_> = ids
                .into_iter()
                .filter_map(|id| {
                    let socket = sockets.get(&id).map(|(_, socket)| *socket);
                    let before = earlier.get(&id).map(|(_, socket)| *socket);
                    let counter = counter(socket, before, infos.get(&id))?;
                    let queue = input.counted.queues.get(&id).unwrap_or(&QueueStats::ZERO);
                    let acks = sees_acks.then(|| queue.drops.iter().sum());
                    Some((id, Traces { counter, acks }))
                })
                .collect();
            let traces: Vec<_> = known.iter().map(|(_, traces)| *traces).collect();
            let inferred = drops::infer(&traces, namespace_counters(input, netns));
            reasons.extend(known.iter().map(|(id, _)| *id).zip(inferred));
        }
        Self::Inferred(reasons)
    }

    fn of_listener(&self, queue: &QueueStats, id: u64) -> Drops {
        match self {
            Self::Counted(_) => drops::counted(queue),
            Self::Inferred(reasons) => reasons.get(&id).map(drops::inferred).unwrap_or_default(),
        }
    }

    fn audit(&self, input: &Input<'_>, shown: std::collections::BTreeSet<u64>) -> Audit {
        let none = HashMap::new();
        let (seen, nothing) = match self {
            Self::Counted(seen) => (seen, Seen::counted([].into_iter())),
            Self::Inferred(_) => (&none, Seen::default()),
        };
        audit::audit(&audit::Input {
            shown,
            start: input.start,
            end: input.end,
            seen,
            nothing,
            events_lost: input.counted.misc.events_lost,
            map_full: input.counted.misc.map_full,
            missed_runs: input.missed_runs,
        })
    }
}

/// By how much a namespace's counters grew in the window.
fn namespace_counters(input: &Input<'_>, netns: u64) -> Counters {
    let grown = |name: &str| {
        let now = input.end.get(&netns).and_then(|one| one.after.get(name)).copied().unwrap_or(0);
        let start = input.start.get(&netns).and_then(|one| one.before.get(name)).copied();
        now.saturating_sub(start.unwrap_or(0))
    };
    Counters {
        drops: grown("ListenDrops"),
        overflows: grown("ListenOverflows"),
        syn_queue_full: grown("TCPReqQFullDrop"),
    }
}

fn workers(input: &Input<'_>, id: u64) -> Vec<Worker> {
    let mut workers = BTreeMap::<(u32, u32), Worker>::new();
    for waiter in input.waiters.get(&id).into_iter().flatten() {
        workers.insert((waiter.pid, waiter.tid), worker(waiter.pid, waiter.tid, &waiter.comm));
    }
    let rows = input.counted.workers.range(first_worker(id)..);
    let rows = rows.take_while(|(key, _)| key.listener == id);
    for (key, row) in rows.filter(|(_, row)| is_active(row)) {
        let comm = if key.tid == 0 { "(others)".into() } else { text(&row.comm) };
        let entry =
            workers.entry((key.pid, key.tid)).or_insert_with(|| worker(key.pid, key.tid, &comm));
        entry.wakeups = counts::wakeups(row);
        entry.accepted = row.accepted;
        if row.eagain != 0 {
            entry.accept_errors.insert("EAGAIN".into(), row.eagain);
        }
    }
    let errors = input.counted.errors.range(counts::first_error(first_worker(id))..);
    let errors = errors.take_while(|(key, _)| key.worker.listener == id);
    for (key, count) in errors.filter(|(_, count)| **count != 0) {
        let named = input.counted.workers.get(&key.worker);
        let comm = named.map(|row| text(&row.comm)).unwrap_or_default();
        let entry = workers
            .entry((key.worker.pid, key.worker.tid))
            .or_insert_with(|| worker(key.worker.pid, key.worker.tid, &comm));
        entry.accept_errors.insert(errno_name(key.errno), *count);
    }
    let mut workers: Vec<_> = workers.into_values().collect();
    workers.sort_by_key(|worker| {
        (std::cmp::Reverse((worker.accepted, worker.wakeups.total)), worker.pid, worker.tid)
    });
    workers
}

/// Where a listener's rows begin among all.
fn first_worker(listener: u64) -> WorkerKey {
    WorkerKey { listener, pid: 0, tid: 0 }
}

fn worker(pid: u32, tid: u32, comm: &str) -> Worker {
    Worker {
        pid,
        tid,
        comm: comm.to_owned(),
        wakeups: counts::sum([]),
        accepted: 0,
        accept_errors: BTreeMap::new(),
    }
}

fn is_active(row: &WorkerStats) -> bool {
    WorkerStats { comm: [0; 16], ..*row } != WorkerStats::ZERO
}

fn merge_errors(workers: &[Worker]) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for (name, count) in workers.iter().flat_map(|worker| &worker.accept_errors) {
        *sum.entry(name.clone()).or_insert(0) += count;
    }
    sum
}

/// The name of an errno, such as `EMFILE`.
#[must_use]
pub fn errno_name(errno: u32) -> String {
    match i32::try_from(errno).map(Errno::from_raw) {
        Ok(Errno::UnknownErrno) | Err(_) => format!("errno {errno}"),
        Ok(known) => format!("{known:?}"),
    }
}

/// `wakeups / accepted`, unknown when nothing was accepted.
fn ratio(wakeups: u64, accepted: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 52 bits of a count")]
    (accepted != 0).then(|| wakeups as f64 / accepted as f64)
}

/// A name that the kernel keeps, up to its first zero.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}
