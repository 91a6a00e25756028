use std::time::Duration;

use observer::model::AcceptWait;

use super::*;
use crate::app::render::table::fixtures;

fn none() -> LimitArgs {
    LimitArgs {
        max_herd_ratio: None,
        max_drops: None,
        max_accept_wait_p99: None,
        max_queue_used: None,
        max_accept_errors: None,
        min_accepted: None,
        fail_on: Vec::new(),
        baseline: None,
    }
}

/// One listener with 200 connections, a herd of eight, three drops and two errors.
fn report() -> Report {
    let mut report = fixtures::herd(8);
    let one = &mut report.listeners[0];
    one.drops.total = Some(3);
    one.accept_wait =
        AcceptWait { count: Some(200), p99: Some(1_040_000), ..AcceptWait::default() };
    one.accept_queue.used_percent = Some(12.5);
    one.accept_errors.insert("EMFILE".into(), 2);
    report.providers.drops.exact = true;
    report
}

/// What the first limit comes to.
fn judged(report: &Report, change: impl FnOnce(&mut LimitArgs)) -> Judged {
    let mut args = none();
    change(&mut args);
    limits(&args).remove(0).judge(report, &Subject::each(report), false)
}

fn state(report: &Report, change: impl FnOnce(&mut LimitArgs)) -> (State, String) {
    let row = judged(report, change).rows.remove(0);
    (row.state, row.shown)
}

#[test]
fn each_limit_is_held_up_to_itself_and_broken_above() {
    let report = report();
    let held = |shown: &str| (State::Held, shown.to_owned());
    let broken = |shown: &str| (State::Broken, shown.to_owned());
    assert_eq!(state(&report, |args| args.max_herd_ratio = Some(8.0)), held("8.00"));
    assert_eq!(state(&report, |args| args.max_herd_ratio = Some(7.9)), broken("8.00"));
    assert_eq!(state(&report, |args| args.max_drops = Some(3)), held("3"));
    assert_eq!(state(&report, |args| args.max_drops = Some(2)), broken("3"));
    assert_eq!(state(&report, |args| args.max_queue_used = Some(12.5)), held("12.5%"));
    assert_eq!(state(&report, |args| args.max_queue_used = Some(12.4)), broken("12.5%"));
    assert_eq!(state(&report, |args| args.max_accept_errors = Some(2)), held("2"));
    assert_eq!(state(&report, |args| args.max_accept_errors = Some(1)), broken("2"));
    assert_eq!(state(&report, |args| args.min_accepted = Some(200)), held("200"));
    assert_eq!(state(&report, |args| args.min_accepted = Some(201)), broken("200"));
    let wait = |micros| {
        move |args: &mut LimitArgs| args.max_accept_wait_p99 = Some(Duration::from_micros(micros))
    };
    assert_eq!(state(&report, wait(1_040)), held("1.0 ms"));
    // It does not look like its limit where it is above.
    assert_eq!(state(&report, wait(1_000)), broken("1040000 ns"));
}

#[test]
fn what_may_be_above_a_limit_does_not_hold_it() {
    let mut report = report();
    let drops = &mut report.listeners[0].drops;
    (drops.total, drops.at_most) = (Some(3), Some(500));
    let at = |limit| state(&report, |args| args.max_drops = Some(limit));
    assert_eq!(at(2), (State::Broken, "3 to 500".to_owned()));
    assert_eq!(at(10), (State::Broken, "3 to 500, not known whether above 10".to_owned()));
    assert_eq!(at(499).0, State::Broken);
    assert_eq!(at(500), (State::Held, "3 to 500".to_owned()));
}

#[test]
fn connections_that_nobody_takes_break_a_limit_of_waits() {
    let mut report = report();
    let one = &mut report.listeners[0];
    let limit = |args: &mut LimitArgs| args.max_accept_wait_p99 = Some(Duration::from_secs(1));
    (one.accept_queue.now, one.accept_wait.oldest) = (Some(3), Some(2_000_000_000));
    let told = "2.0 s (3 connections still wait)".to_owned();
    assert_eq!(state(&report, limit), (State::Broken, told));
    report.listeners[0].accept_wait.oldest = Some(1_000_000_000);
    assert_eq!(state(&report, limit).0, State::Held);
    report.listeners[0].discarded = Some(3);
    let told = "3 connections were never accepted".to_owned();
    assert_eq!(state(&report, limit), (State::Broken, told));
}

