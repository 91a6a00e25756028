//! `silent-clients`: clients are connected as far as they can tell, and nobody serves them.

use super::{
    doing,
    fd_exhausted::FdExhausted,
    id,
    rule::{Case, Rule, Verdict},
    words::{counted, holders},
};
use crate::{
    model::{Severity, Via},
    units,
};

/// Nanoseconds in which a connection that nobody accepted may simply have come last in the window.
const JUST_CAME: u64 = 100_000_000;

pub(super) struct SilentClients;

impl Rule for SilentClients {
    fn id(&self) -> &'static str {
        id::SILENT_CLIENTS
    }

    fn source(&self) -> &'static str {
        "listen(2), accept(2); Linux Documentation/networking/ip-sysctl.rst: tcp_abort_on_overflow"
    }

    /// A final ACK that finds the accept queue full is thrown away, but with it the handshake ended for the
    /// client (`tcp_v4_syn_recv_sock`); with `tcp_abort_on_overflow` it gets a reset, and is told.
    fn judge(&self, case: &Case<'_>) -> Option<Verdict> {
        let listener = case.listener;
        let aborts = listener.backlog.abort_on_overflow.is_some_and(|value| value != 0);
        let acks = if aborts { 0 } else { case.dropped("accept_queue_full_ack") };
        let waiting = left_waiting(case);
        let hedge = case.hedge_drops();
        let of_waiting = waiting.map(|waiting| match waiting {
            1 => "1 connection waits in the accept queue and was not accepted".to_owned(),
            _ => format!("{waiting} connections wait in the accept queue and none was accepted"),
        });
        let of_acks = (acks > 0).then(|| {
            let acks = counted(acks, "final ACK", "final ACKs");
            format!("{hedge}{acks} dropped: clients see an established connection")
        });
        let severity = if acks > 0 { Severity::Critical } else { Severity::Warning };
        let mut evidence = Vec::new();
        if acks > 0 {
            let attempts = counted(acks, "attempt", "attempts");
            evidence.push(format!("{hedge}{attempts} dropped at the final ACK"));
        }
        if let Some(waiting) = waiting {
            evidence.push(format!("{waiting} in the accept queue now, 0 accepted"));
            let oldest = listener.accept_wait.oldest;
            evidence.extend(oldest.map(|wait| format!("the oldest for {}", units::time(wait))));
            evidence.extend(holders(listener).map(|who| format!("held by {who}")));
        }
        let summaries: Vec<String> = of_waiting.into_iter().chain(of_acks).collect();
        if summaries.is_empty() {
            return None;
        }
        if waiting.is_some() {
            evidence.extend(doing::meanwhile(case).map(|doing| format!("meanwhile {doing}")));
            evidence.push(
                "their clients see an established connection and no answer, until their own timeout"
                    .to_owned(),
            );
        }
        if acks > 0 {
            evidence.push(
                "the server answers such a client again after 1, 3, 7, 15 and 31 s (tcp_synack_retries 5) \
                 and forgets it at about 63 s: what the client sends later gets a reset"
                    .to_owned(),
            );
        }
        let fix = match waiting {
            Some(_) => {
                "Find out what the server does instead of calling accept: it may be stuck, stopped, or \
                 busy with the connections that it has."
            }
            None => "Cure the full accept queue: until then such clients wait in vain.",
        };
        Some(Verdict {
            severity,
            summary: summaries.join("; "),
            evidence: evidence.join("; "),
            fix: fix.to_owned(),
        })
    }
}

