//! Sums against what was counted in one.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Sum;
use crate::model::{Listener, Report, WindowKind};

fn worker(tid: u32, accepted: u64, [won, lost, silent, pending]: [u64; 4]) -> Value {
    json!({
        "pid": tid, "tid": tid, "comm": "nginx", "accepted": accepted,
        "accept_errors": if lost > 0 { json!({"EAGAIN": lost}) } else { json!({}) },
        "wakeups": {"total": won + lost + silent + pending, "won": won, "lost": lost, "failed": 0,
                    "silent": silent, "pending": pending},
    })
}

/// A listener of one interval.
fn listener(inode: u64, workers: Value) -> Listener {
    let all = workers.as_array().expect("workers");
    let accepted: u64 = all.iter().filter_map(|one| one["accepted"].as_u64()).sum();
    let of =
        |name: &str| -> u64 { all.iter().filter_map(|one| one["wakeups"][name].as_u64()).sum() };
    let value = json!({
        "netns": 1, "cookie": inode, "inode": inode, "family": "ipv4", "address": "127.0.0.1", "port": 80,
        "reuseport": false, "closed": false, "holders": [], "queued": accepted, "accepted": accepted,
        "discarded": 0,
        "wakeups": {"total": of("total"), "won": of("won"), "lost": of("lost"), "failed": 0,
                    "silent": of("silent"), "pending": of("pending")},
        "herd_ratio": null, "accept_errors": {},
        "accept_queue": {"now": 0, "max": accepted, "limit": 511, "used_percent": 1.5,
                         "histogram": [{"le": 1, "count": accepted}]},
        "syn_queue": {"now": 0, "max": 1, "cookies_sent": 2},
        "backlog": {"limit": 511, "somaxconn": 4096, "tcp_max_syn_backlog": 1024, "syncookies": 1,
                    "abort_on_overflow": 0, "clamped": null},
        "accept_wait": {"count": accepted, "p50": 1000, "p90": 1000, "p99": 1000, "max": 1000 + inode,
                        "histogram": [{"le": 1000, "count": accepted}]},
        "drops": {"total": 3, "by_reason": {"other": 3}, "clients": 1},
        "fairness": null, "workers": workers, "findings": [],
    });
    serde_json::from_value(value).expect("a listener")
}

fn report(second: u64, listeners: Vec<Listener>, idle: u64) -> Report {
    let provider = json!({"via": "fentry", "exact": true});
    let counter = json!({"kernel": second, "observed": second});
    let mut report: Report = serde_json::from_value(json!({
        "schema_version": 1, "type": "report", "tool": {"name": "observer", "version": "0.1.0"},
        "host": {"kernel": "6.18.44", "arch": "x86_64", "cpus": 2},
        "window": {"start": format!("2026-01-02T03:04:{second:02}Z"), "seconds": 1.0, "kind": "interval"},
        "providers": {"wakeups": provider, "accepts": provider, "handshakes": provider, "drops": provider},
        "listeners": [], "idle_listeners": idle,
        "audit": {"events_lost": 1, "map_full": 0, "missed_runs": 0,
                  "netns": [{"netns": 1, "counters": {"ListenDrops": counter}}]},
    }))
    .expect("a report");
    report.listeners = listeners;
    report
}

fn sum(reports: &[Report]) -> Report {
    let mut sum = Sum::default();
    reports.iter().for_each(|report| sum.add(report));
    assert_eq!(sum.reports(), reports.len() as u64);
    sum.report(WindowKind::Total).expect("reports")
}

