//! What is wrong with a listener, and what to do about it: judged here once, for every face.
//!
//! A rule is one file and one row of [`RULES`]. It reads a listener of a report, and nothing else: what is
//! wrong in a recording is what was wrong when it was made. Thresholds are here and nowhere else; a face
//! shows findings, and colours by their severity.

mod accept_queue_near_limit;
mod accept_queue_overflow;
pub mod advice;
mod backlog_clamped;
mod burst;
mod chance;
pub mod doing;
pub mod explain;
mod fd_exhausted;
#[cfg(test)]
mod fixtures;
pub mod id;
pub mod identity;
mod limit;
mod one_worker_takes_all;
mod rule;
pub mod servers;
mod silent_clients;
mod slow_accept;
mod syn_queue_overflow;
mod thundering_herd;
mod words;

use std::cmp::Reverse;

use crate::model::{Finding, Listener, Report, Server};

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
    judge_with(report, |_| None);
}

/// Judges every listener of a report, with advice for the server that each belongs to. `server` is asked for
/// listeners that something is wrong with, and for no others: to find it out takes a look at a process.
pub fn judge_with(report: &mut Report, mut server: impl FnMut(&Listener) -> Option<Server>) {
    let Report { host, window, providers, listeners, .. } = report;
    for listener in listeners {
        listener.findings = findings(&Case { host, window, providers, listener });
        if listener.findings.is_empty() || listener.server.is_some() {
            continue;
        }
        listener.server = server(listener);
        if listener.server.is_some() {
            listener.findings = findings(&Case { host, window, providers, listener });
        }
    }
}

/// What is wrong with one listener, the worst first.
#[must_use]
pub fn findings(case: &Case<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES.iter().filter_map(|rule| finding(*rule, case)).collect();
    findings.sort_by_key(|finding| Reverse(finding.severity));
    findings
}

fn finding(rule: &dyn Rule, case: &Case<'_>) -> Option<Finding> {
    let (id, listener) = (rule.id(), case.listener);
    let Verdict { severity, summary, evidence, fix } = rule.judge(case)?;
    if advice::is_by_design(id, listener) {
        return None;
    }
    let context = advice::Context { listener, needed: rule.needed(case) };
    let advice = advice::for_finding(id, &context);
    Some(Finding {
        id: id.to_owned(),
        severity,
        server: listener.server.as_ref().and_then(|server| server.name.clone()),
        summary,
        evidence,
        fix: advice.fix.unwrap_or(fix),
        steps: advice.steps,
        source: advice.source.unwrap_or_else(|| rule.source().to_owned()),
    })
}

#[cfg(test)]
mod tests;
