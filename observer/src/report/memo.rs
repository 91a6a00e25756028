//! Listeners of which nothing new is to be told.

use std::collections::{BTreeMap, HashMap};

use observer_common::counters::{ListenerInfo, QueueStats};

use crate::{
    listener::{diag::Socket, holders::Holding, namespaces::Namespace, waiters::Waiter},
    report::{drops::Reasons, model::Listener, told::Told},
};

/// What is told of a listener on which nothing happened follows from this, and from who holds it and
/// who waits for it, which is compared with what was told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quiet {
    pub(super) netns: u64,
    pub(super) socket: Socket,
    pub(super) info: Option<Box<ListenerInfo>>,
    pub(super) reuseport: Option<bool>,
    pub(super) asked: Option<u32>,
    pub(super) requests: Option<u64>,
    /// Refusals that were inferred.
    pub(super) reasons: Option<Reasons>,
}

/// What was last told of quiet listeners, and the limits of their namespaces then.
#[derive(Debug, Default)]
pub struct Memo {
    rows: HashMap<u64, Box<(Quiet, Told)>>,
    limits: BTreeMap<u64, Limits>,
}

type Limits = [Option<u64>; 5];

impl Memo {
    /// Forgets everything once a namespace allows something else than before: all that is told of
    /// limits follows from that.
    pub(super) fn settle(
        &mut self,
        now: &BTreeMap<u64, Namespace>,
        before: &BTreeMap<u64, Namespace>,
    ) {
        let of = |(netns, one): (&u64, &Namespace)| (*netns, limits(one, before.get(netns)));
        let limits: BTreeMap<_, _> = now.iter().map(of).collect();
        if limits != self.limits {
            self.rows.clear();
            self.limits = limits;
        }
    }

    /// What was told when all of it was as it is now.
    pub(super) fn recall(
        &self,
        id: u64,
        quiet: &Quiet,
        holdings: &[Holding],
        waiters: &[Waiter],
    ) -> Option<Told> {
        let (then, told) = &**self.rows.get(&id)?;
        let same = then == quiet
            && told.holders.iter().eq(holdings.iter().map(|holding| &holding.holder))
            && are_waiting(told, waiters);
        same.then(|| told.clone())
    }

    /// Keeps what is told now.
    pub(super) fn keep(&mut self, id: u64, quiet: Quiet, told: &Told) {
        self.rows.insert(id, Box::new((quiet, told.clone())));
    }

    /// Forgets all but those that are there, once it remembers more than there are.
    pub(super) fn forget(&mut self, but_for: impl Fn(u64) -> bool, there_are: usize) {
        if self.rows.len() > there_are {
            self.rows.retain(|id, _| but_for(*id));
        }
    }
}

/// Whether the workers of a quiet listener are those that wait.
fn are_waiting(listener: &Listener, waiters: &[Waiter]) -> bool {
    listener
        .workers
        .iter()
        .map(|worker| (worker.pid, worker.tid, &worker.comm))
        .eq(waiters.iter().map(|waiter| (waiter.pid, waiter.tid, &waiter.comm)))
}

/// What is told of a listener's limits follows from these.
fn limits(now: &Namespace, before: Option<&Namespace>) -> Limits {
    [
        before.and_then(|namespace| namespace.somaxconn),
        now.somaxconn,
        now.tcp_max_syn_backlog,
        now.syncookies,
        now.abort_on_overflow,
    ]
}

/// Whether nothing was counted: the maxima of an interval that is over, and its number, do not count.
pub(super) fn nothing_counted(queue: &QueueStats) -> bool {
    let counted = QueueStats {
        interval: 0,
        interval_depth_max: 0,
        interval_syn_max: 0,
        wait_interval: 0,
        interval_wait_max: 0,
        ..*queue
    };
    counted == QueueStats::ZERO
}

#[cfg(test)]
mod tests;
