//! `syn-queue-overflow`: SYNs found the SYN queue full, and were dropped or answered with cookies.

use super::{
    id,
    rule::{Case, Rule, Verdict},
    words::{counted, raise_limit, sentence},
};
use crate::model::Severity;

/// `net.ipv4.tcp_syncookies` with which every SYN is answered with a cookie, however empty the queue is.
const ALWAYS: u64 = 2;

pub(super) struct SynQueueOverflow;

impl Rule for SynQueueOverflow {
    fn id(&self) -> &'static str {
        id::SYN_QUEUE_OVERFLOW
    }

    fn source(&self) -> &'static str {
        "Linux Documentation/networking/ip-sysctl.rst: tcp_syncookies, tcp_max_syn_backlog"
    }

    /// The SYN queue's limit is the accept queue's (`inet_csk_reqsk_queue_is_full`); `tcp_max_syn_backlog` is
    /// read only without cookies, and then its last quarter is for peers that are known (`tcp_conn_request`).
    fn judge(&self, case: &Case<'_>) -> Option<Verdict> {
        let backlog = &case.listener.backlog;
        let (full, quarter) =
            (case.dropped("syn_queue_full"), case.dropped("syn_queue_last_quarter"));
        let cookies =
            case.listener.syn_queue.cookies_sent.filter(|_| backlog.syncookies != Some(ALWAYS));
        let (dropped, cookies) = (full.saturating_add(quarter), cookies.unwrap_or(0));
        let max = backlog.tcp_max_syn_backlog.map(|max| format!(" (now {max})"));
        let max = max.unwrap_or_default();
        let what = match (full, quarter, backlog.limit) {
            (0, 1.., _) => match backlog.tcp_max_syn_backlog {
                Some(max) => format!("SYN queue above three quarters of tcp_max_syn_backlog {max}"),
                None => "SYN queue above three quarters of tcp_max_syn_backlog".to_owned(),
            },
            (_, _, Some(limit)) => format!("SYN queue full (limit {limit})"),
            (_, _, None) => "SYN queue full".to_owned(),
        };
        let hedge = case.hedge_drops();
        let answered = counted(cookies, "SYN answered with a cookie", "SYNs answered with cookies");
        let (severity, summary) = match (dropped, cookies) {
            (0, 0) => return full_unseen(case),
            (0, _) => (Severity::Warning, format!("{what}: {answered}")),
            _ => {
                let dropped = counted(dropped, "SYN dropped", "SYNs dropped");
                (Severity::Critical, format!("{what}: {hedge}{dropped}"))
            }
        };
        let flood = flood(case, dropped, cookies);
        let summary = match &flood {
            Some(attempts) => format!("{summary}; {attempts}: a flood"),
            None => summary,
        };
        let mut evidence = format!("{hedge}{full} dropped at the queue's limit");
        if quarter > 0 {
            evidence += &format!(
                ", {hedge}{quarter} in the last quarter of tcp_max_syn_backlog, which is kept for clients \
                 that are known while cookies are off"
            );
        }
        if cookies > 0 {
            evidence += &format!("; {answered}");
        }
        evidence += match backlog.syncookies {
            Some(0) => "; SYN cookies are off: who comes next is dropped too",
            Some(_) => "; SYN cookies are on: clients get in without a place in the queue",
            None => "",
        };
        if full > 0 || cookies > 0 {
            evidence += "; the SYN queue's limit is the listener's backlog";
        }
        let mut ways = Vec::new();
        if dropped > 0 && backlog.syncookies.is_none_or(|mode| mode == 0) {
            ways.push("turn on net.ipv4.tcp_syncookies".to_owned());
        }
        if quarter > 0 {
            ways.push(format!("raise net.ipv4.tcp_max_syn_backlog{max}"));
        }
        if full > 0 || cookies > 0 {
            ways.push(raise_limit(backlog));
        }
        let mut fix = ways.join(", or ");
        if dropped == 0 {
            fix = format!("if this is no flood, {fix}; leave net.ipv4.tcp_syncookies on");
        }
        let fix = sentence(&fix);
        Some(Verdict { severity, summary, evidence, fix })
    }
}

/// No hook sees SYNs, so that nobody knows how many were answered with cookies; that the queue was full is seen.
fn full_unseen(case: &Case<'_>) -> Option<Verdict> {
    let (queue, backlog) = (&case.listener.syn_queue, &case.listener.backlog);
    let (max, limit) = queue.max.zip(backlog.limit)?;
    if queue.cookies_sent.is_some() || backlog.syncookies != Some(1) || max < limit.max(2) {
        return None;
    }
    let fix = sentence(&format!(
        "if this is no flood, {}; leave net.ipv4.tcp_syncookies on",
        raise_limit(backlog)
    ));
    Some(Verdict {
        severity: Severity::Warning,
        summary: format!(
            "SYN queue full (limit {limit}): at least {max} handshakes waited, and SYNs beyond them are \
             answered with cookies"
        ),
        evidence: "no hook sees SYNs here: how many came is not known; SYN cookies are on: clients get in \
                   without a place in the queue; the SYN queue's limit is the listener's backlog"
            .to_owned(),
        fix,
    })
}

/// Fewest attempts of which a share says anything.
const MANY: u64 = 100;

/// Of so many attempts no more than one is completed in a flood. Clients that are only too many for the backlog
/// complete their handshakes, now or when they try again: three tries in seven seconds.
const OF_SO_MANY: u64 = 10;

