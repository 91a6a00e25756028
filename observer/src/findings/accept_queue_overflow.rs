//! `accept-queue-overflow`: connections are dropped because the accept queue is full.

use super::{
    burst::{self, Cause},
    id, limit,
    rule::{Case, Rule, Verdict},
    words::{counted, raise_limit},
};
use crate::{model::Severity, units};

pub(super) struct AcceptQueueOverflow;

impl Rule for AcceptQueueOverflow {
    fn id(&self) -> &'static str {
        id::ACCEPT_QUEUE_OVERFLOW
    }

    fn source(&self) -> &'static str {
        "listen(2); Linux Documentation/networking/ip-sysctl.rst: somaxconn"
    }

    fn needed(&self, case: &Case<'_>) -> Option<u64> {
        burst::needed(case)
    }

    fn judge(&self, case: &Case<'_>) -> Option<Verdict> {
        let (syns, acks) =
            (case.dropped("accept_queue_full_syn"), case.dropped("accept_queue_full_ack"));
        let hedge = case.hedge_drops();
        let full = syns.saturating_add(acks);
        let limit = case.fullest().map(|(_, limit)| format!(" (limit {limit})"));
        let limit = limit.unwrap_or_default();
        let (summary, mut evidence) = if full > 0 {
            let attempts = counted(full, "connection attempt", "connection attempts");
            (
                format!("accept queue full{limit}: {hedge}{attempts} dropped"),
                format!("{hedge}{syns} at the SYN, {hedge}{acks} at the final ACK"),
            )
        } else if let Some(drops) = drops_beside_a_full_queue(case) {
            let attempts = counted(drops, "connection attempt", "connection attempts");
            (
                format!("accept queue full{limit}, and {hedge}{attempts} dropped"),
                "reasons of the drops are not known".to_owned(),
            )
        } else {
            return None;
        };
        if let Some((most, limit)) = case.fullest() {
            evidence += &format!("; at most {most} seen in the queue, limit {limit}");
        }
        if let Some(clients @ 1..) = case.listener.drops.clients {
            let least = if case.listener.drops.clients_overflowed { "at least " } else { "" };
            evidence += &format!("; {least}{}", counted(clients, "client", "clients"));
        }
        let cause = burst::cause(case);
        let summary = [Some(summary), burst::because(case, cause)];
        evidence += &more_evidence(case, cause);
        Some(Verdict {
            severity: Severity::Critical,
            summary: summary.into_iter().flatten().collect::<Vec<_>>().join("; "),
            evidence,
            fix: format!("Accept faster; against bursts, {}.", raise_limit(&case.listener.backlog)),
        })
    }
}

/// What limits the queue, what would have been enough, and what the clients notice.
fn more_evidence(case: &Case<'_>, cause: Cause) -> String {
    let mut told = Vec::new();
    told.extend(
        case.listener.accept_wait.oldest.map(|oldest| {
            format!("the oldest in the queue has waited for {}", units::time(oldest))
        }),
    );
    match cause {
        Cause::TooSlow { .. } | Cause::NothingAccepted => {
            told.push("no backlog is enough while accepts are slower than arrivals".to_owned());
        }
        Cause::Late { .. } | Cause::Burst => told.extend(burst::enough(case)),
        // What was dropped since the socket was opened says nothing of one burst.
        Cause::Unknown | Cause::Failing => {}
    }
    told.extend(limit::is_from(&case.listener.backlog));
    if !case.is_still() {
        told.push("a client that was dropped tries again after 1 s or more".to_owned());
    }
    told.iter().map(|one| format!("; {one}")).collect()
}

