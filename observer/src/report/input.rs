//! What a report is made from.

use std::collections::HashMap;

use crate::{
    bpf::snapshot::Snapshot,
    host::{
        filter::Selection,
        holders::Holdings,
        netns::{Namespace, Namespaces, NetnsId},
        syn_requests::Waiting,
        task_state::FirstCounts,
        waits::Waiter,
        ways::Ways,
    },
    model::{Holder, Host, Providers, Report, Window},
    report::audit::Readings,
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
    pub before: &'a Namespaces,
    /// The network namespaces now.
    pub now: &'a Namespaces,
    /// Who holds which listener.
    pub holdings: &'a Holdings,
    /// Whether there are processes that could not be looked into.
    pub hidden_holders: bool,
    /// Processes that did not answer when they were looked at.
    pub unanswered: u64,
    /// Tasks that wait for each listener now.
    pub waiters: &'a HashMap<u64, Vec<Waiter>>,
    /// How processes wait for listeners.
    pub ways: &'a Ways,
    /// Requests that wait in SYN queues now.
    pub requests: &'a Waiting,
    /// Which listeners to show.
    pub selection: &'a Selection,
    /// Whether final ACKs are seen that found the accept queue full, with tracepoints only.
    pub sees_refused_acks: bool,
    /// Program runs that the kernel skipped.
    pub missed_runs: u64,
    /// The most listeners that are all shown; of more, those that are idle are only counted.
    pub most: usize,
    /// Looks at what the holders do of listeners that have trouble: [`crate::host::task_state::look`].
    pub look: &'a dyn Fn(&mut Report, &mut FirstCounts),
    /// Fills in what is wrong with each listener: [`crate::findings::judge_with`].
    pub judge: &'a dyn Fn(&mut Report),
}

impl Input<'_> {
    /// A network namespace as it is now; `None` of one that is gone.
    pub(super) fn namespace(&self, netns: NetnsId) -> Option<&Namespace> {
        let now = self.now.get(&netns.inode).map(AsRef::as_ref);
        now.filter(|now: &&Namespace| now.cookie == netns.cookie)
    }

    /// Who holds a listener, and how they wait for it; nobody knows where none was found and some could not be
    /// looked into.
    pub(super) fn holders(&self, id: u64) -> Option<Vec<Holder>> {
        let holdings = self.holdings.get(&id).map(Vec::as_slice).unwrap_or_default();
        let all = || holdings.iter().map(|holding| self.ways.holder(id, holding)).collect();
        (!holdings.is_empty() || !self.hidden_holders).then(all)
    }
}
