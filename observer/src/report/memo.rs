//! Listeners of which nothing new is to be told.

use std::{collections::BTreeMap, iter::Peekable, vec::IntoIter};

use observer_common::counters::{ListenerInfo, QueueStats};

use crate::{
    listener::{
        diag::Socket,
        namespaces::{Namespace, NetnsId},
        waiters::Waiter,
    },
    report::{
        attribute::Share,
        model::{Holder, Listener},
        told::Told,
    },
};

/// What is told of a listener on which nothing happened follows from this, and from who holds it and
/// who waits for it, which is compared with what was told.
#[derive(Debug, PartialEq)]
pub(super) struct Quiet {
    pub(super) netns: NetnsId,
    pub(super) socket: Socket,
    pub(super) info: Option<Box<ListenerInfo>>,
    pub(super) reuseport: Option<bool>,
    pub(super) asked: Option<u32>,
    pub(super) requests: Option<u64>,
    pub(super) incomplete: bool,
    pub(super) hidden_holders: bool,
    /// Drops that were inferred.
    pub(super) share: Option<Share>,
}

/// What was last told of quiet listeners, and what it was told of all then.
#[derive(Debug, Default)]
pub struct Memo {
    /// In the order of reports.
    rows: Vec<Row>,
    limits: BTreeMap<u64, Limits>,
    /// How listeners were ordered, see [`super::one::all`].
    pub(super) order: Vec<u32>,
    /// What [`crate::listener::census::Census::version`] was.
    holders: u64,
}

type Limits = [Option<u64>; 5];

/// Namespace, port and inode number: what listeners are ordered by.
type Key = (NetnsId, u16, u64);

#[derive(Debug)]
struct Row {
    key: Key,
    kept: Box<Kept>,
}

#[derive(Debug)]
struct Kept {
    quiet: Quiet,
    /// Whether anybody waited.
    workers: bool,
    told: Told,
}

impl Memo {
    /// Begins a report. What is not told again in it is forgotten, and everything once a namespace
    /// allows something else than before: all that is told of limits follows from that.
    pub(super) fn recall(
        &mut self,
        now: &BTreeMap<u64, Namespace>,
        before: &BTreeMap<u64, Namespace>,
        holders: u64,
    ) -> Recall<'_> {
        let of =
            |(netns, one): (&u64, &Namespace)| (*netns, limits(one, one.among(*netns, before)));
        let limits: BTreeMap<_, _> = now.iter().map(of).collect();
        if limits != self.limits {
            self.rows.clear();
            self.limits = limits;
        }
        let same_holders = self.holders == holders;
        self.holders = holders;
        let then = std::mem::take(&mut self.rows);
        self.rows.reserve(then.len());
        Recall { then: then.into_iter().peekable(), now: &mut self.rows, same_holders }
    }
}

/// A report that is being made: listeners are asked for in their order.
pub(super) struct Recall<'a> {
    then: Peekable<IntoIter<Row>>,
    now: &'a mut Vec<Row>,
    same_holders: bool,
}

impl Recall<'_> {
    /// What was told when all of it was as it is now.
    pub(super) fn told(
        &mut self,
        key: Key,
        quiet: &Quiet,
        holders: impl FnOnce() -> Option<Vec<Holder>>,
        waiters: &[Waiter],
    ) -> Option<Told> {
        while self.then.next_if(|row| row.key < key).is_some() {}
        let row = self.then.next_if(|row| row.key == key)?;
        let Kept { quiet: then, workers, told } = &*row.kept;
        let same = then == quiet
            && (self.same_holders || told.holders == holders())
            && ((!workers && waiters.is_empty()) || are_waiting(told, waiters));
        if !same {
            return None;
        }
        let told = told.clone();
        self.now.push(row);
        Some(told)
    }

    /// Keeps what is told now.
    pub(super) fn keep(&mut self, key: Key, quiet: Quiet, told: &Told) {
        let workers = !told.workers.is_empty();
        let kept = Box::new(Kept { quiet, workers, told: told.clone() });
        self.now.push(Row { key, kept });
    }
}

/// Whether the workers of a quiet listener are those that wait.
fn are_waiting(listener: &Listener, waiters: &[Waiter]) -> bool {
    listener
        .workers
        .iter()
        .map(|worker| (worker.pid, worker.tid, &worker.comm))
        .eq(waiters.iter().map(|waiter| (Some(waiter.pid), Some(waiter.tid), &waiter.comm)))
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
