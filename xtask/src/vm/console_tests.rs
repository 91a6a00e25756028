use super::*;

/// A console that said these lines, as a terminal sends them, in pieces of all sizes.
fn console(lines: &[&str]) -> (Console, Vec<Event>) {
    let text = lines.iter().map(|line| format!("{line}\r\n")).collect::<String>();
    let mut console = Console::default();
    let events = text.as_bytes().chunks(7).flat_map(|bytes| console.read(bytes)).collect();
    (console, events)
}

const WELL: End = End::Exited { well: true };

const GOOD: [&str; 11] = [
    "[    0.5] a message of the kernel",
    "@observer-vm kernel Linux 6.12",
    "@observer-vm doctor observer can run here.",
    "@observer-vm out skip: nginx::herd: nginx is not installed",
    "@observer-vm out running 2 tests",
    "@observer-vm begins truth::epoll",
    "@observer-vm out test truth::epoll ... ok",
    "@observer-vm out test nginx::herd  ... ignored",
    "@observer-vm out test result: ok. 1 passed; 0 failed; 1 ignored",
    "@observer-vm ended 0",
    "@observer-vm bye",
];

fn without(what: &str) -> Vec<&'static str> {
    GOOD.into_iter().filter(|line| !line.contains(what)).collect()
}

fn only_complaint(lines: &[&str], end: &End) -> String {
    let complaints = console(lines).0.complaints(end);
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    complaints.into_iter().next().unwrap_or_default()
}

#[test]
fn a_good_run_tells_results_and_no_complaint() {
    let (console, events) = console(&GOOD);
    assert_eq!(console.complaints(&WELL), [] as [&str; 0]);
    assert_eq!(console.doctor(), ["observer can run here."]);
    let skipped = Outcome::Skipped("nginx is not installed".to_owned());
    assert_eq!(
        events,
        [
            Event::Kernel("Linux 6.12".to_owned()),
            Event::Begins("truth::epoll".to_owned()),
            Event::Done("truth::epoll".to_owned(), Outcome::Passed),
            Event::Done("nginx::herd".to_owned(), skipped),
        ]
    );
}

#[test]
fn a_failed_test_is_no_complaint_and_its_words_are_kept() {
    let (console, events) = console(&[
        "@observer-vm out running 1 test",
        "@observer-vm err a: 3 is not 4",
        "@observer-vm out test a ... FAILED",
        "@observer-vm out failures:",
        "@observer-vm out ---- a ----",
        "@observer-vm out 3 is not 4",
        "@observer-vm ended 101",
        "@observer-vm bye",
    ]);
    assert_eq!(events, [Event::Done("a".to_owned(), Outcome::Failed)]);
    assert_eq!(console.complaints(&WELL), [] as [&str; 0]);
    assert_eq!(console.failures(), ["a: 3 is not 4"]);
}

#[test]
fn a_panic_is_named_with_the_test_that_ran() {
    let mut lines = GOOD[..6].to_vec();
    lines.push("[    9.1] Kernel panic - not syncing: Fatal exception");
    let complaint = only_complaint(&lines, &WELL);
    assert!(complaint.contains("Kernel panic") && complaint.contains("truth::epoll"));
}

#[test]
fn trouble_counts_even_where_every_test_passed() {
    for line in ["BUG: unable to handle page fault", "watchdog: BUG: soft lockup - CPU#0 stuck"] {
        assert!(only_complaint(&[&GOOD[..], &[line]].concat(), &WELL).contains(line));
    }
}

#[test]
fn words_of_a_test_are_no_trouble_of_the_kernel() {
    let line = "@observer-vm err BUG: says a test";
    assert!(console(&[&GOOD[..], &[line]].concat()).0.complaints(&WELL).is_empty());
}

#[test]
fn a_machine_that_hangs_is_named_with_the_test_that_ran() {
    for end in [End::TimedOut(360), End::Silent(120)] {
        assert!(only_complaint(&GOOD[..6], &end).contains("during truth::epoll"), "{end:?}");
    }
}

#[test]
fn a_machine_that_says_nothing_is_a_failure() {
    assert!(only_complaint(&[], &WELL).contains("stopped without an end"));
    assert!(only_complaint(&[], &End::Exited { well: false }).contains("QEMU failed"));
}

#[test]
fn lost_lines_are_noticed() {
    assert!(only_complaint(&without("... ok"), &WELL).contains("2 tests were announced and 1"));
    assert!(only_complaint(&without("running"), &WELL).contains("told no result"));
    assert!(only_complaint(&without("ended"), &WELL).contains("did not run"));
    assert!(only_complaint(&without("bye"), &WELL).contains("stopped without an end"));
}

#[test]
fn a_status_that_contradicts_the_results_is_noticed() {
    let lines: Vec<_> = GOOD
        .iter()
        .map(|line| if line.ends_with("ended 0") { "@observer-vm ended 101" } else { line })
        .collect();
    assert!(only_complaint(&lines, &WELL).contains("exit status is 101"));
}

#[test]
fn what_init_cannot_do_is_told() {
    let lines = [&GOOD[..2], &["@observer-vm trouble no /proc", "@observer-vm bye"]].concat();
    assert!(only_complaint(&lines, &WELL).contains("no /proc"));
}

#[test]
fn figures_are_kept_and_are_no_failures() {
    let lines = ["@observer-vm err figure verified a: 7", "@observer-vm err a: 3 is not 4"];
    let (console, _) = console(&lines);
    assert_eq!(console.figures(), ["verified a: 7"]);
    assert_eq!(console.failures(), ["a: 3 is not 4"]);
}

#[test]
fn a_reason_that_a_test_finds_while_it_runs_is_kept() {
    let (_, events) = console(&["@observer-vm out test a::b ... ignored (no kprobes (here))"]);
    let skipped = Outcome::Skipped("no kprobes (here)".to_owned());
    assert_eq!(events, [Event::Done("a::b".to_owned(), skipped)]);
}
