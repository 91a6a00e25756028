//! `accept-queue-near-limit`: the accept queue is full or nearly so, and nothing was dropped for that.

use super::{
    accept_queue_overflow::AcceptQueueOverflow,
    burst, id, limit,
    rule::{Case, Rule, Verdict, is_full},
    words,
};
use crate::model::Severity;

/// From this share of what the queue holds on, in percent, it is nearly full.
const NEAR: u64 = 80;

/// Fewest connections that are a queue: one that waits in the queue of `listen(0)` is none.
const FEWEST: u64 = 2;

pub(super) struct AcceptQueueNearLimit;

impl Rule for AcceptQueueNearLimit {
    fn id(&self) -> &'static str {
        id::ACCEPT_QUEUE_NEAR_LIMIT
    }

    fn source(&self) -> &'static str {
        "listen(2); Linux Documentation/networking/ip-sysctl.rst: somaxconn"
    }

    fn judge(&self, case: &Case<'_>) -> Option<Verdict> {
        let (most, limit) = case.fullest()?;
        let holds = u128::from(limit) + 1;
        let percent = u128::from(most) * 100 / holds;
        if most < FEWEST || percent < u128::from(NEAR) || AcceptQueueOverflow.judge(case).is_some()
        {
            return None;
        }
        let hedge = case.hedge(&case.providers.handshakes);
        let (severity, summary) = if is_full(most, limit) {
            (Severity::Warning, format!("accept queue full: {hedge}{most} waited, limit {limit}"))
        } else {
            (
                Severity::Info,
                format!("accept queue nearly full: {hedge}{most} waited, limit {limit}"),
            )
        };
        let mut evidence = vec![format!("{hedge}{percent}% of the {holds} that it holds")];
        evidence.extend(case.listener.accept_queue.now.map(|now| format!("{now} now")));
        evidence.extend(burst::because(case, burst::cause(case)));
        evidence.extend(limit::is_from(&case.listener.backlog));
        Some(Verdict {
            severity,
            summary,
            evidence: evidence.join("; "),
            fix: format!(
                "Accept faster; against bursts, {}.",
                words::raise_limit(&case.listener.backlog)
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        findings::fixtures::{drops, listener, verdict},
        model::AcceptQueue,
    };

    fn judged(max: u64, limit: Option<u64>, exact: bool) -> Option<Verdict> {
        let mut one = listener();
        one.accept_queue =
            AcceptQueue { now: Some(1), max: Some(max), limit, ..AcceptQueue::default() };
        one.backlog.limit = limit;
        verdict(&AcceptQueueNearLimit, &one, exact)
    }

    #[test]
    fn from_80_percent_on_it_is_nearly_full() {
        // It holds 100.
        assert_eq!(judged(79, Some(99), true), None);
        let told = judged(80, Some(99), true).expect("a finding");
        assert_eq!(told.severity, Severity::Info);
        assert_eq!(told.summary, "accept queue nearly full: 80 waited, limit 99");
        assert_eq!(
            told.evidence,
            "80% of the 100 that it holds; 1 now; a burst came; limit 99 is \
             from listen(), somaxconn is 4096 now: if the program asks for more, restart it"
        );
        assert_eq!(judged(99, Some(99), true).expect("one").severity, Severity::Info);
    }

    #[test]
    fn it_is_full_with_more_than_its_limit() {
        assert!(!is_full(99, 99) && is_full(100, 99));
        let told = judged(100, Some(99), false).expect("a finding");
        assert_eq!(told.severity, Severity::Warning);
        assert_eq!(told.summary, "accept queue full: about 100 waited, limit 99");
        // A limit that was lowered since.
        assert!(judged(200, Some(99), true).is_some());
    }

    #[test]
    fn one_connection_is_no_queue() {
        assert_eq!(judged(1, Some(0), true), None);
        assert!(judged(2, Some(0), true).is_some());
        assert_eq!(judged(u64::MAX, None, true), None);
        assert!(judged(u64::MAX, Some(u64::MAX), true).is_some());
    }

    #[test]
    fn what_overflowed_is_told_once() {
        let mut one = listener();
        one.accept_queue.max = Some(128);
        assert!(verdict(&AcceptQueueNearLimit, &one, true).is_some());
        one.drops = drops(&[("accept_queue_full_syn", 1)]);
        assert_eq!(verdict(&AcceptQueueNearLimit, &one, true), None);
    }
}
