//! Findings keep an idle listener in the reports.

use observer_common::counters::QueueStats;

use super::{LastSeen, World};
use crate::model::{Finding, Report, Severity};

/// Finds something where the limit is this.
fn low_limit(report: &mut Report) {
    for one in report.listeners.iter_mut().filter(|one| one.accept_queue.limit == Some(16)) {
        one.findings.push(Finding {
            id: "low".into(),
            severity: Severity::Warning,
            server: None,
            summary: String::new(),
            evidence: String::new(),
            fix: String::new(),
            steps: Vec::new(),
            source: String::new(),
        });
    }
}

#[test]
fn an_idle_listener_with_a_finding_is_shown_until_it_has_none() {
    let mut world = World { judge: low_limit, ..World::new() };
    let mut last_seen = LastSeen::default();
    world.first().limit = Some(16);
    let ports = |report: &Report| report.listeners.iter().map(|one| one.port).collect::<Vec<_>>();
    for _ in 0..3 {
        let report = world.report(&mut last_seen);
        assert_eq!((ports(&report), report.idle_listeners), (vec![80, 81], 0));
    }
    world.judge = |_| {};
    for _ in 0..2 {
        let report = world.report(&mut last_seen);
        assert_eq!((ports(&report), report.idle_listeners), (vec![81], 1));
    }
}

#[test]
fn a_finding_of_counts_goes_with_them() {
    let mut world = World { judge: crate::findings::judge, ..World::new() };
    let mut last_seen = LastSeen::default();
    drop(world.report(&mut last_seen));
    let mut queue = QueueStats::ZERO;
    queue.drops.fill(9);
    world.counted.queues.insert(1, queue);
    let report = world.report(&mut last_seen);
    assert!(!report.listeners[0].findings.is_empty(), "{report:?}");
    world.counted.queues.clear();
    let report = world.report(&mut last_seen);
    assert_eq!((report.listeners.len(), report.idle_listeners), (1, 1));
}
