//! `thundering-herd`: the kernel wakes several tasks for each connection, and all but one of them for nothing.

use super::{
    id,
    rule::{Case, Rule, Verdict},
    words::{counted, holders},
};
use crate::{
    model::{Severity, Wait, Wakeups},
    units,
};

/// From this ratio on, several tasks run for one connection.
const SEVERAL: f64 = 2.0;
/// From this ratio on, it is a herd.
const HERD: f64 = 4.0;

pub(super) struct ThunderingHerd;

impl Rule for ThunderingHerd {
    fn id(&self) -> &'static str {
        id::THUNDERING_HERD
    }

    fn source(&self) -> &'static str {
        "epoll_ctl(2): EPOLLEXCLUSIVE; socket(7): SO_REUSEPORT"
    }

    fn judge(&self, case: &Case<'_>) -> Option<Verdict> {
        let listener = case.listener;
        let ratio = listener.herd_ratio.filter(|ratio| *ratio >= SEVERAL)?;
        let severity = if ratio >= HERD { Severity::Warning } else { Severity::Info };
        let exact = case.providers.wakeups.exact && case.providers.accepts.exact;
        let hedge = if exact && !listener.incomplete { "" } else { "about " };
        let Wakeups { total, won, lost, failed, silent, .. } = listener.wakeups?;
        let wasted = lost.saturating_add(failed).saturating_add(silent);
        let mut evidence = format!(
            "{hedge}{} for {} in {}: {won} accepted one, {lost} found none left, {silent} did not call \
             accept",
            counted(total, "wakeup", "wakeups"),
            counted(listener.accepted?, "connection", "connections"),
            units::seconds(case.window.seconds),
        );
        if let Some(who) = holders(listener) {
            evidence += &format!("; held by {who}");
        }
        Some(Verdict {
            severity,
            summary: format!(
                "thundering herd: {hedge}{} wakeups per connection, {} for nothing",
                units::ratio(Some(ratio)),
                units::share(wasted, total),
            ),
            evidence,
            fix: fix(case).to_owned(),
        })
    }
}

/// What fits the way in which the server waits: EPOLLEXCLUSIVE is for epoll alone.
fn fix(case: &Case<'_>) -> &'static str {
    let holders = case.listener.holders.as_deref().unwrap_or_default();
    let waits = |wanted: &[Wait]| {
        holders.iter().any(|holder| holder.wait.is_some_and(|wait| wanted.contains(&wait)))
    };
    if waits(&[Wait::Poll, Wait::Select]) {
        "Use epoll with EPOLLEXCLUSIVE, or one SO_REUSEPORT socket for each worker."
    } else if waits(&[Wait::EpollExclusive]) {
        "Find the waiters without EPOLLEXCLUSIVE, or use one SO_REUSEPORT socket for each worker."
    } else {
        "Use EPOLLEXCLUSIVE, or one SO_REUSEPORT socket for each worker."
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        findings::fixtures::{listener, verdict},
        model::{Holder, Listener},
    };

    fn herd(ratio: Option<f64>) -> Listener {
        let mut one = listener();
        one.wakeups =
            Some(Wakeups { total: 8000, won: 1000, lost: 600, silent: 6400, ..Wakeups::default() });
        one.herd_ratio = ratio;
        one
    }

    fn judged(ratio: Option<f64>) -> Option<Verdict> {
        verdict(&ThunderingHerd, &herd(ratio), true)
    }

    #[test]
    fn two_are_several_and_four_are_a_herd() {
        for calm in [None, Some(0.1), Some(1.0), Some(1.99)] {
            assert_eq!(judged(calm), None, "{calm:?}");
        }
        for (ratio, severity) in [
            (2.0, Severity::Info),
            (3.99, Severity::Info),
            (4.0, Severity::Warning),
            (f64::MAX, Severity::Warning),
        ] {
            assert_eq!(judged(Some(ratio)).map(|told| told.severity), Some(severity), "{ratio}");
        }
        let told = judged(Some(8.0)).expect("a finding");
        assert_eq!(told.summary, "thundering herd: 8.00 wakeups per connection, 88% for nothing");
        assert_eq!(
            told.evidence,
            "8000 wakeups for 1000 connections in 5.0 s: 1000 accepted one, 600 found none left, 6400 \
             did not call accept; held by no process that was found"
        );
    }

    #[test]
    fn an_estimate_is_told_as_one() {
        let told = verdict(&ThunderingHerd, &herd(Some(8.0)), false).expect("a finding");
        assert!(told.summary.contains("about 8.00") && told.evidence.starts_with("about 8000"));
    }

    #[test]
    fn the_fix_is_of_the_way_of_waiting() {
        let fix = |wait| {
            let mut one = herd(Some(8.0));
            one.holders = Some(vec![Holder { pid: 1, comm: "a".into(), fd: 3, wait }]);
            verdict(&ThunderingHerd, &one, true).expect("a finding").fix
        };
        assert!(fix(None).starts_with("Use EPOLLEXCLUSIVE"));
        assert!(fix(Some(Wait::Epoll)).starts_with("Use EPOLLEXCLUSIVE"));
        assert!(fix(Some(Wait::EpollExclusive)).starts_with("Find the waiters"));
        assert!(fix(Some(Wait::Poll)).starts_with("Use epoll with EPOLLEXCLUSIVE"));
    }
}
