//! What was refused, as it was counted or as it is inferred.

use std::collections::{BTreeSet, HashMap, HashSet};

use observer_common::counters::QueueStats;

use crate::report::{
    audit::{self, Seen},
    build::Input,
    drops::{self, Counters, Reasons, Traces},
    model::{Audit, Drops, Via},
    one::One,
};

/// What was refused, by whom and why.
pub(super) enum Refusals {
    /// The kernel programs counted it.
    Counted(HashMap<u64, Seen>),
    /// It was inferred, with the help of the kernel's counters, which it is no witness for.
    Inferred(Inferred),
}

/// What was inferred, by listener.
#[derive(Default)]
pub(super) struct Inferred {
    /// Of those that refused anything.
    some: HashMap<u64, Reasons>,
    /// Listeners whose own counter is not known.
    unknown: HashSet<u64>,
}

impl Inferred {
    fn of(&self, id: u64) -> Option<Reasons> {
        if self.unknown.contains(&id) {
            return None;
        }
        Some(self.some.get(&id).copied().unwrap_or_default())
    }
}

impl Refusals {
    /// Of all listeners, in their order.
    pub(super) fn of(input: &Input<'_>, all: &[One<'_>]) -> Self {
        let by_namespace = all.chunk_by(|one, next| one.netns == next.netns);
        if input.providers.drops.via.sees_functions() {
            let seen = by_namespace.map(|ones| {
                let queues = ones.iter().filter_map(|one| input.counted.queues.get(&one.id));
                (ones[0].netns, Seen::counted(queues))
            });
            return Self::Counted(seen.collect());
        }
        let sees_acks = input.providers.drops.via == Via::Tracepoint && input.sees_refused_acks;
        let mut inferred = Inferred::default();
        for ones in by_namespace {
            let mut known = Vec::new();
            for one in ones {
                let Some(counter) = counter(one) else {
                    inferred.unknown.insert(one.id);
                    continue;
                };
                let queue = input.counted.queues.get(&one.id);
                let acks = sees_acks.then(|| queue.map_or(0, |queue| queue.drops.iter().sum()));
                // Nothing can be given to one that refused nothing, and most are such.
                if counter != 0 || acks.is_some_and(|acks| acks != 0) {
                    known.push((one.id, Traces { counter, acks }));
                }
            }
            let traces: Vec<_> = known.iter().map(|(_, traces)| *traces).collect();
            let reasons = drops::infer(&traces, namespace_counters(input, ones[0].netns));
            inferred.some.extend(known.iter().map(|(id, _)| *id).zip(reasons));
        }
        Self::Inferred(inferred)
    }

    pub(super) fn of_listener(&self, queue: &QueueStats, id: u64) -> Drops {
        match self {
            Self::Counted(_) => drops::counted(queue),
            Self::Inferred(inferred) => {
                inferred.of(id).as_ref().map(drops::inferred).unwrap_or_default()
            }
        }
    }

    /// Those of a listener that were inferred.
    pub(super) fn inferred(&self, id: u64) -> Option<Reasons> {
        match self {
            Self::Counted(_) => None,
            Self::Inferred(inferred) => inferred.of(id),
        }
    }

    pub(super) fn audit(&self, input: &Input<'_>, shown: BTreeSet<u64>) -> Audit {
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
fn counter(one: &One<'_>) -> Option<u64> {
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