/// `40 of at least 9700 attempts completed`, where that is few enough to be a flood. Attempts are SYNs: a client that
/// tries again is several, and none that completed is in the SYN queue any more.
fn flood(case: &Case<'_>, dropped: u64, cookies: u64) -> Option<String> {
    let listener = case.listener;
    let queued = listener.queued?;
    let completed = queued.saturating_add(case.dropped("accept_queue_full_ack"));
    // Requests that were given up are no more in the queue, so that attempts are a least number.
    let waiting = listener.syn_queue.now.unwrap_or(0);
    // Who was answered with a cookie and came back is among the completed.
    let without_cookie = queued.saturating_add(waiting).saturating_add(dropped);
    let attempts = without_cookie.max(cookies.saturating_add(dropped));
    let few = completed.saturating_mul(OF_SO_MANY) <= attempts;
    (attempts >= MANY && few).then(|| {
        let hedge = Some(case.hedge_drops()).filter(|word| !word.is_empty());
        let hedge = hedge.unwrap_or("at least ");
        format!("{completed} of {hedge}{attempts} attempts completed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::fixtures::{drops, listener, verdict};

    fn judged(reasons: &[(&'static str, u64)], cookies: Option<u64>, mode: u64) -> Option<Verdict> {
        let mut one = listener();
        one.drops = drops(reasons);
        one.syn_queue.cookies_sent = cookies;
        one.backlog.syncookies = Some(mode);
        one.backlog.tcp_max_syn_backlog = Some(16);
        verdict(&SynQueueOverflow, &one, true)
    }

    #[test]
    fn one_dropped_syn_is_enough() {
        assert_eq!(judged(&[("syn_queue_full", 0), ("accept_queue_full_syn", 5)], None, 0), None);
        let told = judged(&[("syn_queue_full", 1)], None, 0).expect("a finding");
        assert_eq!(told.severity, Severity::Critical);
        assert_eq!(told.summary, "SYN queue full (limit 127): 1 SYN dropped");
        assert!(told.fix.contains("tcp_syncookies") && told.fix.contains("listen()"), "{told:?}");
        assert!(!told.fix.contains("tcp_max_syn_backlog"), "{told:?}");
    }

    #[test]
    fn a_queue_that_was_full_is_told_where_nobody_sees_syns() {
        let judged = |max, cookies_sent, mode| {
            let mut one = listener();
            one.syn_queue.max = Some(max);
            one.syn_queue.cookies_sent = cookies_sent;
            one.backlog.syncookies = Some(mode);
            verdict(&SynQueueOverflow, &one, false)
        };
        assert_eq!(judged(126, None, 1), None);
        assert_eq!(judged(127, Some(0), 1), None);
        assert_eq!(judged(127, None, 2), None);
        let told = judged(127, None, 1).expect("a finding");
        assert_eq!(told.severity, Severity::Warning);
        assert!(told.summary.starts_with("SYN queue full (limit 127): at least 127 "), "{told:?}");
    }

    #[test]
    fn a_flood_is_told_from_a_backlog_that_is_too_short() {
        let judged = |queued, dropped, cookies| {
            let mut one = listener();
            one.queued = queued;
            one.drops = drops(&[("syn_queue_last_quarter", dropped)]);
            one.backlog.syncookies = Some(u64::from(cookies > 0));
            one.backlog.tcp_max_syn_backlog = Some(128);
            one.syn_queue.cookies_sent = Some(cookies);
            verdict(&SynQueueOverflow, &one, true).expect("a finding").summary
        };
        assert_eq!(
            judged(Some(40), 9660, 0),
            "SYN queue above three quarters of tcp_max_syn_backlog 128: 9660 SYNs dropped; 40 of at \
             least 9700 attempts completed: a flood"
        );
        // Most came in, some at a later try.
        assert!(!judged(Some(900), 1000, 0).contains("flood"));
        // Nine attempts say nothing.
        assert!(!judged(Some(0), 99, 0).contains("flood"));
        assert!(judged(Some(0), 100, 0).contains("0 of at least 100 attempts completed: a flood"));
        // With cookies, those that came back with one are among the completed.
        assert!(
            judged(Some(5), 0, 5000).contains("5 of at least 5000 attempts completed: a flood")
        );
        assert!(!judged(Some(4000), 0, 5000).contains("flood"));
    }

    #[test]
    fn one_cookie_is_enough_and_loses_nothing() {
        assert_eq!(judged(&[], Some(0), 1), None);
        let told = judged(&[], Some(1), 1).expect("a finding");
        assert_eq!(told.severity, Severity::Warning);
        assert_eq!(told.summary, "SYN queue full (limit 127): 1 SYN answered with a cookie");
        assert!(!told.fix.contains("tcp_max_syn_backlog"), "{told:?}");
        // Cookies for everybody are no sign of a full queue.
        assert_eq!(judged(&[], Some(900), 2), None);
    }

    #[test]
    fn the_last_quarter_has_a_limit_of_its_own() {
        let told = judged(&[("syn_queue_last_quarter", 3)], None, 0).expect("a finding");
        assert_eq!(
            told.summary,
            "SYN queue above three quarters of tcp_max_syn_backlog 16: 3 SYNs dropped"
        );
        assert!(told.fix.contains("tcp_max_syn_backlog (now 16)"), "{told:?}");
        assert!(!told.fix.contains("listen()"), "{told:?}");
        let both = [("syn_queue_last_quarter", 3), ("syn_queue_full", 2)];
        let told = judged(&both, Some(4), 1).expect("a finding");
        assert_eq!(told.summary, "SYN queue full (limit 127): 5 SYNs dropped");
        // They are on.
        assert!(!told.fix.contains("tcp_syncookies"), "{told:?}");
        assert!(told.fix.contains("tcp_max_syn_backlog") && told.fix.contains("listen()"));
        assert!(told.evidence.contains("; 4 SYNs answered with cookies; SYN cookies are on"));
    }
}
