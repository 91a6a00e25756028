//! What is wrong with a listener, and what to do about it: judged here once, for every face.
//!
//! A rule is one file and one row of [`RULES`]. It reads a listener of a report, and nothing else: what is
//! wrong in a recording is what was wrong when it was made. Thresholds are here and nowhere else; a face
//! shows findings, and colours by their severity.

mod accept_queue_near_limit;
mod accept_queue_overflow;
mod backlog_clamped;
mod fd_exhausted;
#[cfg(test)]
mod fixtures;
pub mod id;
mod one_worker_takes_all;
mod silent_clients;
mod slow_accept;
mod syn_queue_overflow;
mod thundering_herd;
mod words;

use std::cmp::Reverse;

use crate::report::model::{
    Finding, Host, Listener, Provider, Providers, Report, Severity, Window,
};

pub use accept_queue_near_limit::is_full;

/// Every rule. Findings that are equally bad are shown in this order: what is lost first, then its causes.
pub const RULES: &[&dyn Rule] = &[
    &fd_exhausted::FdExhausted,
    &accept_queue_overflow::AcceptQueueOverflow,
    &syn_queue_overflow::SynQueueOverflow,
    &silent_clients::SilentClients,
    &accept_queue_near_limit::AcceptQueueNearLimit,
    &slow_accept::SlowAccept,
    &thundering_herd::ThunderingHerd,
    &backlog_clamped::BacklogClamped,
    &one_worker_takes_all::OneWorkerTakesAll,
];

/// One thing that can be wrong with a listener.
pub trait Rule: Sync {
    /// Stable name of the finding, which scripts and dashboards use: one of [`id`].
    fn id(&self) -> &'static str;

    /// Manual page or kernel document that the advice comes from.
    fn source(&self) -> &'static str;

    /// The verdict on one listener; `None` where nothing is wrong, and where that cannot be told.
    fn judge(&self, case: &Case<'_>) -> Option<Verdict>;
}

/// A listener to be judged, with the report around it.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Where it was observed.
    pub host: &'a Host,
    /// For how long.
    pub window: &'a Window,
    /// Which hooks the numbers come from.
    pub providers: &'a Providers,
    /// The listener itself.
    pub listener: &'a Listener,
}

impl Case<'_> {
    /// Word before a number of this signal: none where it is exact.
    fn hedge(&self, provider: &Provider) -> &'static str {
        match (self.listener.incomplete, provider.exact) {
            (true, _) => "at least ",
            (false, false) => "about ",
            (false, true) => "",
        }
    }

    /// Word before a number of drops.
    fn hedge_drops(&self) -> &'static str {
        match self.listener.drops.at_most {
            Some(_) => "at least ",
            None => self.hedge(&self.providers.drops),
        }
    }

    /// Drops for this reason; 0 where nothing tells reasons apart.
    fn dropped(&self, reason: &str) -> u64 {
        let by_reason = self.listener.drops.by_reason.as_ref();
        by_reason.and_then(|counts| counts.get(reason)).copied().unwrap_or(0)
    }

    /// Most connections that were seen in the accept queue, with its limit.
    fn fullest(&self) -> Option<(u64, u64)> {
        let queue = &self.listener.accept_queue;
        let limit = queue.limit.or(self.listener.backlog.limit)?;
        Some((queue.max.max(queue.now.unwrap_or(0)), limit))
    }
}

/// A rule's verdict: the parts of a [`Finding`] that differ between listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How bad it is.
    pub severity: Severity,
    /// One line with numbers.
    pub summary: String,
    /// The numbers behind it.
    pub evidence: String,
    /// One sentence that fits any server.
    pub fix: String,
}

/// Judges every listener of a report.
pub fn judge(report: &mut Report) {
    let Report { host, window, providers, listeners, .. } = report;
    for listener in listeners {
        listener.findings = findings(&Case { host, window, providers, listener });
    }
}

/// What is wrong with one listener, the worst first.
#[must_use]
pub fn findings(case: &Case<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES
        .iter()
        .filter_map(|rule| {
            let Verdict { severity, summary, evidence, fix } = rule.judge(case)?;
            Some(Finding {
                id: rule.id().to_owned(),
                severity,
                server: None,
                summary,
                evidence,
                fix,
                steps: Vec::new(),
                source: rule.source().to_owned(),
            })
        })
        .collect();
    findings.sort_by_key(|finding| Reverse(finding.severity));
    findings
}

#[cfg(test)]
mod tests;
