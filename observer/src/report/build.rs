//! Making a report. Everything that it needs is handed in, so that it can be tested without a
//! kernel.

use std::collections::{BTreeMap, HashMap};

use observer_common::counters::{FLAG_REUSEPORT, ListenerInfo, QueueStats};

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
        audit::Readings,
        counts,
        memo::{self, Memo, Quiet},
        model::{Family, Host, Listener, Providers, Report, SCHEMA_VERSION, Tool, Window},
        place::{Groups, address, by_inode},
        queues,
        refusals::Refusals,
        told::Told,
        waits::{Histogram, accept_wait},
        workers::{errors, merge_errors, rows, workers},
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

/// Makes the report. What was told of listeners on which nothing happened is told again by `memo`.
#[must_use]
pub fn build(input: Input<'_>, memo: &mut Memo) -> Report {
    let sockets = by_inode(input.now);
    let earlier = by_inode(input.before);
    let refusals = Refusals::of(&input, &sockets, &earlier);
    memo.settle(input.now, input.before);
    let groups = Groups::of(sockets.values().copied());
    let mut listeners: Vec<_> = ids(&input, &sockets)
        .into_iter()
        .filter_map(|id| {
            let one = One {
                id,
                socket: sockets.get(&id),
                earlier: earlier.get(&id),
                info: input.counted.listeners.get(&id),
            };
            told(&input, one, &refusals, &groups, memo)
        })
        .collect();
    memo.forget(|id| sockets.contains_key(&id), sockets.len());
    let place = |one: &Told| (one.netns, one.port, one.family);
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
    if input.missed_runs != 0 || input.counted.misc.map_full != 0 {
        // What a program did not see, or found no room for, nobody counted.
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

/// The listeners that are chosen, about in the order in which they are told.
fn ids(input: &Input<'_>, sockets: &HashMap<u64, (u64, &Socket)>) -> Vec<u64> {
    let chosen = |id: u64, port: u16| input.selection.contains(id, port);
    let open = sockets.iter().map(|(id, (netns, socket))| (*netns, socket.port, *id));
    let closed = input.counted.listeners.iter().filter(|(id, _)| !sockets.contains_key(*id));
    let closed = closed.map(|(id, info)| (u64::from(info.netns), info.port, *id));
    let mut ids: Vec<_> = open.chain(closed).filter(|(_, port, id)| chosen(*id, *port)).collect();
    ids.sort_unstable();
    ids.into_iter().map(|(_, _, id)| id).collect()
}

/// All that is known of one listener's identity.
#[derive(Clone, Copy)]
struct One<'a> {
    id: u64,
    socket: Option<&'a (u64, &'a Socket)>,
    earlier: Option<&'a (u64, &'a Socket)>,
    info: Option<&'a ListenerInfo>,
}

fn told(
    input: &Input<'_>,
    one: One<'_>,
    refusals: &Refusals,
    groups: &Groups,
    memo: &mut Memo,
) -> Option<Told> {
    let reuseport = one.info.map(|info| info.flags & FLAG_REUSEPORT != 0).or_else(|| {
        let is_one_of = one.socket.is_some_and(|(netns, socket)| groups.contains(*netns, socket));
        is_one_of.then_some(true)
    });
    let Some(quiet) = quiet(input, one, refusals, reuseport) else {
        return listener(input, one, refusals, reuseport).map(Told::from);
    };
    let holdings = input.holdings.get(&one.id).map(Vec::as_slice).unwrap_or_default();
    let waiters = input.waiters.get(&one.id).map(Vec::as_slice).unwrap_or_default();
    if let Some(told) = memo.recall(one.id, &quiet, holdings, waiters) {
        return Some(told);
    }
    let told = Told::from(listener(input, one, refusals, reuseport)?);
    memo.keep(one.id, quiet, &told);
    Some(told)
}

/// All that is told of a listener on which nothing happened follows from this; `None` where something
/// did, or where more than this matters.
fn quiet(
    input: &Input<'_>,
    one: One<'_>,
    refusals: &Refusals,
    reuseport: Option<bool>,
) -> Option<Quiet> {
    let One { id, socket, earlier: _, info } = one;
    let (netns, socket) = socket?;
    // Without inet_diag the limit and the cookie are those of an earlier time. How long the oldest
    // connection has waited changes while it waits.
    if socket.limit.is_none() || socket.cookie.is_none() || socket.queue != 0 {
        return None;
    }
    let counted = input.counted;
    let none_queued = counted.queues.get(&id).is_none_or(memo::nothing_counted);
    let none_active = rows(input, id).next().is_none() && errors(input, id).next().is_none();
    if !none_queued || !none_active || !Histogram::of(&counted.waits, id).is_empty() {
        return None;
    }
    Some(Quiet {
        netns: *netns,
        socket: (*socket).clone(),
        info: info.copied().map(Box::new),
        reuseport,
        asked: counted.asked.get(&id).copied(),
        requests: input.requests.get(&id).copied(),
        reasons: refusals.inferred(id),
    })
}

fn listener(
    input: &Input<'_>,
    one: One<'_>,
    refusals: &Refusals,
    reuseport: Option<bool>,
) -> Option<Listener> {
    let One { id, socket, earlier, info } = one;
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
        reuseport,
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

/// `wakeups / accepted`, unknown when nothing was accepted.
fn ratio(wakeups: u64, accepted: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 52 bits of a count")]
    (accepted != 0).then(|| wakeups as f64 / accepted as f64)
}