#[test]
fn limits_are_told_as_they_are_typed() {
    let mut args = none();
    args.max_herd_ratio = Some(2.0);
    args.max_accept_wait_p99 = Some(Duration::from_millis(1_500));
    args.max_queue_used = Some(80.0);
    args.fail_on =
        vec![FailOn::Severity(Severity::Warning), FailOn::Finding("fd-exhausted".into())];
    let typed: Vec<String> = limits(&args).iter().map(Limit::typed).collect();
    assert_eq!(
        typed,
        [
            "--max-herd-ratio 2",
            "--max-accept-wait-p99 1s 500ms",
            "--max-queue-used 80%",
            "--fail-on warning",
            "--fail-on fd-exhausted",
            "--min-accepted 1",
        ]
    );
}

#[test]
fn a_severity_is_at_least_that() {
    let report = report();
    let severities: Vec<_> = report.listeners[0].findings.iter().map(|one| one.severity).collect();
    assert_eq!(severities, [Severity::Info], "{:?}", report.listeners[0].findings);
    let on = |which| move |args: &mut LimitArgs| args.fail_on = vec![which];
    let (state_of, shown) = state(&report, on(FailOn::Severity(Severity::Info)));
    assert_eq!(state_of, State::Broken);
    assert!(shown.starts_with("thundering-herd: "), "{shown}");
    let warning = state(&report, on(FailOn::Severity(Severity::Warning)));
    assert_eq!(warning, (State::Held, "none".to_owned()));
    let herd = state(&report, on(FailOn::Finding("thundering-herd".into())));
    assert_eq!(herd.0, State::Broken);
    let other = state(&report, on(FailOn::Finding("fd-exhausted".into())));
    assert_eq!(other.0, State::Held);
}

#[test]
fn what_is_not_known_breaks_a_limit_and_what_is_not_there_is_not_judged() {
    let mut report = report();
    let one = &mut report.listeners[0];
    (one.accepted, one.herd_ratio, one.drops.total) = (None, None, None);
    let (state_of, shown) = state(&report, |args| args.max_herd_ratio = Some(100.0));
    assert_eq!(state_of, State::Broken);
    assert!(shown.starts_with("not known: "), "{shown}");
    assert_eq!(state(&report, |args| args.max_drops = Some(u64::MAX)).0, State::Broken);
    assert_eq!(state(&report, |args| args.max_accept_errors = Some(u64::MAX)).0, State::Broken);
    assert_eq!(state(&report, |args| args.min_accepted = Some(1)).0, State::Broken);
    (report.listeners[0].accepted, report.listeners[0].wakeups) = (Some(0), None);
    let (state_of, shown) = state(&report, |args| args.max_herd_ratio = Some(0.0));
    assert_eq!((state_of, shown.as_str()), (State::NotJudged, "nothing was accepted"));
}

#[test]
fn a_window_without_a_listener_is_an_empty_one() {
    let empty = fixtures::report(Vec::new());
    assert!(judged(&empty, |args| args.max_drops = Some(0)).rows.is_empty());
    let (state_of, shown) = state(&empty, |args| args.min_accepted = Some(1));
    assert_eq!((state_of, shown.as_str()), (State::Broken, "no listener was there"));
    assert_eq!(state(&empty, |args| args.min_accepted = Some(0)).0, State::Held);
}

#[test]
fn the_worst_comes_first() {
    let mut report = fixtures::incident();
    report.providers.drops.exact = true;
    let judged = judged(&report, |args| args.max_herd_ratio = Some(2.0));
    let rows = judged.worst_first();
    assert_eq!(rows[0].shown, "32.00");
    assert_eq!(rows[1].shown, "3.00");
    let states: Vec<State> = rows.iter().map(|row| row.state).collect();
    assert!(states.is_sorted(), "{states:?}");
    assert!(judged.is_broken());
    assert!(!Judged { doubt: Some("none".into()), ..judged }.is_broken());
}

#[test]
fn an_estimate_is_marked() {
    let mut report = report();
    report.providers.wakeups.exact = false;
    let limit = limits(&LimitArgs { max_herd_ratio: Some(2.0), ..none() }).remove(0);
    let judged = limit.judge(&report, &Subject::each(&report), true);
    assert_eq!(judged.shown(&judged.rows[0]), "~8.00");
    assert_eq!(judged.doubt, None);
    assert!(limit.judge(&report, &Subject::each(&report), false).doubt.is_some());
}
