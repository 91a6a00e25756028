//! Making a report. Everything that it needs is handed in, so that it can be tested without a
//! kernel.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use nix::errno::Errno;
use observer_common::{
    counters::{FLAG_REUSEPORT, ListenerInfo, QueueStats, WorkerStats},
    hist::depth_bound,
};

use crate::{
    bpf::snapshot::Snapshot,
    listener::{
        diag::Socket,
        holders::{Holding, Holdings},
        namespaces::{COUNTERS, Namespace},
        select::Selection,
        waiters::Waiter,
    },
    report::{
        counts,
        model::{
            AcceptQueue, Audit, AuditCounter, Backlog, Bucket, Drops, Family, Host, Listener,
            NetnsAudit, Providers, Report, SCHEMA_VERSION, Tool, Via, Window, Worker,
        },
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
    /// The network namespaces when the window began.
    pub before: &'a BTreeMap<u64, Namespace>,
    /// The network namespaces now.
    pub now: &'a BTreeMap<u64, Namespace>,
    /// Who holds which listener.
    pub holdings: &'a Holdings,
    /// Tasks that wait for each listener now.
    pub waiters: &'a HashMap<u64, Vec<Waiter>>,
    /// Which listeners to show.
    pub selection: &'a Selection,
    /// Program runs that the kernel skipped.
    pub missed_runs: u64,
}

/// Makes the report.
#[must_use]
pub fn build(input: Input<'_>) -> Report {
    let sockets = by_inode(input.now);
    let earlier = by_inode(input.before);
    let ids = sockets.keys().chain(input.counted.listeners.keys()).copied().collect::<HashSet<_>>();
    let mut listeners: Vec<_> = ids
        .into_iter()
        .filter_map(|id| listener(&input, id, sockets.get(&id), earlier.get(&id)))
        .filter(|listener| input.selection.contains(listener.inode, listener.port))
        .collect();
    mark_reuseport_groups(&mut listeners);
    listeners.sort_by_key(|one| (one.netns, one.port, one.family, one.address.clone(), one.inode));
    let audit = audit(&input, &listeners);
    let mut providers = input.providers;
    let queues = listeners.iter().filter_map(|one| input.counted.queues.get(&one.inode));
    let inferred: u64 = queues.map(|queue| queue.inferred).sum();
    if inferred != 0 {
        providers.wakeups.exact = false;
        providers.wakeups.inferred = Some(inferred);
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

/// Sockets with the network namespace that they are in.
fn by_inode(namespaces: &BTreeMap<u64, Namespace>) -> HashMap<u64, (u64, &Socket)> {
    namespaces
        .iter()
        .flat_map(|(netns, namespace)| {
            namespace.sockets.iter().map(|socket| (socket.inode, (*netns, socket)))
        })
        .filter(|(inode, _)| *inode != 0)
        .collect()
}

fn listener(
    input: &Input<'_>,
    id: u64,
    socket: Option<&(u64, &Socket)>,
    earlier: Option<&(u64, &Socket)>,
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
        // The tracepoint sees connections only, not what became none.
        handshakes_failed: (input.providers.handshakes.via != Via::Tracepoint)
            .then_some(queue.failed),
        accepted,
        wakeups,
        herd_ratio: ratio(wakeups.total, accepted),
        accept_errors: merge_errors(&workers),
        accept_queue: AcceptQueue {
            now: socket.map(|socket| u64::from(socket.queue)),
            // What was there before the window, and still is, was seen in it too.
            max: queue.depth_max.max(socket.map_or(0, |socket| u64::from(socket.queue))),
            limit,
            histogram: histogram(&queue),
        },
        syn_queue: None,
        backlog: backlog(limit, input.now.get(&netns)),
        accept_wait: None,
        drops: Drops { total: drops(socket, earlier, info), by_reason: None },
        fairness: counts::jain(&taken),
        workers,
        findings: Vec::new(),
    })
}

/// Refusals in the window, by the socket's own counter.
fn drops(
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

fn workers(input: &Input<'_>, id: u64) -> Vec<Worker> {
    let mut workers = BTreeMap::<(u32, u32), Worker>::new();
    for waiter in input.waiters.get(&id).into_iter().flatten() {
        workers.insert((waiter.pid, waiter.tid), worker(waiter.pid, waiter.tid, &waiter.comm));
    }
    let rows = input.counted.workers.iter().filter(|(key, _)| key.listener == id);
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
    let errors = input.counted.errors.iter().filter(|(key, _)| key.worker.listener == id);
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

fn histogram(queue: &QueueStats) -> Vec<Bucket> {
    let Some(last) = queue.depth.iter().rposition(|count| *count != 0) else { return Vec::new() };
    queue.depth[..=last]
        .iter()
        .enumerate()
        .filter_map(|(bucket, count)| Some(Bucket { le: depth_bound(bucket)?, count: *count }))
        .collect()
}

/// The limits on the queues of a listener in this namespace.
#[must_use]
pub fn backlog(limit: Option<u64>, namespace: Option<&Namespace>) -> Backlog {
    let somaxconn = namespace.and_then(|namespace| namespace.somaxconn);
    Backlog {
        limit,
        somaxconn,
        tcp_max_syn_backlog: namespace.and_then(|namespace| namespace.tcp_max_syn_backlog),
        syncookies: namespace.and_then(|namespace| namespace.syncookies),
        abort_on_overflow: namespace.and_then(|namespace| namespace.abort_on_overflow),
        clamped: None,
        at_somaxconn: limit.zip(somaxconn).map(|(limit, somaxconn)| limit >= somaxconn),
    }
}

/// `wakeups / accepted`, unknown when nothing was accepted.
fn ratio(wakeups: u64, accepted: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 52 bits of a count")]
    (accepted != 0).then(|| wakeups as f64 / accepted as f64)
}

fn address(info: &ListenerInfo) -> IpAddr {
    let [a, b, c, d, ..] = info.address;
    if i32::from(info.family) == libc::AF_INET6 {
        IpAddr::V6(Ipv6Addr::from(info.address))
    } else {
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    }
}

/// A name that the kernel keeps, up to its first zero.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// Listeners on one address and port of one namespace can only be there with SO_REUSEPORT, which
/// settles it for those that no program has seen.
fn mark_reuseport_groups(listeners: &mut [Listener]) {
    let mut places = HashMap::<_, u32>::new();
    let place = |one: &Listener| (one.netns, one.family, one.address.clone(), one.port);
    for one in listeners.iter().filter(|one| !one.closed) {
        *places.entry(place(one)).or_default() += 1;
    }
    for one in listeners.iter_mut().filter(|one| one.reuseport.is_none()) {
        if places.get(&place(one)).is_some_and(|count| *count > 1) {
            one.reuseport = Some(true);
        }
    }
}

fn audit(input: &Input<'_>, listeners: &[Listener]) -> Audit {
    let shown = listeners.iter().map(|one| one.netns).collect::<std::collections::BTreeSet<_>>();
    let netns = shown.into_iter().map(|netns| {
        let counters = COUNTERS.iter().map(|name| {
            let read = |namespaces: &BTreeMap<u64, Namespace>| {
                namespaces.get(&netns).and_then(|namespace| namespace.counters.get(*name)).copied()
            };
            // A namespace that was not there when the window began had counted nothing.
            let before =
                if input.before.contains_key(&netns) { read(input.before) } else { Some(0) };
            let kernel =
                read(input.now).zip(before).map(|(now, before)| now.saturating_sub(before));
            ((*name).to_owned(), AuditCounter { kernel, observed: None })
        });
        NetnsAudit { netns, counters: counters.collect() }
    });
    Audit {
        events_lost: input.counted.misc.events_lost,
        map_full: input.counted.misc.map_full,
        missed_runs: input.missed_runs,
        netns: netns.collect(),
    }
}