#[test]
fn counts_are_added_and_states_are_the_latest() {
    let first = listener(7, json!([worker(1, 4, [4, 2, 6, 0]), worker(2, 1, [1, 0, 1, 0])]));
    let mut second = listener(7, json!([worker(1, 5, [3, 0, 1, 0])]));
    second.accept_queue.now = Some(2);
    second.backlog.limit = Some(1024);
    second.accept_wait.max = Some(900);
    let report = sum(&[report(1, vec![first], 4), report(2, vec![second], 4)]);
    assert_eq!(
        (report.window.seconds, report.window.start.as_str()),
        (2.0, "2026-01-02T03:04:01Z")
    );
    let [one] = report.listeners.as_slice() else { panic!("{:?}", report.listeners) };
    assert_eq!((one.queued, one.accepted), (Some(10), Some(10)));
    let wakeups = one.wakeups.expect("known");
    assert_eq!((wakeups.total, wakeups.won, wakeups.lost, wakeups.silent), (18, 8, 2, 8));
    assert_eq!(one.herd_ratio, Some(1.8));
    assert_eq!((one.accept_queue.now, one.accept_queue.max), (Some(2), Some(5)));
    assert_eq!((one.backlog.limit, one.accept_wait.max), (Some(1024), Some(1007)));
    assert_eq!((one.accept_wait.count, one.accept_queue.histogram[0].count), (Some(10), 10));
    assert!(one.accept_wait.p50.is_some_and(|wait| wait.abs_diff(1000) < 40));
    assert_eq!((one.drops.total, one.drops.clients), (Some(6), Some(2)));
    assert_eq!(one.drops.by_reason.as_ref().map(|all| all["other"]), Some(6));
    let taken: Vec<_> = one.workers.iter().map(|one| (one.tid, one.accepted)).collect();
    assert_eq!(taken, [(Some(1), 9), (Some(2), 1)]);
    assert_eq!(one.fairness, Some(100.0 / (2.0 * 82.0)));
    let counter = report.audit.netns[0].counters["ListenDrops"];
    assert_eq!((counter.kernel, report.audit.closes), (Some(3), Some(true)));
    assert_eq!((report.audit.events_lost, report.idle_listeners), (2, 4));
}

#[test]
fn a_wakeup_that_is_open_at_the_end_of_an_interval_counts_once() {
    let of = |all: &[[u64; 4]]| {
        let reports: Vec<Report> = all
            .iter()
            .zip(1..)
            .map(|(counts, second)| {
                report(second, vec![listener(7, json!([worker(1, counts[0], *counts)]))], 0)
            })
            .collect();
        let wakeups = sum(&reports).listeners[0].wakeups.expect("known");
        (wakeups.total, wakeups.won, wakeups.pending)
    };
    // Open, then decided.
    assert_eq!(of(&[[2, 0, 0, 1], [1, 0, 0, 0]]), (3, 3, 0));
    // Open, and still so after an interval in which nothing happened.
    assert_eq!(of(&[[2, 0, 0, 1], [0, 0, 0, 0]]), (3, 2, 1));
    // Decided, and another is open.
    assert_eq!(of(&[[2, 0, 0, 0], [1, 0, 0, 1]]), (4, 3, 1));
}

#[test]
fn what_is_not_known_once_is_not_known() {
    let known = listener(7, json!([worker(1, 1, [1, 0, 0, 0])]));
    let mut unknown = listener(7, json!([]));
    unknown.drops.total = None;
    (unknown.queued, unknown.accepted, unknown.wakeups) = (None, None, None);
    unknown.incomplete = true;
    let report = sum(&[report(1, vec![known], 0), report(2, vec![unknown], 0)]);
    let one = &report.listeners[0];
    assert_eq!((one.drops.total, one.accepted, one.incomplete), (None, Some(1), true));
    assert_eq!((report.audit.incomplete, report.audit.closes), (1, Some(false)));
}

#[test]
fn another_listener_with_the_same_inode_is_another() {
    let mut closed = listener(7, json!([worker(1, 1, [1, 0, 0, 0])]));
    closed.closed = true;
    let mut other = listener(7, json!([worker(2, 2, [2, 0, 0, 0])]));
    other.cookie = Some(8);
    let report = sum(&[report(1, vec![closed], 0), report(2, vec![other], 0)]);
    let accepted: Vec<_> = report.listeners.iter().map(|one| one.accepted).collect();
    assert_eq!(accepted, [Some(1), Some(2)]);
}

