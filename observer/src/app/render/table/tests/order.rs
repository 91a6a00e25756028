//! Which listeners and workers come first, and what becomes of the rest.

use super::super::fixtures::{self, options};
use super::*;
use observer::model::Wakeups;

/// Whether a line is of workers: findings stand above them.
fn is_worker(line: &str) -> bool {
    line.starts_with("  nginx ") || line.starts_with("  … ")
}

/// The listeners from top to bottom.
fn order(text: &str) -> Vec<&str> {
    text.lines()
        .skip_while(|line| !line.starts_with("LISTENER"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.starts_with([' ', '…']))
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

#[test]
fn the_worst_finding_comes_first_and_idle_listeners_last() {
    let mut report = fixtures::incident();
    report.listeners.reverse();
    let text = table(&report, &options(120));
    assert_eq!(
        order(&text),
        [
            // Drops; a herd, and one that hangs; the worse ratio first.
            "*:443",
            "127.0.0.1:8080",
            "*:5432",
            "[2001:db8:85a3:1111:22…:8443",
            "10.0.0.7:9000",
            "*:22",
            "*:23",
            "*:24",
            "*:25",
            "*:26"
        ]
    );
}

#[test]
fn ties_go_to_the_busier_and_then_to_the_lower_port() {
    let mut report = fixtures::report(Vec::new());
    for (port, accepted) in [(3, 10), (2, 10), (1, 5)] {
        let mut listener = fixtures::listener("0.0.0.0", port);
        fixtures::traffic(&mut listener, "a", 1, accepted, 2, None);
        report.listeners.push(listener);
    }
    let none = TableOptions { workers: 0, ..options(80) };
    assert_eq!(order(&table(&report, &none)), ["*:2", "*:3", "*:1"]);
}

#[test]
fn idle_listeners_beyond_the_limit_are_counted() {
    let text = table(&fixtures::many(300), &options(80));
    assert_eq!(order(&text).len(), 30 + 10);
    assert!(text.contains("… 260 more idle listeners"), "{text}");
    let none = TableOptions { idle: 0, ..options(80) };
    assert!(table(&fixtures::many(300), &none).contains("… 270 idle listeners"));
    let all = TableOptions { idle: 300, ..options(80) };
    assert!(!table(&fixtures::many(300), &all).contains("idle"));
}

#[test]
fn workers_left_out_are_summed() {
    let report = fixtures::herd(32);
    let listener = &report.listeners[0];
    let wide = TableOptions { workers: 3, ..options(200) };
    let text = table(&report, &wide);
    let numbers: Vec<Vec<u64>> = text
        .lines()
        .filter(|line| is_worker(line))
        .map(|line| line.split_whitespace().filter_map(|word| word.parse().ok()).collect())
        .collect();
    assert_eq!(numbers.len(), 4);
    // After the pid or the number of workers: accepted, wakeups, the outcomes, EAGAIN.
    assert_eq!(numbers[3][0], 29);
    let sum = |column: usize| numbers.iter().map(|row| row[column]).sum::<u64>();
    let Wakeups { total, won, lost, silent, .. } = listener.wakeups.expect("known");
    let sums: Vec<u64> = (1..=5).map(sum).collect();
    assert_eq!(sums, [listener.accepted.unwrap_or(0), total, won, lost, silent]);
    assert_eq!(sum(8), listener.accept_errors["EAGAIN"]);

    let none = TableOptions { workers: 0, ..options(200) };
    assert!(!table(&report, &none).lines().any(is_worker));
    let one_less = TableOptions { workers: 31, ..options(80) };
    assert!(table(&report, &one_less).contains("  … 1 more worker "));
    let all = TableOptions { workers: 32, ..options(80) };
    assert!(!table(&report, &all).contains('…'));
}

#[test]
fn the_busiest_workers_are_shown_first() {
    let mut report = fixtures::herd(3);
    report.listeners[0].workers[2].accepted = 150;
    report.listeners[0].workers[1].wakeups.total = 9_000;
    let text = table(&report, &options(80));
    let pids: Vec<&str> = text
        .lines()
        .filter(|line| is_worker(line))
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    // The other two accepted equally many: the one that was woken more often comes first.
    assert_eq!(pids, ["4245", "4244", "4243"]);
}
