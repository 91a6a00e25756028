use super::*;
use crate::app::{
    check::{
        command::outcome::End,
        verdict::tests::{ended, verdict, with},
    },
    render::table::fixtures,
};

#[test]
fn the_summary_is_a_table() {
    let page = summary(&verdict(2.0, ended(End::Exited(0), None)));
    assert!(page.starts_with("### ❌ observer check failed: 1 of 3 limits is broken;"), "{page}");
    let row = "| **broken** | --max-herd-ratio 2 | 8.00 | 127.0.0.1:8080 \\(nginx ×8 epoll\\) |\n";
    assert!(page.contains(row), "{page}");
    assert!(page.contains("\n- thundering-herd: "), "{page}");
    let page = summary(&verdict(9.0, None));
    assert!(page.starts_with("### ✅ observer check passed: all 3 limits hold"), "{page}");
}

#[test]
fn names_are_no_markup() {
    let mut report = fixtures::herd(1);
    report.listeners[0].holders.as_mut().expect("holders")[0].comm = "<b>|`@me[x](y)".into();
    let page = summary(&with(report, 0.5, None));
    assert!(page.contains("&lt;b&gt;\\|\\`&#64;me\\[x\\]\\(y\\)"), "{page}");
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    for line in page.lines().filter(|line| line.starts_with('|')) {
        assert_eq!(cells(line), 5, "{line}");
    }
}

#[test]
fn errors_are_annotations() {
    assert_eq!(annotations(&verdict(9.0, None)), "");
    assert_eq!(
        annotations(&verdict(2.0, None)),
        "::error title=observer check::--max-herd-ratio 2 is broken: 8.00 at 127.0.0.1:8080 (nginx ×8 epoll)\n"
    );
    let both = annotations(&verdict(2.0, ended(End::Exited(7), None)));
    assert!(
        both.starts_with("::error title=observer check::./server exited with status 7\n"),
        "{both}"
    );
    assert_eq!(both.lines().count(), 2);
    assert_eq!(annotations(&with(fixtures::many(600), 0.5, None)).lines().count(), MOST_ERRORS);
}

#[test]
fn what_an_annotation_says_ends_no_line() {
    assert_eq!(data("100%\r\n::error::x"), "100%25%0D%0A::error::x");
}

#[test]
fn a_large_host_makes_no_large_page() {
    assert!(summary(&with(fixtures::many(5_000), 0.5, None)).len() < 100_000);
}