#[test]
fn holders_that_accept_nothing_count_in_fairness() {
    let mut one = listener(7, json!([worker(1, 8, [8, 0, 0, 0])]));
    // Three others hold it.
    one.fairness = Some(0.25);
    let report = sum(&[report(1, vec![one.clone()], 0), report(2, vec![one], 0)]);
    assert_eq!(report.listeners[0].fairness, Some(0.25));
}

#[test]
fn listeners_that_closed_long_ago_are_counted_and_forgotten() {
    let mut all = Sum::default();
    for second in 0..5 {
        let closed = (0..5_000).map(|number| {
            let mut one = listener(1 + second * 5_000 + number, json!([]));
            one.closed = true;
            one
        });
        all.add(&report(second, closed.collect(), 3));
    }
    let report = all.report(WindowKind::Interval).expect("reports");
    assert!(report.listeners.len() <= super::CLOSED_MAX, "{}", report.listeners.len());
    let forgotten = 25_000 - report.listeners.len() as u64;
    assert_eq!((report.audit.no_room.closed, report.audit.map_full), (forgotten, forgotten));
    assert_eq!(report.idle_listeners, 3);
}

proptest! {
    /// However the time is divided, the sum is the same.
    #[test]
    fn parts_add_up_to_the_whole(counts in prop::collection::vec(
        (0_u32..3, 0_u64..50, [0_u64..9, 0..9, 0..9]), 1..40,
    )) {
        let intervals: Vec<Report> = counts
            .iter()
            .zip(0..)
            .map(|((tid, accepted, [won, lost, silent]), second)| {
                let workers = json!([worker(tid + 1, *accepted, [*won, *lost, *silent, 0])]);
                report(second % 60, vec![listener(7, workers)], 0)
            })
            .collect();
        let one = sum(&intervals).listeners.remove(0);
        let wakeups = one.wakeups.expect("known");
        let total = |of: fn(&(u32, u64, [u64; 3])) -> u64| counts.iter().map(of).sum::<u64>();
        prop_assert_eq!(one.accepted, Some(total(|one| one.1)));
        prop_assert_eq!(wakeups.won, total(|one| one.2[0]));
        prop_assert_eq!(wakeups.total, total(|one| one.2.iter().sum()));
        prop_assert_eq!(one.accept_wait.count, one.accepted);
        let of_workers: u64 = one.workers.iter().map(|one| one.accepted).sum();
        prop_assert_eq!(Some(of_workers), one.accepted);
    }
}

#[test]
fn memory_is_that_of_different_listeners_and_workers() {
    let bytes = |reports: &mut dyn Iterator<Item = Report>| {
        let mut sum = Sum::default();
        reports.for_each(|report| sum.add(&report));
        sum.bytes()
    };
    let of = |inode: u64, tid: u32| {
        report(1, vec![listener(inode, json!([worker(tid, 4, [4, 2, 6, 0])]))], 4)
    };
    let one = bytes(&mut [of(7, 1)].into_iter());
    assert_eq!(bytes(&mut (0..100).map(|_| of(7, 1))), one, "the same takes no more");
    assert!(bytes(&mut (0..100).map(|inode| of(inode, 1))) > 90 * one);
    let workers = bytes(&mut (0..100).map(|tid| of(7, tid)));
    assert!(workers > one + 99 * size_of::<crate::model::Worker>(), "{workers}");
    // Those that came and went are told together.
    assert!(bytes(&mut (0..30_000).map(|tid| of(7, tid))) < 150 * workers);
    let mut long = of(7, 1);
    long.listeners[0].address = "x".repeat(1 << 20);
    let mut worker = long.listeners[0].workers[0].clone();
    worker.accept_errors.insert("y".repeat(1 << 20), 1);
    long.listeners[0].workers.push(worker);
    long.audit.netns[0].counters.insert("z".repeat(1 << 20), crate::model::AuditCounter::default());
    assert!(bytes(&mut [long].into_iter()) > 3 << 20);
}
