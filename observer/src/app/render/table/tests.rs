//! The table as a whole: what it looks like, and what must hold at every width.

mod findings;
mod notes;
mod order;
mod screens;

use super::fixtures::{self, options};
use super::*;
use crate::app::render::text;
use observer::model::Audit;

/// The rendered text without its legend, which has its own test, after the report was judged.
fn table(report: &Report, options: &TableOptions) -> String {
    let mut report = fixtures::judged(report.clone());
    report.window.kind = WindowKind::Interval;
    render(&report, options)
}

/// One line of the text: 2 is the headers, 3 the first listener.
fn row(text: &str, number: usize) -> &str {
    text.lines().nth(number).expect("a line for each listener")
}

#[test]
fn a_narrow_screen_gets_the_essential() {
    let text = table(&fixtures::herd(8), &options(40));
    assert_eq!(text.lines().nth(2), Some("LISTENER       ACCEPTED HERD QUEUE DROPS"));
    assert_eq!(text.lines().nth(3), Some("127.0.0.1:8080      200 8.00 3/511     0"));
}

#[test]
fn a_wide_screen_gets_every_outcome() {
    let text = table(&fixtures::incident(), &options(220));
    for header in
        ["QUEUED", "WON", "LOST", "SILENT", "FAILED", "PENDING", "ERRORS", "P99 WAIT", "FAIRNESS"]
    {
        assert!(row(&text, 2).contains(header), "{header}\n{text}");
    }
    assert!(text.contains("accept failed 412 times: no file descriptor left (EMFILE)"), "{text}");
    assert!(text.contains("accept failed on *:443: ECONNABORTED 3"), "{text}");
}

#[test]
fn no_line_is_wider_than_the_screen_and_no_code_comes_without_colour() {
    for report in fixtures::all() {
        for width in 0..=220 {
            for colour in [false, true] {
                let options = TableOptions { colour, ..options(width) };
                let painted = render(&report, &options);
                let plain = without_codes(&painted);
                for line in plain.lines() {
                    // Steps are there to be copied.
                    let is_step = line.starts_with("      ");
                    assert!(is_step || text::width(line) <= width, "{width}: {line}");
                    assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
                    assert!(!line.ends_with(' '), "{line:?}");
                }
                assert!(colour || !painted.contains('\u{1b}'));
                assert_eq!(plain, render(&report, &TableOptions { colour: false, ..options }));
            }
        }
    }
}

#[test]
fn numbers_are_shown_whole_or_not_at_all() {
    for width in 40..=220 {
        let text = table(&fixtures::incident(), &options(width));
        let header = row(&text, 2);
        let full = text.lines().find(|line| line.starts_with("*:443")).expect("its line");
        assert!(full.contains(" 1234567") && full.contains(" 1.00"), "{width}: {full}");
        assert_eq!(header.contains("QUEUE "), full.contains(" 129/128"), "{width}: {full}");
        assert_eq!(header.contains("DROPS"), full.contains(" 5311"), "{width}: {full}");
    }
}

#[test]
fn colour_follows_the_severity_of_findings() {
    let coloured = TableOptions { colour: true, ..options(80) };
    let shown = |woken| {
        let mut report = fixtures::report(vec![fixtures::listener("0.0.0.0", 80)]);
        fixtures::traffic(&mut report.listeners[0], "a", 1, 2_000, woken, None);
        render(&fixtures::judged(report), &coloured)
    };
    assert!(shown(1).contains(" 1.00"));
    assert!(shown(2).contains("\u{1b}[36m2.00\u{1b}[0m"), "info");
    assert!(shown(4).contains("\u{1b}[33m4.00\u{1b}[0m"), "a warning");
    let incident = render(&fixtures::incident(), &coloured);
    assert!(incident.contains("\u{1b}[31m5311\u{1b}[0m"), "drops");
    assert!(incident.contains("\u{1b}[31m129/128\u{1b}[0m"), "a full queue");
    assert!(incident.contains("\u{1b}[31m415\u{1b}[0m"), "errors");
    assert!(incident.contains("\u{1b}[33m12/511\u{1b}[0m"), "a queue that nobody serves");
    assert!(incident.contains("\u{1b}[2m*:22\u{1b}[0m"), "an idle listener");
    assert!(incident.contains("\u{1b}[2m  nginx 4243\u{1b}[0m"), "a worker");
    // Without findings there is no colour, whatever the numbers are.
    let mut report = fixtures::incident();
    for listener in &mut report.listeners {
        listener.findings.clear();
    }
    report.audit = Audit::default();
    let plain = render(&report, &coloured);
    assert!(!plain.contains("\u{1b}[3"), "{plain}");
}

#[test]
fn namespaces_are_shown_when_there_are_several() {
    assert!(!table(&fixtures::incident(), &options(200)).contains("NETNS"));
    let text = table(&fixtures::many(300), &options(80));
    assert!(text.contains("NETNS"));
    assert!(text.contains("*:2290   4026532281 worker ×3 exclusive"), "{text}");
    assert!(text.contains("netns 4026532281: the kernel counted 441 ListenDrops"), "{text}");
    assert!(!text.contains("netns 4026531840: "), "{text}");
}

#[test]
fn names_cannot_act_upon_the_terminal() {
    let text = render(&fixtures::hostile(), &options(200));
    assert!(text.contains("a?b?c?d 4243"), "{text}");
    assert!(text.contains("?[31mred?[2J 4244"), "{text}");
    assert!(text.contains("?txt.exe? 4245"), "{text}");
    assert!(text.contains("Linux 6.1?[2J?"), "{text}");
}

/// The text without the escape codes of styles.
fn without_codes(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, code)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = code.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}

#[test]
fn idle_listeners_that_are_not_shown_are_counted_in_words() {
    let mut report = fixtures::report(Vec::new());
    report.idle_listeners = 15;
    let text = table(&report, &options(80));
    assert_eq!(row(&text, 2), "nothing happened on 15 listeners; --idle shows them");
    report.idle_listeners = 1;
    let text = table(&report, &options(80));
    assert_eq!(row(&text, 2), "nothing happened on 1 listener; --idle shows it");
    let mut report = fixtures::herd(2);
    report.idle_listeners = 13;
    assert!(table(&report, &options(80)).contains("\n… 13 idle listeners\n"));
}
