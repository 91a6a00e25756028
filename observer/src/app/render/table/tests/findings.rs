//! What is wrong, beneath the listener that it is wrong with.

use super::super::fixtures::{self, options};
use super::*;
use observer::model::{Finding, Severity};

fn finding(severity: Severity, summary: &str, fix: &str) -> Finding {
    Finding {
        id: "x".into(),
        severity,
        server: None,
        summary: summary.into(),
        evidence: "12 of 13".into(),
        fix: fix.into(),
        steps: Vec::new(),
        source: "listen(2)".into(),
    }
}

#[test]
fn findings_come_with_what_to_do_the_worst_first() {
    let text = table(&fixtures::incident(), &options(200));
    let told: Vec<&str> = text
        .lines()
        .filter(|line| {
            ["  critical: ", "  warning: ", "    fix: "].iter().any(|word| line.starts_with(word))
        })
        .filter_map(|line| line.split_once(": ").map(|(_, told)| told))
        .collect();
    assert!(told[0].starts_with("accept failed 412 times: no file descriptor left"), "{told:#?}");
    assert!(told[1].starts_with("Raise the server's limit on open files"), "{told:#?}");
    assert!(told[2].starts_with("accept queue full (limit 128), and 5311 connection"), "{told:#?}");
    assert!(told[4].starts_with("thundering herd: 32.00 wakeups"), "{told:#?}");
    assert!(told[6].starts_with("12 connections wait in the accept queue"), "{told:#?}");
}

#[test]
fn they_stand_above_the_numbers_and_the_workers() {
    let text = table(&fixtures::herd(8), &options(80));
    let place = |words: &str| text.lines().position(|line| line.starts_with(words));
    let places =
        ["127.0.0.1:8080", "  info: thundering herd", "    fix: ", "  nginx 4243"].map(place);
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{places:?}\n{text}");
}

#[test]
fn a_fix_is_told_once() {
    let mut report =
        fixtures::report((1..4).map(|port| fixtures::listener("0.0.0.0", port)).collect());
    for listener in &mut report.listeners {
        listener.findings.push(finding(Severity::Info, "Only so", "Restart it."));
    }
    report.listeners[2].findings[0].fix = "Leave it.".into();
    let text = render(&report, &options(80));
    assert!(
        text.contains("\n  info: Only so\n    seen: 12 of 13\n    fix: Restart it.\n"),
        "{text}"
    );
    assert!(text.contains("\n  info: Only so (same fix)\n    seen: 12 of 13\n"), "{text}");
    assert!(text.contains("\n  info: Only so\n    seen: 12 of 13\n    fix: Leave it.\n"), "{text}");
    // Nothing happened on them, and yet they are not idle.
    assert!(!text.contains("idle"), "{text}");
    let brief = TableOptions { numbers: false, fixes: 0, ..options(80) };
    assert!(!render(&report, &brief).contains("fix: "));
    assert_eq!(render(&report, &brief).matches("\n  info: Only so\n").count(), 3);
}

#[test]
fn findings_cannot_act_upon_the_terminal() {
    let mut report = fixtures::herd(2);
    report.listeners[0].findings = vec![finding(Severity::Info, "a\u{1b}[2J\nb", "c\u{1b}[2J")];
    for fixes in [1, 0] {
        let text = render(&report, &TableOptions { fixes, ..options(80) });
        assert!(text.contains("  info: a?[2J?b\n") && !text.contains('\u{1b}'), "{text}");
    }
}