/// Connections that wait in the queue of a listener at which none was accepted; `None` where accepts are not
/// observed, where all of them came only just now, and where another finding says what keeps the server from
/// accepting.
fn left_waiting(case: &Case<'_>) -> Option<u64> {
    let listener = case.listener;
    if case.providers.accepts.via == Via::None || FdExhausted.judge(case).is_some() {
        return None;
    }
    let waiting =
        listener.accept_queue.now.filter(|now| *now > 0 && listener.accepted == Some(0))?;
    // Of those that were there before the window it is not known how long they wait.
    let all_came_in_window = listener.queued.is_some_and(|queued| waiting <= queued);
    let came_now = listener.accept_wait.oldest.is_some_and(|oldest| oldest < JUST_CAME);
    (!(all_came_in_window && came_now)).then_some(waiting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        findings::fixtures::{drops, listener, state, verdict, with_case},
        model::Listener,
    };

    fn waiting(now: u64, accepted: u64, oldest: Option<u64>) -> Listener {
        let mut one = listener();
        (one.accepted, one.queued) = (Some(accepted), Some(now));
        one.accept_queue.now = Some(now);
        one.accept_wait.oldest = oldest;
        one
    }

    #[test]
    fn connections_that_nobody_accepts_are_told() {
        let judged = |one: &Listener| verdict(&SilentClients, one, true);
        assert_eq!(judged(&waiting(0, 0, None)), None);
        assert_eq!(judged(&waiting(12, 1, None)), None);
        let told = judged(&waiting(12, 0, Some(2_100_000_000))).expect("a finding");
        assert_eq!(told.severity, Severity::Warning);
        assert_eq!(told.summary, "12 connections wait in the accept queue and none was accepted");
        assert_eq!(
            told.evidence,
            "12 in the accept queue now, 0 accepted; the oldest for 2.1 s; held by no process that \
             was found; their clients see an established connection and no answer, until their own \
             timeout"
        );
        let one = judged(&waiting(1, 0, None)).expect("a finding");
        assert_eq!(one.summary, "1 connection waits in the accept queue and was not accepted");
    }

    #[test]
    fn what_the_tasks_do_meanwhile_is_told() {
        let mut one = waiting(3, 0, None);
        one.holder_states = Some(vec![state(7, 'T')]);
        let told = verdict(&SilentClients, &one, true).expect("a finding");
        assert!(told.evidence.contains("; meanwhile python3 7 is stopped (state T); "), "{told:?}");
    }

    #[test]
    fn what_came_just_now_may_still_be_accepted() {
        let judged = |one: &Listener| verdict(&SilentClients, one, true).is_some();
        assert!(!judged(&waiting(2, 0, Some(JUST_CAME - 1))));
        assert!(judged(&waiting(2, 0, Some(JUST_CAME))));
        // One of them was there before.
        let mut one = waiting(2, 0, Some(0));
        one.queued = Some(1);
        assert!(judged(&one));
    }

    #[test]
    fn where_accepts_are_not_observed_zero_is_no_number() {
        let one = waiting(12, 0, None);
        let judged = |via| {
            with_case(&one, false, |case| {
                let mut providers = case.providers.clone();
                providers.accepts.via = via;
                SilentClients.judge(&Case { providers: &providers, ..*case }).is_some()
            })
        };
        assert!(judged(Via::Tracepoint) && !judged(Via::None));
    }

    #[test]
    fn what_keeps_the_server_from_accepting_is_told_once() {
        let mut one = waiting(12, 0, None);
        assert!(verdict(&SilentClients, &one, true).is_some());
        one.accept_errors.insert("EMFILE".to_owned(), 1);
        assert_eq!(verdict(&SilentClients, &one, true), None);
    }

    #[test]
    fn nothing_is_told_of_a_closed_listener() {
        let mut one = waiting(3, 0, None);
        one.accept_queue.now = None;
        assert_eq!(verdict(&SilentClients, &one, true), None);
    }

    #[test]
    fn a_final_ack_that_was_dropped_leaves_a_client_that_is_not_told() {
        let mut one = listener();
        one.drops = drops(&[("accept_queue_full_syn", 9), ("accept_queue_full_ack", 0)]);
        assert_eq!(verdict(&SilentClients, &one, false), None);
        one.drops = drops(&[("accept_queue_full_ack", 1)]);
        one.backlog.abort_on_overflow = Some(0);
        let told = verdict(&SilentClients, &one, false).expect("a finding");
        assert_eq!(told.severity, Severity::Critical);
        assert_eq!(
            told.summary,
            "about 1 final ACK dropped: clients see an established connection"
        );
        assert!(told.evidence.contains("forgets it at about 63 s"), "{told:?}");
        one.backlog.abort_on_overflow = Some(1);
        assert_eq!(verdict(&SilentClients, &one, false), None);
    }
}
