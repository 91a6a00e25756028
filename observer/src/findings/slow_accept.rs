//! `slow-accept`: connections wait long in the accept queue before the server takes them.

use super::{
    burst::{self, Cause},
    doing, id,
    rule::{Case, Rule, Verdict},
    words::counted,
};
use crate::{
    model::{AcceptWait, Severity},
    units,
};

/// Nanoseconds from which on a user feels the wait: 100 ms.
pub(super) const SLOW: u64 = 100_000_000;

/// Fewest waits of which a percentile says anything.
pub(super) const FEWEST: u64 = 10;

/// Fewest waits of which the hundredth part is more than one. Of fewer the 99th percentile is the longest of
/// all: one pause of the machine, of which no server is the cause; there the slowest tenth counts.
const MANY: u64 = 200;

/// The wait by which a listener is judged, and which percentile it is.
fn measure(wait: &AcceptWait) -> Option<(u64, &'static str)> {
    match wait.count? {
        MANY.. => Some((wait.p99?, "p99")),
        FEWEST..MANY => Some((wait.p90?, "p90")),
        _ => None,
    }
}

pub(super) struct SlowAccept;

impl Rule for SlowAccept {
    fn id(&self) -> &'static str {
        id::SLOW_ACCEPT
    }

    fn source(&self) -> &'static str {
        "accept(2), listen(2)"
    }

    /// Connections waited long, or wait now at a listener whose tasks are held up.
    fn judge(&self, case: &Case<'_>) -> Option<Verdict> {
        let wait = &case.listener.accept_wait;
        let Some((slow, name)) = measure(wait).filter(|(wait, _)| *wait >= SLOW) else {
            return held_up(case).or_else(|| late(case));
        };
        let (accepts, handshakes) = (&case.providers.accepts, &case.providers.handshakes);
        // A wait begins with one signal and ends with the other.
        let hedge = case.hedge(if accepts.exact { handshakes } else { accepts });
        // What had no room makes counts too low, but no wait shorter.
        let hedge = if case.listener.incomplete { "about " } else { hedge };
        let named = [("p50", wait.p50), ("p90", wait.p90), ("p99", wait.p99), ("max", wait.max)];
        let mut told: Vec<String> = named
            .into_iter()
            .filter_map(|(name, wait)| Some(format!("{name} {hedge}{}", units::time(wait?))))
            .collect();
        let of = counted(wait.count.unwrap_or(0), "connection", "connections");
        if let Some(last) = told.last_mut() {
            *last += &format!(" of {of} in {}", units::seconds(case.window.seconds));
        }
        told.extend(meanwhile(case));
        let why = doing::held_up_in_words(case).map(|who| format!("; {who}")).unwrap_or_default();
        Some(Verdict {
            severity: Severity::Warning,
            summary: format!(
                "slow accept: connections waited {hedge}{} to be accepted ({name}){why}",
                units::time(slow)
            ),
            evidence: told.join(", "),
            fix: "Add workers or threads, or take work out of the loop that accepts.".to_owned(),
        })
    }
}

/// Nanoseconds that a connection has waited by the end of the window, from which on it is told though too few
/// were accepted for a percentile: a whole second.
const LATE: u64 = 1_000_000_000;

/// Tasks that accept are stopped or frozen: while connections wait, or in a picture of one moment. One of
/// several that hold one socket leaves the others to accept, so that it is only worth knowing there.
fn held_up(case: &Case<'_>) -> Option<Verdict> {
    let who = doing::held_up_in_words(case)?;
    let waiting = case.listener.accept_queue.now.filter(|now| *now > 0);
    let all = doing::all_held_up(case);
    // What came just now waits at every listener.
    let wait = case.listener.accept_wait.oldest;
    if !case.is_still() && (waiting.is_none() || wait.is_some_and(|wait| wait < SLOW)) {
        return None;
    }
    let waits = waiting.map(|waiting| {
        let verb = if waiting == 1 { "waits" } else { "wait" };
        format!("; {} {verb} in the queue", counted(waiting, "connection", "connections"))
    });
    let mut evidence: Vec<String> = doing::meanwhile(case).into_iter().collect();
    evidence.extend(wait.map(|wait| format!("the oldest has waited for {}", units::time(wait))));
    Some(Verdict {
        severity: if all || waiting.is_some() { Severity::Warning } else { Severity::Info },
        summary: format!("{who}{}", waits.unwrap_or_default()),
        evidence: evidence.join(", "),
        fix: "Let it go on (kill -CONT, or thaw its control group), or find out who stopped it."
            .to_owned(),
    })
}

/// Too few were accepted for a percentile, and one waits for a second or more: the server comes back to accept
/// now and then. Where none was accepted, `silent-clients` says so.
fn late(case: &Case<'_>) -> Option<Verdict> {
    let listener = case.listener;
    // `fd-exhausted` says why.
    if burst::cause(case) == Cause::Failing {
        return None;
    }
    let oldest = listener.accept_wait.oldest.filter(|oldest| *oldest >= LATE)?;
    let accepted = listener.accepted.filter(|accepted| *accepted > 0)?;
    let waiting = listener.accept_queue.now.filter(|now| *now > 0)?;
    let mut evidence = vec![format!(
        "{} accepted in {}",
        counted(accepted, "connection", "connections"),
        units::seconds(case.window.seconds)
    )];
    evidence.extend(meanwhile(case));
    Some(Verdict {
        severity: Severity::Warning,
        summary: format!(
            "slow accept: {} in the queue, the oldest for {}",
            counted(waiting, "connection waits", "connections wait"),
            units::time(oldest)
        ),
        evidence: evidence.join(", "),
        fix: "Add workers or threads, or take work out of the loop that accepts.".to_owned(),
    })
}

