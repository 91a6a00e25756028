use std::collections::BTreeMap;

use super::super::fixtures::{self, options};
use super::super::render;
use super::*;
use crate::app::render::table::order::idle;
use observer::model::{AcceptQueue, AcceptWait, SynQueue, Via, Wakeups};

fn drops(reasons: &[(&str, u64)], clients: Option<u64>) -> Drops {
    let by_reason: BTreeMap<_, _> =
        reasons.iter().map(|(name, count)| ((*name).to_owned().into(), *count)).collect();
    Drops {
        total: Some(by_reason.values().sum()),
        at_most: None,
        by_reason: Some(by_reason.into()),
        clients,
        clients_overflowed: false,
    }
}

#[test]
fn drops_are_told_by_reason() {
    let told = |reasons: &[(&str, u64)], clients| dropped(&drops(reasons, clients), "");
    assert_eq!(
        told(
            &[("accept_queue_full_syn", 8), ("accept_queue_full_ack", 4), ("no_memory", 0)],
            Some(5)
        )
        .as_deref(),
        Some("12 dropped: 8 accept queue full at the SYN, 4 at the final ACK; 5 clients")
    );
    assert_eq!(
        told(&[("accept_queue_full_ack", 1)], Some(1)).as_deref(),
        Some("1 dropped: 1 accept queue full at the final ACK; 1 client")
    );
    assert_eq!(
        told(&[("syn_queue_full", 3), ("policy_or_route", 2), ("other", 1)], None).as_deref(),
        Some("6 dropped: 3 SYN queue full, 2 no route back, or a policy, 1 another reason")
    );
    assert_eq!(told(&[("accept_queue_full_syn", 0)], Some(0)), None);
    let many = Drops { clients_overflowed: true, ..drops(&[("no_memory", 9)], Some(4)) };
    assert_eq!(dropped(&many, "").as_deref(), Some("9 dropped: 9 no memory; at least 4 clients"));
    assert_eq!(
        dropped(&drops(&[("accept_queue_full_syn", 2)], None), "~").as_deref(),
        Some("~2 dropped: ~2 accept queue full at the SYN")
    );
}

#[test]
fn a_count_without_reasons_is_left_to_its_column() {
    assert_eq!(dropped(&Drops { total: Some(7), ..Drops::default() }, ""), None);
    assert_eq!(dropped(&Drops::default(), ""), None);
}

#[test]
fn what_a_closed_listener_threw_away_is_told() {
    let told = |count| {
        let mut one = fixtures::listener("0.0.0.0", 80);
        one.discarded = Some(count);
        discarded(&one)
    };
    assert_eq!(told(0), None);
    assert_eq!(
        told(1).as_deref(),
        Some("1 connection was reset: it was in the accept queue when the listener closed")
    );
    assert_eq!(
        told(3).as_deref(),
        Some("3 connections were reset: they were in the accept queue when the listener closed")
    );
}

#[test]
fn bounds_are_told_where_no_number_is_known() {
    let least = Drops { at_most: Some(9), ..drops(&[("accept_queue_full_syn", 4)], None) };
    assert_eq!(
        dropped(&least, "~").as_deref(),
        Some("4 to 9 dropped: ~4 accept queue full at the SYN")
    );
    let nothing = Drops { at_most: Some(9), ..Drops::default() };
    assert_eq!(dropped(&nothing, "~").as_deref(), Some("0 to 9 dropped"));
    let mut listener = fixtures::listener("0.0.0.0", 80);
    listener.drops = nothing;
    assert!(!idle(&listener));
}

#[test]
fn queues_are_told_where_the_table_has_not_said_it() {
    let mut listener = fixtures::listener("0.0.0.0", 80);
    let mut told = |max, now, syn| {
        listener.accept_queue =
            AcceptQueue { max: Some(max), now, limit: Some(128), ..Default::default() };
        listener.syn_queue = syn;
        queues(&listener, "")
    };
    let syn = |max, now, cookies_sent| SynQueue { max, now, cookies_sent, ..SynQueue::default() };
    assert_eq!(told(1, Some(0), syn(Some(1), Some(0), Some(0))), None);
    assert_eq!(told(0, None, SynQueue::default()), None);
    assert_eq!(
        told(129, Some(129), syn(Some(7), Some(2), Some(12))).as_deref(),
        Some("accept queue 129/128, 129 now; SYN queue 7/128, 2 now; 12 cookies sent")
    );
    assert_eq!(
        told(3, Some(0), SynQueue { sampled: true, ..syn(Some(5), Some(1), None) }).as_deref(),
        Some("accept queue 3/128; SYN queue at least 5/128, 1 now")
    );
    assert_eq!(
        told(1, Some(1), syn(Some(1), Some(1), Some(1))).as_deref(),
        Some("accept queue 1/128, 1 now; SYN queue 1/128, 1 now; 1 cookie sent")
    );
    assert_eq!(told(64, Some(0), syn(Some(0), Some(0), Some(0))), None);
    assert_eq!(told(65, Some(0), SynQueue::default()).as_deref(), Some("accept queue 65/128"));
    assert_eq!(told(0, None, syn(Some(2), None, None)).as_deref(), Some("SYN queue 2/128"));
}

#[test]
fn waits_are_told_in_human_units() {
    let mut listener = fixtures::listener("0.0.0.0", 80);
    assert_eq!(waits(&listener, ""), None);
    listener.accept_wait.oldest = Some(2_100_000_000);
    assert_eq!(waits(&listener, "").as_deref(), Some("the oldest in the queue waits for 2.1 s"));
    listener.accept_wait = AcceptWait {
        count: Some(200),
        p50: Some(11_000),
        p90: Some(23_000),
        p99: Some(88_000),
        max: Some(1_200_000),
        oldest: Some(900),
        ..AcceptWait::default()
    };
    assert_eq!(
        waits(&listener, "~").as_deref(),
        Some(
            "accept wait p50 ~11 µs, p90 ~23 µs, p99 ~88 µs, max ~1.2 ms; \
             the oldest in the queue waits for 900 ns"
        )
    );
}

#[test]
fn they_stand_beneath_their_listener_and_before_its_workers() {
    let mut report = fixtures::herd(8);
    report.providers.drops.via = Via::Fentry;
    report.listeners[0].drops =
        drops(&[("accept_queue_full_syn", 8), ("accept_queue_full_ack", 4)], Some(5));
    // What is wrong, in two or four lines each, has tests of its own.
    report.listeners[0].findings.clear();
    let text = render(&report, &options(60));
    let lines: Vec<&str> = text.lines().skip(3).take(6).collect();
    assert_eq!(
        lines,
        [
            "127.0.0.1:8080 nginx ×8 epoll      200 8.00 3/511    12",
            "  12 dropped: 8 accept queue full at the SYN, 4 at the final",
            "    ACK; 5 clients",
            "  nginx 4243                        25",
            "  nginx 4244                        25",
            "  nginx 4245                        25",
        ]
    );
    report.providers.drops.exact = false;
    assert!(render(&report, &options(200)).contains("  ~12 dropped: ~8 accept"));
}

#[test]
fn a_listener_under_a_flood_is_not_idle() {
    let mut listener = fixtures::listener("0.0.0.0", 80);
    assert!(idle(&listener));
    listener.syn_queue.now = Some(1);
    assert!(!idle(&listener));
    listener.syn_queue = SynQueue { cookies_sent: Some(1), ..SynQueue::default() };
    assert!(!idle(&listener));
    assert_eq!(listener.wakeups, Some(Wakeups::default()));
}
