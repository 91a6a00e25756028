//! What one strategy cost: the observer's report set against the server's own tally.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    protocol::{Counts, Ready, Tally},
    strategy::Strategy,
};
use observer::{
    model::{Listener, Report, Wakeups},
    report::counts::sum,
};

/// One strategy's line of JSON, and row of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Outcome {
    pub(super) strategy: Strategy,
    pub(super) workers: usize,
    pub(super) connections: u64,
    /// Wakeups that the observer saw, over the connections that it saw accepted.
    pub(super) wakeups_per_connection: Option<f64>,
    pub(super) wakeups: Wakeups,
    /// Whether the observer's hooks see every wakeup.
    pub(super) exact: bool,
    pub(super) accepted: u64,
    pub(super) accept_errors: BTreeMap<String, u64>,
    /// Jain's index over all workers of the server.
    pub(super) fairness: Option<f64>,
    /// From connect to the server's close.
    pub(super) nanoseconds_per_connection: u64,
    /// What the server counted by itself.
    pub(super) tally: TallySum,
    /// Whether the server counted as many accepts and EAGAIN as the observer.
    pub(super) agrees: bool,
    /// Whether the kernel's count of the workers' sleeps gives as many wakeups as the observer's.
    pub(super) wakeups_agree: bool,
}

/// The part of a tally that an outcome repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct TallySum {
    pub(super) sum: Counts,
}

impl Outcome {
    /// Puts together what the observer and the server say about one round.
    pub(super) fn new(strategy: Strategy, ready: &Ready, tally: &Tally, report: &Report) -> Self {
        let own = |listener: &&Listener| {
            listener.netns == ready.netns
                && ready.listeners.iter().any(|at| at.inode == listener.inode)
        };
        let mut outcome = Self {
            strategy,
            workers: ready.workers.len(),
            connections: tally.connections,
            wakeups_per_connection: None,
            wakeups: Wakeups::default(),
            exact: report.providers.wakeups.exact,
            accepted: 0,
            accept_errors: BTreeMap::new(),
            fairness: None,
            nanoseconds_per_connection: nanoseconds_each(tally),
            tally: TallySum { sum: tally.sum },
            agrees: false,
            wakeups_agree: false,
        };
        let mut accepted_by: BTreeMap<u32, u64> =
            ready.workers.iter().map(|worker| (worker.tid, 0)).collect();
        for listener in report.listeners.iter().filter(own) {
            outcome.accepted += listener.accepted.unwrap_or(0);
            outcome.wakeups = sum([Some(outcome.wakeups), listener.wakeups].into_iter().flatten());
            for (name, count) in &listener.accept_errors {
                *outcome.accept_errors.entry(name.clone()).or_default() += count;
            }
            for worker in &listener.workers {
                if let Some(accepted) = worker.tid.and_then(|tid| accepted_by.get_mut(&tid)) {
                    *accepted += worker.accepted;
                }
            }
        }
        outcome.wakeups_per_connection = ratio(outcome.wakeups.total, outcome.accepted);
        outcome.fairness = jain(&accepted_by.into_values().collect::<Vec<_>>());
        outcome.agrees =
            outcome.accepted == tally.sum.accepted && outcome.eagain() == tally.sum.eagain;
        outcome.wakeups_agree = outcome.wakeups.total == tally.sum.wakeups();
        outcome
    }