/// Drops whose reasons are not known, where the queue was full meanwhile.
fn drops_beside_a_full_queue(case: &Case<'_>) -> Option<u64> {
    let drops = &case.listener.drops;
    let was_full = case.was_full();
    drops.total.filter(|total| *total > 0 && drops.by_reason.is_none() && was_full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        findings::fixtures::{drops, listener, verdict},
        model::{AcceptQueue, Drops},
    };

    fn judged(drops: Drops, max: u64, exact: bool) -> Option<Verdict> {
        let mut one = listener();
        one.drops = drops;
        one.accept_queue = AcceptQueue { max: Some(max), limit: Some(8), ..AcceptQueue::default() };
        verdict(&AcceptQueueOverflow, &one, exact)
    }

    #[test]
    fn one_drop_for_that_reason_is_enough() {
        let others =
            drops(&[("syn_queue_full", 7), ("no_memory", 1), ("accept_queue_full_syn", 0)]);
        assert_eq!(judged(others, 9, true), None);
        let told = judged(drops(&[("accept_queue_full_syn", 1)]), 9, true).expect("a finding");
        assert_eq!(told.severity, Severity::Critical);
        assert_eq!(
            told.summary,
            "accept queue full (limit 8): 1 connection attempt dropped; a burst came"
        );
        let acks = drops(&[("accept_queue_full_syn", 34), ("accept_queue_full_ack", 8)]);
        let acks = Drops { clients: Some(5), ..acks };
        let told = judged(acks, 9, false).expect("a finding");
        assert_eq!(
            told.summary,
            "accept queue full (limit 8): about 42 connection attempts dropped; a burst came"
        );
        assert_eq!(
            told.evidence,
            "about 34 at the SYN, about 8 at the final ACK; at most 9 seen in the queue, limit 8; \
             5 clients; a backlog of 13 would have held them all (9 in the queue and 5 clients \
             dropped); limit 127 is from listen(), somaxconn is 4096 now: if the program asks for \
             more, restart it; a client that was dropped tries again after 1 s or more"
        );
    }

    #[test]
    fn a_least_is_told_as_one() {
        let least = Drops { at_most: Some(9), ..drops(&[("accept_queue_full_syn", 4)]) };
        let told = judged(least, 9, false).expect("a finding");
        assert!(told.summary.contains("at least 4 connection attempts dropped; "), "{told:?}");
        // Nothing tells that any of them was its own.
        let none = Drops { total: Some(0), at_most: Some(9), ..Drops::default() };
        assert_eq!(judged(none, 9, false), None);
    }

    #[test]
    fn drops_without_reasons_count_where_the_queue_was_full() {
        let unknown = |total| Drops { total, ..Drops::default() };
        assert_eq!(judged(unknown(Some(7)), 8, true), None);
        assert_eq!(judged(unknown(Some(0)), 9, true), None);
        assert_eq!(judged(unknown(None), 9, true), None);
        let told = judged(unknown(Some(7)), 9, false).expect("a finding");
        assert_eq!(
            told.summary,
            "accept queue full (limit 8), and about 7 connection attempts dropped; a burst came"
        );
        assert!(told.evidence.starts_with("reasons of the drops are not known"), "{told:?}");
    }

    #[test]
    fn no_backlog_is_enough_where_accept_is_too_slow() {
        let mut one = listener();
        one.drops = drops(&[("accept_queue_full_syn", 40)]);
        one.drops.clients = Some(30);
        one.accept_queue =
            AcceptQueue { now: Some(9), max: Some(9), limit: Some(8), ..Default::default() };
        let told = verdict(&AcceptQueueOverflow, &one, true).expect("a finding");
        assert!(told.summary.contains("faster (206/s) than they are accepted (200/s)"), "{told:?}");
        assert!(told.evidence.contains("no backlog is enough"), "{told:?}");
        assert!(!told.evidence.contains("would have held"), "{told:?}");
        // It drained: it was late, and a longer queue had helped.
        one.accept_queue.now = Some(0);
        one.accept_wait.max = Some(1_500_000_000);
        let told = verdict(&AcceptQueueOverflow, &one, true).expect("a finding");
        assert!(told.summary.ends_with("late, up to 1.5 s after the connection"), "{told:?}");
        assert!(told.evidence.contains("a backlog of 38 would have held them all"), "{told:?}");
    }

    #[test]
    fn what_holds_the_limit_down_is_named() {
        let mut one = listener();
        one.drops = drops(&[("accept_queue_full_ack", 1)]);
        one.backlog.somaxconn = Some(8);
        one.backlog.at_somaxconn = Some(true);
        let told = verdict(&AcceptQueueOverflow, &one, true).expect("a finding");
        assert!(told.fix.contains("net.core.somaxconn (now 8)"), "{told:?}");
        // It cannot touch the accept queue, whatever one reads elsewhere.
        assert!(!told.fix.contains("tcp_max_syn_backlog"), "{told:?}");
    }
}
