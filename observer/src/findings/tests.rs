use std::collections::BTreeSet;

use super::*;
use crate::model::Severity;

#[test]
fn each_rule_has_a_name_of_its_own_and_a_source() {
    let names = [
        id::THUNDERING_HERD,
        id::ONE_WORKER_TAKES_ALL,
        id::ACCEPT_QUEUE_OVERFLOW,
        id::ACCEPT_QUEUE_NEAR_LIMIT,
        id::SYN_QUEUE_OVERFLOW,
        id::BACKLOG_CLAMPED,
        id::FD_EXHAUSTED,
        id::SLOW_ACCEPT,
        id::SILENT_CLIENTS,
    ];
    assert_eq!(RULES.len(), names.len());
    let ids: BTreeSet<&str> = RULES.iter().map(|rule| rule.id()).collect();
    assert_eq!(ids, names.into());
    assert!(RULES.iter().all(|rule| !rule.source().is_empty()));
}

#[test]
fn a_healthy_listener_has_no_finding() {
    for exact in [true, false] {
        assert_eq!(fixtures::with_case(&fixtures::listener(), exact, findings), []);
    }
}

#[test]
fn the_worst_comes_first_and_a_second_look_changes_nothing() {
    let mut one = fixtures::listener();
    one.herd_ratio = Some(2.0);
    one.wakeups.as_mut().expect("they are known").silent = 1000;
    one.accept_queue.max = Some(128);
    one.accept_errors.insert("EMFILE".to_owned(), 1);
    let found = fixtures::with_case(&one, true, findings);
    let told: Vec<(&str, Severity)> =
        found.iter().map(|finding| (finding.id.as_str(), finding.severity)).collect();
    assert_eq!(
        told,
        [
            (id::FD_EXHAUSTED, Severity::Critical),
            (id::ACCEPT_QUEUE_NEAR_LIMIT, Severity::Warning),
            (id::THUNDERING_HERD, Severity::Info),
        ]
    );
    for Finding { summary, evidence, fix, source, .. } in &found {
        for text in [summary, evidence, source] {
            assert!(!text.is_empty() && !text.ends_with('.') && !text.contains('\n'), "{text}");
        }
        assert!(fix.ends_with('.') && !fix.contains('\n'), "{fix}");
    }
    one.findings = found.clone();
    assert_eq!(fixtures::with_case(&one, true, findings), found);
}

#[test]
fn what_had_no_room_is_a_least() {
    let mut one = fixtures::listener();
    one.accept_errors.insert("EMFILE".to_owned(), 3);
    one.incomplete = true;
    let found = fixtures::with_case(&one, true, findings);
    assert!(found[0].summary.starts_with("accept failed at least 3 times"), "{found:?}");
}
