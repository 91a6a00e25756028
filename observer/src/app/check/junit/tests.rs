use super::*;
use crate::app::{
    check::{
        command::outcome::End,
        verdict::tests::{ended, verdict, with},
    },
    render::table::fixtures,
};

fn document(verdict: &Verdict) -> String {
    super::document(verdict).expect("XML")
}

#[test]
fn each_limit_and_listener_is_a_case() {
    let text = document(&verdict(2.0, ended(End::Exited(0), None)));
    assert!(text.contains(r#"tests="4" skipped="0" failures="1" errors="0""#), "{text}");
    assert!(text.contains(r#"classname="observer check --max-herd-ratio 2""#), "{text}");
    assert!(
        text.contains(r#"<failure message="8.00 at 127.0.0.1:8080 (nginx ×8 epoll)""#),
        "{text}"
    );
    let text = document(&with(fixtures::incident(), 2.0, None));
    // Those that nothing came to are skipped, with the reason.
    assert!(text.contains(r#"<skipped message="nothing was accepted"/>"#), "{text}");
}

#[test]
fn a_failed_command_is_a_failed_case() {
    let text = document(&verdict(9.0, ended(End::Signalled(11), None)));
    let failure =
        r#"<failure message="./server was ended by SIGSEGV (exit status 139)" type="command"/>"#;
    assert!(text.contains(failure), "{text}");
}

#[test]
fn what_is_in_doubt_is_an_error() {
    let mut report = fixtures::herd(8);
    report.providers.wakeups.exact = false;
    let text = document(&with(report, 2.0, None));
    assert!(text.contains(r#"failures="0" errors="1""#), "{text}");
    assert!(text.contains("<error message=\"~8.00: wakeups by tracepoint"), "{text}");
}

#[test]
fn names_cannot_break_it() {
    let mut report = fixtures::hostile();
    for holder in report.listeners[0].holders.iter_mut().flatten() {
        holder.comm = "a\"/><x>&\u{1}]]>".into();
    }
    let text = document(&with(report, 2.0, ended(End::Exited(1), None)));
    assert!(!text.contains("<x>") && !text.contains('\u{1b}') && !text.contains('\u{1}'), "{text}");
}

#[test]
fn what_came_to_no_verdict_is_an_error() {
    let text = failure("observer: not <possible> here").expect("XML");
    assert!(text.contains(r#"tests="1" skipped="0" failures="0" errors="1""#), "{text}");
    assert!(text.contains("not &lt;possible&gt; here"), "{text}");
}
