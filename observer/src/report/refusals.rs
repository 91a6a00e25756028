//! What was refused, as it was counted or as it is inferred.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use observer_common::counters::QueueStats;

use crate::{
    bpf::snapshot::Snapshot,
    host::netns::NetnsId,
    model::{Audit, Drops, NoRoom, Via},
    report::{
        attribute::{self, Counters, Share, Traces},
        audit::{self, Seen},
        drops,
        input::Input,
        join::Joined,
    },
};

/// What was refused, by whom and why.
pub(super) enum Refusals {
    /// The kernel programs counted it.
    Counted(HashMap<NetnsId, Seen>),
    /// It was inferred, with the help of the kernel's counters, which it is no witness for.
    Inferred(Inferred),
}

/// What was inferred.
#[derive(Default)]
pub(super) struct Inferred {
    /// By listener, of those that dropped anything or can have done so.
    shares: HashMap<u64, Share>,
    /// By namespace: how many drops cannot be told whose they are.
    unattributed: HashMap<NetnsId, u64>,
}

impl Inferred {
    fn of(&self, id: u64) -> Share {
        let nothing = Share { reasons: Some(attribute::Reasons::default()), ..Share::default() };
        self.shares.get(&id).copied().unwrap_or(nothing)
    }
}

impl Refusals {
    /// Of all listeners, in their order.
    pub(super) fn of(input: &Input<'_>, all: &[Joined<'_>]) -> Self {
        let by_namespace = all.chunk_by(|one, next| one.netns == next.netns);
        if input.providers.drops.via.sees_functions() {
            let seen = by_namespace.map(|ones| {
                let queues = ones.iter().filter_map(|one| input.counted.queues.get(&one.id));
                (ones[0].netns, Seen::counted(queues))
            });
            return Self::Counted(seen.collect());
        }
        let mut inferred = Inferred::default();
        for ones in by_namespace {
            let netns = ones[0].netns;
            let known: Vec<_> =
                ones.iter().filter_map(|one| Some((one.id, traces(input, one)?))).collect();
            let traces: Vec<_> = known.iter().map(|(_, traces)| *traces).collect();
            let shares = match namespace_counters(input, netns) {
                Some((low, high)) => {
                    let shares = attribute::attribute_between(&traces, low, high);
                    let told = shares.iter().fold(0_u64, |sum, one| sum.saturating_add(one.least));
                    inferred.unattributed.insert(netns, low.drops.saturating_sub(told));
                    shares
                }
                None => traces.iter().map(attribute::alone).collect(),
            };
            inferred.shares.extend(known.iter().map(|(id, _)| *id).zip(shares));
        }
        Self::Inferred(inferred)
    }

    /// Of a listener with its row, where it is known.
    pub(super) fn of_listener(&self, queue: Option<&QueueStats>, id: u64) -> Drops {
        match self {
            Self::Counted(_) => queue.map(drops::counted).unwrap_or_default(),
            Self::Inferred(inferred) => drops::inferred(&inferred.of(id)),
        }
    }

    /// Those of a listener that were inferred.
    pub(super) fn inferred(&self, id: u64) -> Option<Share> {
        match self {
            Self::Counted(_) => None,
            Self::Inferred(inferred) => Some(inferred.of(id)),
        }
    }

    /// `incomplete` shown listeners in the `shown` namespaces have numbers that are too low.
    pub(super) fn audit(
        &self,
        input: &Input<'_>,
        shown: BTreeSet<NetnsId>,
        incomplete: u64,
    ) -> Audit {
        let (none, nobody) = (HashMap::new(), HashMap::new());
        let (seen, nothing, unattributed) = match self {
            Self::Counted(seen) => (seen, Seen::counted([].into_iter()), &nobody),
            Self::Inferred(inferred) => (&none, Seen::default(), &inferred.unattributed),
        };
        audit::audit(&audit::Input {
            shown,
            start: input.start,
            end: input.end,
            seen,
            nothing,
            unattributed,
            events_lost: input.counted.misc.events_lost,
            no_room: no_room(input.counted),
            incomplete,
            unsettled: input.counted.unsettled,
            unanswered: input.unanswered,
            missed_runs: input.missed_runs,
        })
    }
}

