//! Listeners side by side.

use serde_json::{Value, json};

use super::*;
use crate::model::Listener;

fn listener(
    inode: u64,
    port: u16,
    comm: &str,
    pids: &[u32],
    accepted: u64,
    woken: u64,
) -> Listener {
    let holders: Vec<Value> = pids
        .iter()
        .map(|pid| json!({"pid": pid, "comm": comm, "fd": 3, "wait": "epoll"}))
        .collect();
    let worker = json!({
        "pid": pids[0], "tid": pids[0], "comm": comm, "accepted": accepted, "accept_errors": {},
        "wakeups": {"total": woken, "won": accepted, "lost": 0, "failed": 0, "silent": woken - accepted,
                    "pending": 0},
    });
    serde_json::from_value(json!({
        "netns": 1, "cookie": inode, "inode": inode, "family": "ipv4", "address": "0.0.0.0", "port": port,
        "reuseport": false, "closed": false, "holders": holders, "queued": accepted, "accepted": accepted,
        "discarded": 0, "wakeups": worker["wakeups"], "herd_ratio": null, "accept_errors": {},
        "accept_queue": {"now": 0, "max": 1, "limit": 511, "used_percent": 0.2, "histogram": []},
        "syn_queue": {"now": 0, "max": 1}, "backlog": {"limit": 511, "somaxconn": 4096},
        "accept_wait": {"count": accepted, "max": 9_000_000, "histogram": [{"le": 8_000_000, "count": accepted}]},
        "drops": {"total": 0}, "fairness": null, "workers": [worker], "findings": [],
    }))
    .expect("a listener")
}

fn report(listeners: Vec<Listener>, exact: bool) -> Report {
    let provider = json!({"via": "tracepoint", "exact": exact});
    let mut report: Report = serde_json::from_value(json!({
        "schema_version": 1, "tool": {"name": "observer", "version": "0.1.0"},
        "host": {"kernel": "6.18.44", "arch": "x86_64", "cpus": 2},
        "window": {"start": "2026-01-02T03:04:05Z", "seconds": 10.0, "kind": "total"},
        "providers": {"wakeups": provider, "accepts": provider, "handshakes": provider, "drops": provider},
        "listeners": [], "audit": {"events_lost": 0, "map_full": 0, "missed_runs": 0, "netns": []},
    }))
    .expect("a report");
    report.listeners = listeners;
    report
}

fn compared(before: Vec<Listener>, after: Vec<Listener>) -> Comparison {
    let (before, after) = (report(before, true), report(after, false));
    compare(Side { file: "a", report: &before }, Side { file: "b", report: &after })
}

fn number<'a>(one: &'a ComparedListener, name: &str) -> &'a crate::model::ComparedNumber {
    one.numbers.iter().find(|number| number.name == name).expect("the number")
}

#[test]
fn one_socket_becomes_a_group_and_is_still_the_same_listener() {
    let before = vec![listener(1, 80, "nginx", &[10, 11, 12], 100, 300)];
    let after = [(2, 20), (3, 21), (4, 22)].map(|(inode, pid)| {
        let mut one = listener(inode, 80, "nginx", &[pid], 33, 33);
        one.reuseport = Some(true);
        one
    });
    let all = compared(before, after.to_vec());
    let [one] = all.listeners.as_slice() else { panic!("{:?}", all.listeners) };
    assert_eq!(one.course, Course::Better);
    let herd = number(one, "herd_ratio");
    assert_eq!((herd.before, herd.after, herd.course), (Some(3.0), Some(1.0), Course::Better));
    assert!(herd.estimate, "one of both is");
    assert_eq!(number(one, "accepted_per_second").course, Course::Same);
    assert_eq!(number(one, "accept_wait_p50").course, Course::Same);
    let changes: Vec<_> = one
        .changes
        .iter()
        .map(|one| (one.name.as_str(), one.before.as_deref(), one.after.as_deref()))
        .collect();
    assert_eq!(
        changes,
        [
            ("reuseport", Some("false"), Some("true")),
            ("sockets", Some("1"), Some("3")),
            ("workers", Some("1"), Some("3")),
        ]
    );
}

