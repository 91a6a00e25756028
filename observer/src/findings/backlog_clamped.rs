//! `backlog-clamped`: `listen()` cut the backlog that the server asked for down to somaxconn.

use super::{
    id,
    rule::{Case, Rule, Verdict},
};
use crate::model::Severity;

pub(super) struct BacklogClamped;

impl Rule for BacklogClamped {
    fn id(&self) -> &'static str {
        id::BACKLOG_CLAMPED
    }

    fn source(&self) -> &'static str {
        "listen(2); Linux Documentation/networking/ip-sysctl.rst: somaxconn"
    }

    fn judge(&self, case: &Case<'_>) -> Option<Verdict> {
        let backlog = &case.listener.backlog;
        if case.is_still() {
            return at_low_somaxconn(case);
        }
        let (limit, requested) = backlog.limit.zip(backlog.requested)?;
        // It costs a closed listener nothing any more, and would be told of it to the end of the window.
        if backlog.clamped != Some(true) || case.listener.closed {
            return None;
        }
        // The backlog is an int, and a negative one asks for as much as there is.
        let negative = u32::try_from(requested).ok().map(u32::cast_signed).filter(|int| *int < 0);
        let severity = if negative.is_some() { Severity::Info } else { Severity::Warning };
        let asked = negative.map_or_else(|| requested.to_string(), |int| int.to_string());
        let now = backlog.somaxconn;
        let (summary, fix) = match now.filter(|_| backlog.stale == Some(true)) {
            Some(now) => (
                format!(
                    "listen({asked}) was clamped to {limit}; net.core.somaxconn is {now} since"
                ),
                "Restart the server: only another listen() takes the higher limit.".to_owned(),
            ),
            None => {
                let to = match negative {
                    Some(_) => String::new(),
                    None => format!(" to {requested}"),
                };
                (
                    format!("listen({asked}) was clamped to somaxconn {limit}"),
                    format!(
                        "Raise net.core.somaxconn{to} in the listener's network namespace, then restart \
                         the server."
                    ),
                )
            }
        };
        let now = now.map(|now| format!(", net.core.somaxconn now {now}")).unwrap_or_default();
        Some(Verdict {
            severity,
            summary,
            evidence: format!("requested {asked}, got {limit}{now}"),
            fix,
        })
    }
}

/// The least that the kernel itself sets `net.core.somaxconn` to since Linux 5.4 (`SOMAXCONN`): below it
/// somebody lowered it, or the kernel is older, and 128 is too few for most servers' own defaults (511, 1024).
const USUAL: u64 = 4096;

/// In a picture of one moment nobody knows what was asked for. That the limit is at somaxconn is told where
/// somaxconn is low, or the queue is more than half full already: most programs that ask for as much as there
/// is (Go, Netty, Envoy) are healthy.
fn at_low_somaxconn(case: &Case<'_>) -> Option<Verdict> {
    let backlog = &case.listener.backlog;
    let (limit, somaxconn) = backlog.limit.zip(backlog.somaxconn)?;
    let (most, _) = case.fullest()?;
    let matters = somaxconn < USUAL || most > limit / 2;
    if backlog.at_somaxconn != Some(true) || !matters {
        return None;
    }
    Some(Verdict {
        severity: Severity::Info,
        summary: format!("the backlog's limit {limit} is at net.core.somaxconn ({somaxconn})"),
        evidence: "whether the program asked listen() for more cannot be seen".to_owned(),
        fix: "To raise it, raise net.core.somaxconn in the listener's network namespace, then restart \
              the server."
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        findings::fixtures::{listener, still, verdict},
        model::Backlog,
    };

    fn judged(requested: Option<u64>, clamped: Option<bool>, stale: bool) -> Option<Verdict> {
        let mut one = listener();
        one.backlog = Backlog {
            limit: Some(128),
            somaxconn: Some(if stale { 4096 } else { 128 }),
            requested,
            clamped,
            stale: Some(stale),
            ..Backlog::default()
        };
        verdict(&BacklogClamped, &one, true)
    }

    #[test]
    fn a_clamp_is_told_where_it_is_known() {
        assert_eq!(judged(None, None, false), None);
        assert_eq!(judged(Some(128), Some(false), false), None);
        let told = judged(Some(129), Some(true), false).expect("a finding");
        assert_eq!(told.severity, Severity::Warning);
        assert_eq!(told.summary, "listen(129) was clamped to somaxconn 128");
        assert_eq!(told.evidence, "requested 129, got 128, net.core.somaxconn now 128");
        assert!(told.fix.starts_with("Raise net.core.somaxconn to 129 "), "{told:?}");
    }

    #[test]
    fn a_still_picture_tells_a_low_somaxconn() {
        let judged = |somaxconn, at, most| {
            let mut one = listener();
            one.backlog.limit = Some(somaxconn);
            one.accept_queue.limit = Some(somaxconn);
            one.accept_queue.max = most;
            one.backlog.somaxconn = Some(somaxconn);
            one.backlog.at_somaxconn = Some(at);
            still(&BacklogClamped, &one)
        };
        assert_eq!(judged(128, false, Some(0)), None);
        assert_eq!(judged(4096, true, Some(2048)), None);
        assert!(judged(4096, true, Some(2049)).is_some());
        let told = judged(128, true, Some(0)).expect("a finding");
        assert_eq!(told.severity, Severity::Info);
        assert_eq!(told.summary, "the backlog's limit 128 is at net.core.somaxconn (128)");
        // In a window it is known, or nothing is said.
        let mut one = listener();
        (one.backlog.somaxconn, one.backlog.at_somaxconn) = (Some(127), Some(true));
        assert_eq!(verdict(&BacklogClamped, &one, true), None);
    }

    #[test]
    fn a_closed_listener_has_no_backlog() {
        let mut one = listener();
        (one.backlog.requested, one.backlog.clamped) = (Some(4096), Some(true));
        assert!(verdict(&BacklogClamped, &one, true).is_some());
        one.closed = true;
        assert_eq!(verdict(&BacklogClamped, &one, true), None);
    }

    #[test]
    fn somaxconn_that_was_raised_since_takes_another_listen() {
        let told = judged(Some(1024), Some(true), true).expect("a finding");
        assert_eq!(
            told.summary,
            "listen(1024) was clamped to 128; net.core.somaxconn is 4096 since"
        );
        assert!(told.fix.starts_with("Restart"), "{told:?}");
    }

    #[test]
    fn who_asks_for_as_much_as_there_is_may_have_enough() {
        let of = |int: i32| judged(Some(u64::from(int.cast_unsigned())), Some(true), false);
        let told = of(-1).expect("a finding");
        assert_eq!(told.severity, Severity::Info);
        assert_eq!(told.summary, "listen(-1) was clamped to somaxconn 128");
        assert!(told.fix.starts_with("Raise net.core.somaxconn in"), "{told:?}");
        assert_eq!(of(i32::MAX).expect("a finding").severity, Severity::Warning);
    }
}