/// What the tasks do while connections wait; with the queue empty they wait for work, which says nothing.
fn meanwhile(case: &Case<'_>) -> Option<String> {
    case.listener.accept_queue.now.filter(|now| *now > 0)?;
    let doing = doing::meanwhile(case)?;
    let states = case.listener.holder_states.as_deref().unwrap_or_default();
    let blocked = states.len() == 1 && states[0].state == Some('R');
    let so =
        if blocked { ": its loop is busy or blocked with something else than accept" } else { "" };
    Some(format!("meanwhile {doing}{so}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        findings::fixtures::{listener, state, still, verdict},
        model::{AcceptWait, HolderState, ReuseportGroup},
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
        assert_eq!(told.evidence, "p50 1.0 µs, p99 100 ms of 1000 connections in 5.0 s");
        let told = judged(1000, Some(SLOW), false).expect("a finding");
        assert!(told.summary.contains("waited about 100 ms"), "{told:?}");
    }

    #[test]
    fn what_the_workers_do_meanwhile_is_told() {
        let mut one = listener();
        one.accept_wait =
            AcceptWait { count: Some(1000), p99: Some(SLOW), ..AcceptWait::default() };
        one.holder_states = Some(vec![state(7, 'R')]);
        let told = verdict(&SlowAccept, &one, true).expect("a finding");
        // Nobody waits now: what it does says nothing.
        assert!(!told.evidence.contains("meanwhile"), "{told:?}");
        one.accept_queue.now = Some(3);
        let told = verdict(&SlowAccept, &one, true).expect("a finding");
        assert!(told.evidence.contains("meanwhile python3 7 is running (state R): its loop"));
        let sleeps = HolderState { call: Some("futex".into()), ..state(7, 'S') };
        one.holder_states = Some(vec![sleeps]);
        let told = verdict(&SlowAccept, &one, true).expect("a finding");
        assert!(told.evidence.ends_with("meanwhile python3 7 sleeps in futex"), "{told:?}");
    }

    #[test]
    fn a_stopped_member_of_a_group_is_told_while_connections_wait() {
        let mut one = listener();
        (one.accepted, one.queued) = (Some(0), Some(3));
        one.holder_states = Some(vec![state(23_480, 'T')]);
        one.reuseport_group = Some(ReuseportGroup { id: 1, size: 4 });
        assert_eq!(verdict(&SlowAccept, &one, true), None);
        one.accept_queue.now = Some(3);
        one.accept_wait.oldest = Some(SLOW - 1);
        assert_eq!(verdict(&SlowAccept, &one, true), None);
        one.accept_wait.oldest = Some(2_000_000_000);
        let told = verdict(&SlowAccept, &one, true).expect("a finding");
        assert_eq!(told.severity, Severity::Warning);
        assert_eq!(
            told.summary,
            "python3 23480 is stopped (state T), 1 of 4 listeners of this reuseport group; 3 \
             connections wait in the queue"
        );
        one.holder_states = Some(vec![state(23_480, 'S')]);
        assert_eq!(verdict(&SlowAccept, &one, true), None);
    }

    #[test]
    fn a_still_picture_tells_who_is_stopped() {
        let mut one = listener();
        one.holder_states = Some(vec![state(7, 'S'), state(8, 'T')]);
        assert_eq!(still(&SlowAccept, &one).expect("a finding").severity, Severity::Info);
        one.holder_states = Some(vec![state(8, 'T')]);
        assert_eq!(still(&SlowAccept, &one).expect("a finding").severity, Severity::Warning);
        one.holder_states = Some(vec![state(8, 'S')]);
        assert_eq!(still(&SlowAccept, &one), None);
    }

    #[test]
    fn one_that_waits_for_a_second_is_late() {
        let mut one = listener();
        (one.accepted, one.accept_queue.now) = (Some(2), Some(5));
        one.accept_wait.oldest = Some(LATE - 1);
        assert_eq!(verdict(&SlowAccept, &one, true), None);
        one.accept_wait.oldest = Some(LATE);
        let told = verdict(&SlowAccept, &one, true).expect("a finding");
        assert_eq!(
            told.summary,
            "slow accept: 5 connections wait in the queue, the oldest for 1.0 s"
        );
        one.accept_errors.insert("EMFILE".to_owned(), 1);
        assert_eq!(verdict(&SlowAccept, &one, true), None);
        one.accept_errors.clear();
        one.accepted = Some(0);
        assert_eq!(verdict(&SlowAccept, &one, true), None);
    }

    #[test]
    fn a_few_connections_say_nothing() {
        let judged = |count, p90, p99| {
            let mut one = listener();
            one.accept_wait =
                AcceptWait { count, p90: Some(p90), p99: Some(p99), ..Default::default() };
            verdict(&SlowAccept, &one, true)
        };
        assert_eq!(judged(Some(FEWEST - 1), SLOW, SLOW), None);
        // One pause of the machine.
        assert_eq!(judged(Some(MANY - 1), SLOW - 1, SLOW), None);
        let told = judged(Some(FEWEST), SLOW, SLOW).expect("a finding");
        assert_eq!(told.summary, "slow accept: connections waited 100 ms to be accepted (p90)");
        let told = judged(Some(MANY), SLOW - 1, SLOW).expect("a finding");
        assert_eq!(told.summary, "slow accept: connections waited 100 ms to be accepted (p99)");
    }
}