/// What is known of a listener; `None` of one that can have dropped nothing, as most.
fn traces(input: &Input<'_>, one: &Joined<'_>) -> Option<Traces> {
    let queue = input.counted.queues.get(&one.id);
    let sees_acks = input.providers.drops.via == Via::Tracepoint && input.sees_refused_acks;
    let acks = sees_acks.then(|| queue.map_or(0, |queue| queue.drops.iter().sum()));
    let counter = counter(one);
    let can_have = counter != Some(0) || acks.is_some_and(|acks| acks != 0);
    can_have.then(|| Traces {
        counter,
        acks,
        overflowed: may_have_overflowed(input, one, queue),
        last_quarter: came_into_last_quarter(input, one, queue),
    })
}

/// Whether a listener's accept queue was full at any time: when the window began, when it was looked at, or
/// after a connection was added. Where connections may have been missed, it may have been.
fn may_have_overflowed(input: &Input<'_>, one: &Joined<'_>, queue: Option<&QueueStats>) -> bool {
    if !input.providers.handshakes.exact
        || input.missed_runs != 0
        || input.counted.incomplete.contains(one.id)
    {
        return true;
    }
    let looks = [one.earlier, one.socket];
    let limits = looks.iter().flatten().filter_map(|socket| socket.limit);
    let Some(limit) = limits.chain(one.info.map(|info| info.limit)).min() else { return true };
    let most = looks.iter().flatten().map(|socket| u64::from(socket.queue)).max().unwrap_or(0);
    queue.map_or(0, |queue| queue.depth_max).max(most) > u64::from(limit)
}

/// Whether the last quarter of `tcp_max_syn_backlog` began within a listener's SYN queue, as far as its length
/// was seen: there, without cookies, unknown clients are refused (`tcp_conn_request`).
fn came_into_last_quarter(input: &Input<'_>, one: &Joined<'_>, queue: Option<&QueueStats>) -> bool {
    let Some(namespace) = input.namespace(one.netns) else { return false };
    let (Some(0), Some(most)) = (namespace.syncookies, namespace.tcp_max_syn_backlog) else {
        return false;
    };
    let seen = queue.map_or(0, |queue| queue.syn_max);
    let now = input.requests.at(one.netns.inode, one.id).unwrap_or(0);
    seen.max(now) > most - most / 4
}

/// What found no room in the window.
fn no_room(counted: &Snapshot) -> NoRoom {
    let full = counted.misc.no_room;
    NoRoom {
        listeners: full.listeners,
        tasks: full.tasks,
        workers: full.workers,
        wakeups: full.wakeups,
        errors: full.errors,
        waits: full.waits,
        calls: full.calls,
        backlogs: full.backlogs,
        processes: full.processes,
        closed: counted.forgotten,
        lives: full.lives,
    }
}

/// By how much a socket's own counter of refusals grew in the window.
fn counter(one: &Joined<'_>) -> Option<u64> {
    let now = match (one.socket, one.info) {
        (Some(socket), _) => socket.drops?,
        (None, Some(info)) if info.closed != 0 => info.drops,
        _ => return None,
    };
    // A socket that did not listen when the window began had refused nobody.
    let before = one.earlier.map_or(Some(0), |socket| socket.drops)?;
    // The counter is an int that wraps.
    Some(u64::from(now.wrapping_sub(before)))
}

/// By how much a namespace's counters grew in the window, at least and at most: they may have grown while its
/// ends were read. `None` of one that is gone, or whose counters could not be read.
fn namespace_counters(input: &Input<'_>, netns: NetnsId) -> Option<(Counters, Counters)> {
    let (start, end) = audit::ends(netns, input.start, input.end)?;
    let of = |values: &BTreeMap<String, u64>, name: &str| values.get(name).copied();
    let syncookies = input.namespace(netns).and_then(|namespace| namespace.syncookies);
    let counters = |grown: &dyn Fn(&str) -> Option<u64>| {
        Some(Counters {
            drops: grown("ListenDrops")?,
            overflows: grown("ListenOverflows").unwrap_or(0),
            syn_queue_full: grown("TCPReqQFullDrop").unwrap_or(0),
            cookies: grown("TCPReqQFullDoCookies") != Some(0) || syncookies == Some(2),
        })
    };
    let most = |name: &str| {
        let then = start.and_then(|start| of(&start.before, name)).unwrap_or(0);
        Some(of(&end.after, name)?.saturating_sub(then))
    };
    let least = |name: &str| {
        let then = start.and_then(|start| of(&start.after, name)).unwrap_or(0);
        Some(of(&end.before, name)?.saturating_sub(then).min(most(name)?))
    };
    let high = counters(&most)?;
    let low = counters(&least)?;
    Some((Counters { cookies: high.cookies, ..low }, high))
}
