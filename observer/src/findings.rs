//! What is wrong with a listener, and what to do about it: judged here once, for every face.
//!
//! A rule is one file and one row of [`RULES`]. It reads a listener of a report, and nothing else: what is
//! wrong in a recording is what was wrong when it was made. Thresholds are here and nowhere else; a face
//! shows findings, and colours by their severity.

mod accept_queue_near_limit;
mod accept_queue_overflow;
mod backlog_clamped;
mod burst;
mod chance;
mod doing;
mod fd_exhausted;
#[cfg(test)]
mod fixtures;
pub mod id;
mod limit;
mod one_worker_takes_all;
mod rule;
mod silent_clients;
mod slow_accept;
mod syn_queue_overflow;
mod thundering_herd;
mod words;

use std::cmp::Reverse;

use crate::model::{Finding, Report};

pub use rule::{Case, Rule, Verdict};

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
