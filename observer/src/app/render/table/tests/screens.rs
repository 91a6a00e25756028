//! Whole screens, as they were looked at: `cargo insta review`, or `INSTA_UPDATE=always cargo test`, takes a new
//! picture, which belongs into the commit that changes the screen.

use super::super::fixtures::{self, listener, options, report, traffic};
use super::super::live_frame;
use super::*;
use observer::model::{AcceptQueue, AcceptWait, Drops, HolderState, Report, ReuseportGroup, Wait};

/// Widths that people have: a terminal, a wide one, and half of one.
const WIDTHS: [usize; 3] = [80, 120, 60];

fn looks_as_before(name: &str, report: &Report) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let report = fixtures::judged(report.clone());
    for width in WIDTHS {
        settings.bind(|| {
            insta::assert_snapshot!(format!("{name}@{width}"), render(&report, &options(width)));
        });
    }
}

/// Two nginx workers that take turns.
fn healthy() -> Report {
    let mut one = listener("0.0.0.0", 443);
    traffic(&mut one, "nginx", 2, 5_000, 1, Some(Wait::EpollExclusive));
    one.accept_wait = AcceptWait {
        count: Some(5_000),
        p50: Some(11_000),
        p90: Some(23_000),
        p99: Some(88_000),
        max: Some(1_200_000),
        ..AcceptWait::default()
    };
    report(vec![one])
}

/// A server that takes 20 ms for each connection, behind `listen(8)`.
fn overflow() -> Report {
    let mut one = listener("127.0.0.1", 8080);
    traffic(&mut one, "python3", 1, 175, 1, Some(Wait::Accept));
    one.accept_queue =
        AcceptQueue { now: Some(9), max: Some(9), limit: Some(8), ..AcceptQueue::default() };
    one.backlog.limit = Some(8);
    one.accept_wait = AcceptWait {
        count: Some(175),
        p50: Some(164_000_000),
        p90: Some(187_000_000),
        p99: Some(187_000_000),
        max: Some(187_000_000),
        ..AcceptWait::default()
    };
    let reasons = [("accept_queue_full_syn".into(), 34), ("accept_queue_full_ack".into(), 8)];
    one.drops = Drops {
        total: Some(42),
        by_reason: Some(std::collections::BTreeMap::from(reasons).into()),
        ..Drops::default()
    };
    let mut report = report(vec![one]);
    for signal in
        [&mut report.providers.wakeups, &mut report.providers.accepts, &mut report.providers.drops]
    {
        signal.exact = false;
    }
    report
}

/// A server whose descriptors are used up: accept fails again and again.
fn descriptors() -> Report {
    let mut one = listener("0.0.0.0", 8080);
    traffic(&mut one, "envoy", 2, 990, 1, Some(Wait::Epoll));
    one.accept_errors.insert("EMFILE".into(), 41_200);
    one.workers[0].accept_errors.insert("EMFILE".into(), 41_200);
    let wakeups = one.wakeups.get_or_insert_default();
    wakeups.failed = 412;
    wakeups.total += 412;
    one.accept_queue.now = Some(37);
    one.accept_queue.max = Some(37);
    report(vec![one])
}

/// One listener that closed with connections in its queue, beside one that got a backlog cut.
fn closed() -> Report {
    let mut gone = listener("10.0.0.7", 9000);
    traffic(&mut gone, "old-server", 1, 17, 1, None);
    (gone.closed, gone.discarded) = (true, Some(3));
    gone.accept_queue.now = None;
    gone.drops.total = None;
    let mut clamped = listener("10.0.0.7", 9001);
    clamped.backlog.limit = Some(128);
    clamped.backlog.somaxconn = Some(128);
    clamped.backlog.requested = Some(1024);
    clamped.backlog.clamped = Some(true);
    clamped.backlog.at_somaxconn = Some(true);
    clamped.accept_queue.limit = Some(128);
    report(vec![gone, clamped])
}

/// A reuseport group of four, one of which is stopped.
fn group() -> Report {
    let members = (0..4_u64).map(|number| {
        let mut one = listener("0.0.0.0", 8080);
        one.inode = 20_000 + number;
        one.reuseport = Some(true);
        one.reuseport_group = Some(ReuseportGroup { id: 20_000, size: 4 });
        traffic(&mut one, "python3", 1, 120 + number, 1, Some(Wait::Accept));
        let pid = 23_480 + u32::try_from(number).unwrap_or(0);
        (one.workers[0].pid, one.workers[0].tid) = (Some(pid), Some(pid));
        for holder in one.holders.iter_mut().flatten() {
            holder.pid = pid;
        }
        one.fairness = None;
        if number == 2 {
            (one.accepted, one.queued, one.accept_queue.now) = (Some(0), Some(31), Some(31));
            one.accept_queue.max = Some(31);
            one.workers[0].accepted = 0;
            one.herd_ratio = None;
            one.wakeups = Some(Default::default());
            one.workers[0].wakeups = Default::default();
            one.accept_wait.oldest = Some(2_100_000_000);
            one.holder_states = Some(vec![HolderState {
                pid,
                tid: pid,
                comm: "python3".into(),
                state: Some('T'),
                ..HolderState::default()
            }]);
        }
        one
    });
    report(members.collect())
}

#[test]
fn a_reuseport_group_with_a_member_that_is_stopped() {
    looks_as_before("group", &group());
}

#[test]
fn a_healthy_server() {
    looks_as_before("healthy", &healthy());
}

#[test]
fn a_herd() {
    looks_as_before("herd", &fixtures::herd(8));
}

#[test]
fn an_overflow() {
    looks_as_before("overflow", &overflow());
}

#[test]
fn no_descriptors() {
    looks_as_before("descriptors", &descriptors());
}

#[test]
fn nothing_happens() {
    looks_as_before("idle", &report((1..15).map(|port| listener("0.0.0.0", port)).collect()));
}

#[test]
fn one_closed() {
    looks_as_before("closed", &closed());
}

#[test]
fn an_incident() {
    looks_as_before("incident", &fixtures::incident());
}

#[test]
fn hundreds_on_a_low_screen() {
    let mut report = fixtures::many(300);
    report.listeners.extend(overflow().listeners);
    let report = fixtures::judged(report);
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for width in WIDTHS {
        let frame = live_frame(&report, &options(width), Some(24));
        let plain = frame.replace("\u{1b}[H", "").replace("\u{1b}[K", "").replace("\u{1b}[J", "");
        settings.bind(|| insta::assert_snapshot!(format!("hundreds@{width}"), plain));
    }
}