    /// How often accept said EAGAIN, by the observer's count.
    pub(super) fn eagain(&self) -> u64 {
        self.accept_errors.get("EAGAIN").copied().unwrap_or(0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a demo are far below 2^52")]
fn ratio(count: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| count as f64 / of as f64)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a time that a demo takes, which is not negative"
)]
fn nanoseconds_each(tally: &Tally) -> u64 {
    (tally.connection_seconds * 1e9 / tally.connections.max(1) as f64).round() as u64
}

/// Jain's index: 1 when all counts are equal, 1/n when one has everything; `None` below two
/// counts, or when there is nothing to share.
#[expect(clippy::cast_precision_loss, reason = "counts of a demo are far below 2^52")]
fn jain(counts: &[u64]) -> Option<f64> {
    let sum: f64 = counts.iter().map(|&count| count as f64).sum();
    let squares: f64 = counts.iter().map(|&count| (count as f64).powi(2)).sum();
    (counts.len() > 1 && squares > 0.0).then(|| sum * sum / (counts.len() as f64 * squares))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::demo::protocol::{ListenerAt, WorkerId};

    /// Two listeners with a worker each, one of which took three of four connections.
    fn report(eagain: u64) -> Report {
        let listener = |inode: u64, accepted: u64| {
            serde_json::json!({
                "netns": 5, "cookie": inode, "inode": inode, "family": "ipv4",
                "address": "127.0.0.1", "port": 8080, "reuseport": true, "closed": false,
                "holders": [], "queued": accepted, "accepted": accepted,
                "wakeups": {"total": 2 * accepted, "won": accepted, "lost": eagain,
                            "failed": 0, "silent": accepted - eagain, "pending": 0},
                "herd_ratio": 2.0, "accept_errors": {"EAGAIN": eagain},
                "accept_queue": {"now": 0, "max": 1, "limit": 511, "histogram": []},
                "syn_queue": {"now": null, "max": null}, "backlog": {}, "accept_wait": {"count": 0, "p50": null, "p90": null, "p99": null, "max": null, "histogram": []},
                "drops": {"total": 0, "by_reason": null}, "fairness": null,
                "workers": [{"pid": inode, "tid": inode, "comm": "w", "accepted": accepted,
                             "accept_errors": {}, "wakeups": {"total": 0, "won": 0, "lost": 0,
                             "failed": 0, "silent": 0, "pending": 0}}],
                "findings": [],
            })
        };
        let provider = serde_json::json!({"via": "fentry", "exact": true});
        serde_json::from_value(serde_json::json!({
            "schema_version": 1, "tool": {"name": "observer", "version": "0"},
            "host": {"kernel": "6.12", "arch": "x86_64", "cpus": 2},
            "window": {"start": "2024-01-01T00:00:00Z", "seconds": 1.0, "kind": "total"},
            "providers": {"wakeups": provider, "accepts": provider,
                          "handshakes": provider, "drops": provider},
            "listeners": [listener(1, 3), listener(2, 1), listener(99, 7)],
            "audit": {"events_lost": 0, "map_full": 0, "missed_runs": 0, "netns": []},
        }))
        .expect("a report")
    }

    fn outcome_of(report: &Report) -> Outcome {
        let ready = Ready {
            ready: true,
            pid: 1,
            netns: 5,
            listeners: [1, 2]
                .map(|inode| ListenerAt { address: "127.0.0.1".into(), port: 8080, inode })
                .into(),
            workers: [1, 2].map(|id| WorkerId { pid: id, tid: id }).into(),
        };
        let sum = Counts { accepted: 4, voluntary_switches: 8, ..Counts::default() };
        let tally = Tally {
            connections: 4,
            seconds: 1.0,
            connection_seconds: 164e-6,
            workers: Vec::new(),
            sum,
        };
        Outcome::new(Strategy::Reuseport, &ready, &tally, report)
    }

    #[test]
    fn listeners_of_the_server_are_added_up_and_no_others() {
        let outcome = outcome_of(&report(0));
        assert_eq!((outcome.accepted, outcome.wakeups.total), (4, 8));
        assert_eq!(outcome.wakeups_per_connection, Some(2.0));
        assert_eq!(outcome.fairness, Some(0.8));
        assert_eq!(outcome.nanoseconds_per_connection, 41_000);
        assert!(outcome.agrees && outcome.wakeups_agree);
    }

    #[test]
    fn a_count_that_differs_from_the_servers_own_does_not_agree() {
        let outcome = outcome_of(&report(1));
        assert_eq!(outcome.eagain(), 2);
        assert!(!outcome.agrees);
    }

    #[test]
    fn json_has_the_names_that_scripts_read() {
        let line = serde_json::to_string(&outcome_of(&report(0))).expect("plain data");
        assert_eq!(
            line,
            r#"{"strategy":"reuseport","workers":2,"connections":4,"#.to_owned()
                + r#""wakeups_per_connection":2.0,"wakeups":{"total":8,"won":4,"lost":0,"#
                + r#""failed":0,"silent":4,"pending":0},"exact":true,"accepted":4,"#
                + r#""accept_errors":{"EAGAIN":0},"fairness":0.8,"#
                + r#""nanoseconds_per_connection":41000,"tally":{"sum":{"accepted":4,"#
                + r#""eagain":0,"wait_returns":0,"voluntary_switches":8,"lock_sleeps":0}},"#
                + r#""agrees":true,"wakeups_agree":true}"#
        );
    }

    #[test]
    fn jain_is_1_when_even_and_one_nth_when_one_takes_all() {
        assert_eq!(jain(&[5, 5, 5, 5]), Some(1.0));
        assert_eq!(jain(&[9, 0, 0, 0]), Some(0.25));
        assert_eq!(jain(&[9]), None);
        assert_eq!(jain(&[0, 0]), None);
    }
}