#[test]
fn what_is_worse_comes_first_and_what_is_alone_says_so() {
    let mut slow = listener(2, 81, "slow", &[5], 100, 100);
    slow.drops.total = Some(0);
    let mut slower = slow.clone();
    slower.drops.total = Some(5);
    slower.accept_wait.histogram[0].le = 80_000_000;
    let idle = listener(9, 90, "idle", &[9], 0, 0);
    let before = vec![
        listener(1, 80, "old", &[1], 9, 9),
        slow,
        listener(3, 82, "x", &[3], 9, 9),
        idle.clone(),
    ];
    let after =
        vec![slower, listener(4, 82, "x", &[4], 90, 90), listener(5, 83, "new", &[1], 9, 9), idle];
    let all = compared(before, after);
    let courses: Vec<_> = all.listeners.iter().map(|one| (one.port, one.course)).collect();
    assert_eq!(
        courses,
        [(81, Course::Worse), (83, Course::New), (80, Course::Gone), (82, Course::Same)]
    );
    assert_eq!(all.idle_listeners, 1);
    assert_eq!(number(&all.listeners[0], "drops_per_second").course, Course::Worse);
    assert_eq!(number(&all.listeners[0], "accept_wait_p99").after, Some(9e6), "bounded by max");
    assert_eq!(number(&all.listeners[3], "accepted_per_second").course, Course::Moved);
    assert!(all.listeners[1].changes.is_empty());
}

#[test]
fn a_listener_is_found_in_another_namespace_but_not_by_guess() {
    let one = listener(1, 80, "nginx", &[1], 9, 9);
    let mut moved = one.clone();
    (moved.netns, moved.inode) = (2, 7);
    let all = compared(vec![one.clone()], vec![moved.clone()]);
    assert_eq!(all.listeners.len(), 1);
    assert_eq!((all.listeners[0].netns_before, all.listeners[0].netns_after), (Some(1), Some(2)));
    // Two that it may be.
    let mut other = moved.clone();
    other.netns = 3;
    let all = compared(vec![one], vec![moved, other]);
    let courses: Vec<_> = all.listeners.iter().map(|one| one.course).collect();
    assert_eq!(courses, [Course::New, Course::New, Course::Gone]);
}

#[test]
fn what_nothing_observes_is_no_number() {
    let mut blind = report(vec![listener(1, 80, "a", &[1], 9, 9)], true);
    blind.providers.wakeups.via = crate::model::Via::None;
    blind.providers.wakeups.exact = false;
    let seen = report(vec![listener(1, 80, "a", &[1], 9, 9)], true);
    let all = compare(Side { file: "a", report: &blind }, Side { file: "b", report: &seen });
    let herd = number(&all.listeners[0], "herd_ratio");
    assert_eq!((herd.before, herd.after, herd.course), (None, Some(1.0), Course::Unknown));
}

#[test]
fn the_program_is_that_of_most_holders_or_of_who_accepted_most() {
    use crate::recording::matching::program;

    let mut one = listener(1, 80, "nginx", &[1, 2], 9, 9);
    one.holders.as_mut().expect("holders").push(crate::model::Holder {
        pid: 3,
        comm: "a-master".into(),
        fd: 3,
        wait: None,
    });
    assert_eq!(program(&[&one]), Some("nginx"));
    one.holders = None;
    let mut worker = one.workers[0].clone();
    (worker.comm, worker.accepted) = ("busy".into(), 1_000_000);
    one.workers.push(worker.clone());
    assert_eq!(program(&[&one]), Some("busy"));
    // The others of a long row are nobody's name.
    (worker.comm, worker.accepted, worker.pid) = ("(others)".into(), u64::MAX, None);
    one.workers.push(worker);
    assert_eq!(program(&[&one]), Some("busy"));
    one.workers.clear();
    assert_eq!(program(&[&one]), None);
}
