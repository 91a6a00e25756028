//! A healthy listener, to be made ill by the tests of the rules.

use std::collections::BTreeMap;

use super::rule::{Case, Rule, Verdict};
use crate::model::{
    AcceptQueue, AcceptWait, Backlog, ByReason, Drops, Family, HolderState, Host, Listener,
    Provider, Providers, SynQueue, Via, Wakeups, Window, WindowKind, Worker,
};

/// One that accepted 1000 connections, each with one wakeup.
pub(super) fn listener() -> Listener {
    Listener {
        netns: 4_026_531_840,
        cookie: Some(1),
        inode: 1,
        family: Family::Ipv4,
        address: "127.0.0.1".into(),
        port: 80,
        reuseport: Some(false),
        reuseport_group: None,
        closed: false,
        incomplete: false,
        holders: Some(Vec::new()),
        holder_states: None,
        queued: Some(1000),
        accepted: Some(1000),
        discarded: Some(0),
        wakeups: Some(Wakeups { total: 1000, won: 1000, ..Wakeups::default() }),
        herd_ratio: Some(1.0),
        wasted_cpu: None,
        accept_errors: BTreeMap::from([("EAGAIN".to_owned(), 40)]),
        accept_queue: AcceptQueue {
            now: Some(0),
            max: Some(3),
            limit: Some(127),
            ..Default::default()
        },
        syn_queue: SynQueue::default(),
        backlog: Backlog {
            limit: Some(127),
            somaxconn: Some(4096),
            syncookies: Some(1),
            at_somaxconn: Some(false),
            ..Backlog::default()
        },
        accept_wait: AcceptWait::default(),
        drops: Drops {
            total: Some(0),
            by_reason: Some(ByReason::new().into()),
            ..Drops::default()
        },
        fairness: None,
        workers: Vec::new(),
        server: None,
        findings: Vec::new(),
    }
}

/// A worker that accepted so many connections.
pub(super) fn worker(tid: u32, accepted: u64) -> Worker {
    Worker {
        pid: Some(tid),
        tid: Some(tid),
        comm: "nginx".into(),
        wakeups: Wakeups::default(),
        accepted,
        accept_errors: BTreeMap::new(),
    }
}

/// Drops of a listener, by reason.
pub(super) fn drops(reasons: &[(&'static str, u64)]) -> Drops {
    let by_reason: ByReason =
        reasons.iter().map(|(name, count)| ((*name).into(), *count)).collect();
    Drops {
        total: Some(by_reason.values().sum()),
        by_reason: Some(by_reason.into()),
        ..Drops::default()
    }
}

/// A task of a holder, in this state.
pub(super) fn state(pid: u32, letter: char) -> HolderState {
    HolderState { pid, tid: pid, comm: "python3".into(), state: Some(letter), ..Default::default() }
}

/// The verdict of one rule, with hooks that see everything, or with some that do not.
pub(super) fn verdict(rule: &dyn Rule, listener: &Listener, exact: bool) -> Option<Verdict> {
    with_case(listener, exact, |case| rule.judge(case))
}

/// The verdict of one rule on a picture of one moment.
pub(super) fn still(rule: &dyn Rule, listener: &Listener) -> Option<Verdict> {
    with_case(listener, true, |case| {
        let window = Window { seconds: 0.0, ..case.window.clone() };
        let none = Provider { via: Via::None, ..case.providers.accepts.clone() };
        let providers = Providers {
            wakeups: Provider { exact: false, ..none.clone() },
            accepts: Provider { exact: false, ..none.clone() },
            handshakes: none.clone(),
            drops: Provider { exact: false, ..none },
        };
        rule.judge(&Case { window: &window, providers: &providers, ..*case })
    })
}

/// Calls `judge` with a listener in its report.
pub(super) fn with_case<T>(listener: &Listener, exact: bool, judge: impl Fn(&Case<'_>) -> T) -> T {
    let provider = Provider { via: Via::Fentry, exact, inferred: None, uncounted: None };
    judge(&Case {
        host: &Host { kernel: "6.18.44".into(), arch: "x86_64".into(), cpus: 2 },
        window: &Window { start: String::new(), seconds: 5.0, kind: WindowKind::Interval },
        providers: &Providers {
            wakeups: provider.clone(),
            accepts: provider.clone(),
            handshakes: provider.clone(),
            drops: provider,
        },
        listener,
    })
}
