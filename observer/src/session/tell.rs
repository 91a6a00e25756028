//! Making a report of what is known.

use std::time::Duration;

use super::{
    Session,
    sample::{Sample, Span},
    syn_requests::Wanted,
    turns,
};
use crate::{
    findings,
    host::{inet_diag::Socket, syn_requests::Waiting, task_state},
    model::{Providers, Report, Via, Window},
    probes::{self, Signal},
    report::{
        LastSeen, build,
        exact::{self, Hook, Hooks},
        input::Input,
    },
};

impl Session {
    /// What each signal comes from.
    #[must_use]
    pub fn providers(&self) -> Providers {
        let of = |signal| Hook {
            via: match self.attached.provider(signal) {
                Some(probes::Provider::Fentry) => Via::Fentry,
                Some(probes::Provider::Kprobe) => Via::Kprobe,
                Some(probes::Provider::Tracepoint) => Via::Tracepoint,
                None => Via::None,
            },
            misses_unnoticed: !self.kprobes_tell && self.attached.has_kprobes(signal),
        };
        let drops = of(Signal::Drops);
        let misses_unnoticed = drops.misses_unnoticed || !self.attached.sees_drops(self.ipv6);
        exact::providers(&Hooks {
            wakeups: of(Signal::Wakeups),
            accepts: of(Signal::Accepts),
            handshakes: of(Signal::Handshakes),
            drops: Hook { misses_unnoticed, ..drops },
            sees_chains: self.sees_chains(),
            knows_tasks: self.pid_namespace.is_none(),
        })
    }

    /// Whether the wakeups are seen that one waiter of a shared epoll instance passes on.
    fn sees_chains(&self) -> bool {
        self.knows_scans || self.attached.sees_scans()
    }

    /// The requests in SYN queues where chosen listeners are.
    pub(super) fn requests(&mut self, now: &Sample, must: bool) -> Waiting {
        let sees_syns = self.providers().drops.via.sees_functions();
        let selection = &self.tracker.selection;
        let active = turns::active(&self.last.counted, &now.counted);
        // Where no hook sees SYNs, nothing may happen for long in a queue that fills up.
        let are_all_busy = !sees_syns && now.namespaces.len() <= turns::FEW;
        let wanted = Wanted {
            chosen: &|socket: &Socket| selection.contains(socket.inode, socket.port),
            is_busy: &|netns| are_all_busy || active.contains(&netns),
            must,
        };
        self.requests.of(&self.places, &now.namespaces, &wanted).clone()
    }

    pub(super) fn report(
        &self,
        span: Span<'_>,
        requests: &Waiting,
        last_seen: &mut LastSeen,
    ) -> Report {
        let Span { from, to, counted, kind, most } = span;
        let inhabited = to.inhabited();
        let input = Input {
            host: &self.host,
            window: Window {
                start: humantime::format_rfc3339_millis(from.wall).to_string(),
                seconds: to.clock.duration_since(from.clock).as_secs_f64(),
                kind,
            },
            providers: self.providers(),
            counted,
            clock: to.monotonic,
            start: &from.readings(&inhabited),
            end: &to.readings(&inhabited),
            before: &from.namespaces,
            now: &to.namespaces,
            holdings: self.tracker.processes.holdings(),
            hidden_holders: self.pid_namespace.is_some() || self.tracker.processes.was_refused(),
            unanswered: u64::try_from(self.tracker.patience.silent()).unwrap_or(u64::MAX),
            waiters: &self.tracker.waits.tasks,
            ways: &self.tracker.ways,
            requests,
            selection: &self.tracker.selection,
            sees_refused_acks: self.sees_refused_acks,
            missed_runs: to.missed_runs.saturating_sub(from.missed_runs),
            most,
            look: &|report, first| {
                task_state::look(report.listeners.iter_mut(), first, &self.tracker.patience);
            },
            judge: &|report| {
                let mut identities = self.identities.borrow_mut();
                identities.begin_report();
                findings::judge_with(report, |listener| identities.server(listener));
            },
        };
        let mut report = build::build(input, last_seen);
        let nanoseconds = |age: Duration| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        report.audit.oldest_look = self.turns.oldest(to.clock).map(nanoseconds);
        report.audit.oldest_syn_look = self.requests.oldest(to.clock).map(nanoseconds);
        report
    }
}
