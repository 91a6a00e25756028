use observer::model::Provider;

use super::*;
use crate::app::{
    check::{
        command::outcome::{End, Why},
        measure::{DROPS, HERD_RATIO},
    },
    render::table::fixtures,
};

/// A herd of eight held against a herd ratio.
pub(in crate::app::check) fn verdict(ratio: f64, command: Option<Outcome>) -> Verdict {
    with(fixtures::herd(8), ratio, command)
}

/// A report held against a herd ratio.
pub(in crate::app::check) fn with(report: Report, ratio: f64, command: Option<Outcome>) -> Verdict {
    let limits = [
        Limit::Most(&HERD_RATIO, ratio, ratio.to_string()),
        Limit::Most(&DROPS, 0.0, "0".to_owned()),
        Limit::MinAccepted(1),
    ];
    let mut report = report;
    report.providers.drops.exact = true;
    Verdict::new(
        report,
        command,
        &Against { limits: &limits, baseline: None, allow_estimates: false },
    )
}

/// A command with this end.
pub(in crate::app::check) fn ended(end: End, why: Option<Why>) -> Option<Outcome> {
    Some(Outcome { command: "./server".into(), end: Some(end), ended: why, left: 0 })
}

#[test]
fn the_commands_failure_wins() {
    for (ratio, end, why, status) in [
        (9.0, None, None, 0),
        (2.0, None, None, 3),
        (9.0, Some(End::Exited(0)), None, 0),
        (2.0, Some(End::Exited(0)), None, 3),
        (9.0, Some(End::Exited(7)), None, 7),
        (2.0, Some(End::Exited(7)), None, 7),
        (2.0, Some(End::Signalled(9)), None, 137),
        (2.0, Some(End::Signalled(9)), Some(Why::Asked), 3),
        (9.0, Some(End::Signalled(15)), Some(Why::Asked), 0),
        (9.0, Some(End::NotStarted(2)), None, 127),
    ] {
        let command = end.and_then(|end| ended(end, why));
        assert_eq!(verdict(ratio, command).status(), status, "{ratio} {end:?} {why:?}");
    }
}

#[test]
fn what_is_in_doubt_is_neither_broken_nor_held() {
    let mut report = fixtures::herd(8);
    report.providers.wakeups = Provider { exact: false, ..report.providers.wakeups };
    let doubtful = with(report.clone(), 2.0, None);
    // 4 is of kernels, and lets jobs through.
    assert_eq!(doubtful.status(), 1);
    assert!(doubtful.headline().starts_with("check failed: 1 of 3 limits cannot be decided"));
    // What is sure comes first.
    report.listeners[0].drops.total = Some(1);
    assert_eq!(with(report.clone(), 2.0, None).status(), 3);
    assert_eq!(with(report, 2.0, ended(End::Exited(5), None)).status(), 5);
}

#[test]
fn the_headline_tells_everything() {
    assert_eq!(
        verdict(9.0, None).headline(),
        "check passed: all 3 limits hold; 5.0 s, 1 listener, 200 connections accepted"
    );
    assert_eq!(
        verdict(2.0, ended(End::Exited(7), None)).headline(),
        "check failed: the command failed (exit status 7), and 1 of 3 limits is broken; 5.0 s, 1 listener, 200 \
         connections accepted"
    );
    assert_eq!(
        verdict(9.0, ended(End::NotStarted(13), None)).headline(),
        "check failed: ./server cannot be started: Permission denied"
    );
    let empty = with(fixtures::report(Vec::new()), 2.0, None);
    assert_eq!(empty.status(), 3);
    let mut nothing = fixtures::herd(8);
    let one = &mut nothing.listeners[0];
    (one.accepted, one.herd_ratio, one.wakeups) = (Some(0), None, None);
    let limits = [Limit::Most(&HERD_RATIO, 2.0, "2".to_owned()), Limit::MinAccepted(0)];
    let against = Against { limits: &limits, baseline: None, allow_estimates: true };
    let told = Verdict::new(nothing, None, &against).headline();
    assert!(
        told.starts_with("check passed: no limit is broken, and 1 of 2 had nothing to judge; "),
        "{told}"
    );
}

#[test]
fn what_the_audit_says_is_told_and_decides_where_a_limit_rests_on_it() {
    let mut report = fixtures::herd(8);
    report.audit.missed_runs = 3;
    let told = with(report, 9.0, None);
    assert_eq!(told.status(), 0, "the hooks say what that makes of their numbers");
    assert!(
        told.notes.iter().any(|note| note.starts_with("3 runs of observer's")),
        "{:?}",
        told.notes
    );
    let mut report = fixtures::herd(8);
    report.audit.no_room.processes = 1;
    let doubtful = with(report, 9.0, None);
    assert_eq!(doubtful.status(), 1);
    let doubts = doubtful.judged.iter().filter(|one| one.doubt.is_some()).count();
    assert_eq!(doubts, 2, "all but --min-accepted");
}
