//! `slow-accept`: connections wait long in the accept queue before the server takes them.

use super::{
    id,
    rule::{Case, Rule, Verdict},
    words::counted,
};
use crate::{model::Severity, units};

/// Nanoseconds from which on a user feels the wait: 100 ms.
const SLOW: u64 = 100_000_000;

/// Fewest waits of which a percentile says anything.
const FEWEST: u64 = 10;

pub(super) struct SlowAccept;

impl Rule for SlowAccept {
    fn id(&self) -> &'static str {
        id::SLOW_ACCEPT
    }

    fn source(&self) -> &'static str {
        "accept(2), listen(2)"
    }

    fn judge(&self, case: &Case<'_>) -> Option<Verdict> {
        let wait = &case.listener.accept_wait;
        let count = wait.count?;
        let slow = wait.p99.filter(|p99| *p99 >= SLOW && count >= FEWEST)?;
        let (accepts, handshakes) = (&case.providers.accepts, &case.providers.handshakes);
        // A wait begins with one signal and ends with the other.
        let hedge = case.hedge(if accepts.exact { handshakes } else { accepts });
        // What had no room makes counts too low, but no wait shorter.
        let hedge = if case.listener.incomplete { "about " } else { hedge };
        let named = [("p50", wait.p50), ("p90", wait.p90), ("p99", wait.p99), ("max", wait.max)];
        let told: Vec<String> = named
            .into_iter()
            .filter_map(|(name, wait)| Some(format!("{name} {hedge}{}", units::time(wait?))))
            .collect();
        Some(Verdict {
            severity: Severity::Warning,
            summary: format!(
                "slow accept: connections waited {hedge}{} to be accepted (p99)",
                units::time(slow)
            ),
            evidence: format!(
                "{} of {}",
                told.join(", "),
                counted(count, "connection", "connections")
            ),
            fix: "Add workers or threads, or take work out of the loop that accepts.".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        findings::fixtures::{listener, verdict},
        model::AcceptWait,
    };

    fn judged(count: u64, p99: Option<u64>, exact: bool) -> Option<Verdict> {
        let mut one = listener();
        one.accept_wait =
            AcceptWait { count: Some(count), p50: Some(1000), p99, ..AcceptWait::default() };
        verdict(&SlowAccept, &one, exact)
    }

    #[test]
    fn a_tenth_of_a_second_is_slow() {
        assert_eq!(judged(1000, None, true), None);
        assert_eq!(judged(1000, Some(SLOW - 1), true), None);
        let told = judged(1000, Some(SLOW), true).expect("a finding");
        assert_eq!(told.severity, Severity::Warning);
        assert_eq!(told.summary, "slow accept: connections waited 100 ms to be accepted (p99)");
        assert_eq!(told.evidence, "p50 1.0 µs, p99 100 ms of 1000 connections");
        let told = judged(1000, Some(SLOW), false).expect("a finding");
        assert!(told.summary.contains("waited about 100 ms"), "{told:?}");
    }

    #[test]
    fn a_few_connections_say_nothing() {
        assert_eq!(judged(FEWEST - 1, Some(9 * SLOW), true), None);
        assert!(judged(FEWEST, Some(9 * SLOW), true).is_some());
    }
}
