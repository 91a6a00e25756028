use super::*;
use crate::vm::plan::{Provider, machines};

fn report(fill: impl FnOnce(&mut Report<&mut Vec<u8>>, Machine)) -> (String, Totals) {
    let (text, ended) = whole(fill);
    (text, ended.totals)
}

/// One of two machines.
fn whole(fill: impl FnOnce(&mut Report<&mut Vec<u8>>, Machine)) -> (String, Ended) {
    let machine = machines(&["6.12".to_owned()], &[]).expect("known")[2];
    let mut out = Vec::new();
    let mut report = Report::new(&mut out, 2);
    fill(&mut report, machine);
    let (ended, _) = report.finish();
    (String::from_utf8(out).expect("text"), ended)
}

#[test]
fn each_test_has_its_line_and_all_are_counted() {
    let (text, totals) = report(|report, machine| {
        let took = Duration::from_millis(1250);
        report.test(machine, "a", &Outcome::Passed, took);
        report.test(machine, "b", &Outcome::Skipped("no nginx".to_owned()), took);
        report.end(machine, took, &[], &[], "log");
    });
    assert!(text.contains("6.12       tracepoint test a ... ok (1.2 s)\n"), "{text}");
    assert!(text.contains("6.12       tracepoint test b ... skipped: no nginx\n"), "{text}");
    assert_eq!(totals, Totals { passed: 1, failed: 0, skipped: 1 });
}

#[test]
fn a_failed_test_fails_and_says_where_the_console_is() {
    let (text, totals) = report(|report, machine| {
        report.test(machine, "a", &Outcome::Failed, Duration::ZERO);
        report.end(machine, Duration::ZERO, &["3 is not 4".to_owned()], &[], "the/log");
    });
    assert!(text.contains("3 is not 4") && text.contains("kept in the/log"), "{text}");
    assert!(text.ends_with("error: 6.12       tracepoint test a\n"), "{text}");
    assert_eq!(totals, Totals { passed: 0, failed: 1, skipped: 0 });
}

#[test]
fn a_machine_in_trouble_is_one_failure() {
    let (text, totals) = report(|report, machine| {
        report.test(machine, "a", &Outcome::Passed, Duration::ZERO);
        let complaints = ["panic".to_owned(), "silence".to_owned()];
        report.end(machine, Duration::ZERO, &[], &complaints, "log");
    });
    assert!(text.contains("error: panic\n") && text.contains("error: silence\n"), "{text}");
    assert_eq!(totals, Totals { passed: 1, failed: 1, skipped: 0 });
}

#[test]
fn a_machine_that_cannot_be_had_is_a_skip_with_its_reason() {
    let (text, totals) = report(|report, machine| report.skip(machine, "gone"));
    assert!(text.contains("skipped: gone"), "{text}");
    assert_eq!(totals, Totals { passed: 0, failed: 0, skipped: 1 });
}

#[test]
fn a_test_that_passes_alone_is_counted_and_named() {
    let (text, ended) = whole(|report, machine| {
        for name in ["a", "b", "c"] {
            report.test(machine, name, &Outcome::Failed, Duration::ZERO);
        }
        report.again(machine, "a", Some(&Outcome::Passed), Duration::ZERO);
        report.again(machine, "b", Some(&Outcome::Failed), Duration::ZERO);
        report.again(machine, "c", None, Duration::ZERO);
    });
    assert_eq!(ended.totals, Totals { passed: 1, failed: 2, skipped: 0 });
    assert_eq!(ended.flaky, ["6.12 tracepoint a"]);
    assert!(text.contains("test b, run once more alone: failed again"), "{text}");
    assert!(text.contains("test c, run once more alone: came to no result"), "{text}");
    let errors: Vec<_> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 2, "{text}");
    assert!(errors[0].ends_with("test b") && errors[1].ends_with("test c"), "{text}");
}

#[test]
fn a_skip_when_run_again_is_no_pass() {
    let (_, ended) = whole(|report, machine| {
        report.test(machine, "a", &Outcome::Failed, Duration::ZERO);
        let skipped = Outcome::Skipped("no".to_owned());
        report.again(machine, "a", Some(&skipped), Duration::ZERO);
    });
    assert_eq!(ended.totals, Totals { passed: 0, failed: 1, skipped: 0 });
    assert!(ended.flaky.is_empty());
}

#[test]
fn only_what_failed_can_turn_out_flaky() {
    let (_, ended) = whole(|report, machine| {
        report.test(machine, "a", &Outcome::Passed, Duration::ZERO);
        report.again(machine, "b", Some(&Outcome::Passed), Duration::ZERO);
    });
    assert_eq!(ended.totals, Totals { passed: 1, failed: 0, skipped: 0 });
    assert!(ended.flaky.is_empty());
}

#[test]
fn a_skip_is_listed_once_with_its_machines() {
    let (_, ended) = whole(|report, machine| {
        let skipped = Outcome::Skipped("no group".to_owned());
        report.test(machine, "a", &skipped, Duration::ZERO);
        let other = Machine { provider: Provider::Kprobe, ..machine };
        report.test(other, "a", &skipped, Duration::ZERO);
    });
    assert_eq!(ended.skips.lines(), ["a: no group (6.12 tracepoint, 6.12 kprobe)"]);
    assert_eq!(ended.totals.skipped, 2);
    assert!(ended.lacks.is_empty());
}

#[test]
fn machines_that_cannot_be_had_are_a_class() {
    let (_, ended) = whole(|report, machine| report.skip(machine, "E: Failed to fetch x"));
    assert_eq!(ended.lacks[0].what, "the virtual machines with Linux 6.12");
    assert!(ended.lacks[0].unfetched);
    let (_, ended) = whole(|report, machine| {
        report.skip(machine, "E: Failed to fetch x");
        report.skip(machine, "no apt-get");
    });
    assert_eq!(ended.lacks[0].what, "all virtual machines");
    assert!(!ended.lacks[0].unfetched, "one of them could have been had");
}
