//! What was refused, as it was counted or as it is inferred.

use std::collections::{BTreeMap, HashMap};

use observer_common::counters::{ListenerInfo, QueueStats};

use crate::{
    listener::diag::Socket,
    report::{
        audit::{self, Seen},
        build::Input,
        drops::{self, Counters, Reasons, Traces},
        model::{Audit, Drops, Via},
    },
};

/// What was refused, by whom and why.
pub(super) enum Refusals {
    /// The kernel programs counted it.
    Counted(HashMap<u64, Seen>),
    /// It was inferred, with the help of the kernel's counters, which it is no witness for. By
    /// listener; those whose own counter is not known are left out.
    Inferred(HashMap<u64, Reasons>),
}

impl Refusals {
    pub(super) fn of(
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

    pub(super) fn of_listener(&self, queue: &QueueStats, id: u64) -> Drops {
        match self {
            Self::Counted(_) => drops::counted(queue),
            Self::Inferred(reasons) => reasons.get(&id).map(drops::inferred).unwrap_or_default(),
        }
    }

    /// Those of a listener that were inferred.
    pub(super) fn inferred(&self, id: u64) -> Option<Reasons> {
        match self {
            Self::Counted(_) => None,
            Self::Inferred(reasons) => reasons.get(&id).copied(),
        }
    }

    pub(super) fn audit(&self, input: &Input<'_>, shown: std::collections::BTreeSet<u64>) -> Audit {
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
