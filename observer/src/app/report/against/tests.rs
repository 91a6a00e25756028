//! Screens of a comparison.

use super::render;
use crate::app::render::{table::fixtures, text};
use observer::{
    findings,
    model::{Holder, Report, ReuseportGroup, Wait},
    recording::{Side, compare},
};

/// One server with a shared listener, and the same with one of its own for each worker.
fn story() -> (Report, Report) {
    let herd = fixtures::herd(4);
    let mut cured = herd.clone();
    cured.window.start = "2026-01-02T04:04:05Z".into();
    let shared = cured.listeners.remove(0);
    for (worker, inode) in shared.workers.iter().zip(20..) {
        let mut own = shared.clone();
        (own.inode, own.cookie) = (inode, Some(inode));
        own.reuseport = Some(true);
        own.reuseport_group = Some(ReuseportGroup { id: 20, size: 4 });
        let mut worker = worker.clone();
        worker.wakeups.total = worker.accepted;
        (worker.wakeups.won, worker.wakeups.lost, worker.wakeups.silent) = (worker.accepted, 0, 0);
        worker.accept_errors.clear();
        own.holders = Some(vec![Holder {
            pid: worker.pid.unwrap_or(1),
            comm: "nginx".into(),
            fd: 6,
            wait: Some(Wait::EpollExclusive),
        }]);
        (own.queued, own.accepted) = (Some(worker.accepted), Some(worker.accepted));
        own.wakeups = Some(worker.wakeups);
        own.herd_ratio = Some(1.0);
        own.accept_errors.clear();
        own.workers = vec![worker];
        cured.listeners.push(own);
    }
    findings::judge(&mut cured);
    (herd, cured)
}

fn shown(before: &Report, after: &Report, width: usize) -> String {
    let side = |file, report| Side { file, report };
    render(&compare(side("before.ndjson", before), side("after.ndjson", after)), width, false)
}

#[test]
fn before_and_after_reuseport_tell_the_story() {
    let (before, after) = story();
    for width in [80, 120] {
        insta::assert_snapshot!(format!("reuseport@{width}"), shown(&before, &after, width));
    }
    let text = shown(&before, &after, 80);
    assert!(text.contains("gone: ") && text.contains("thundering herd"), "{text}");
}

#[test]
fn the_other_way_round_it_is_worse() {
    let (before, after) = story();
    let text = shown(&after, &before, 80);
    assert!(text.contains(": worse\n") && text.contains("new: "), "{text}");
    assert!(text.contains("fix: "), "{text}");
}

#[test]
fn no_line_is_wider_than_the_screen() {
    let (before, mut after) = story();
    after.listeners[0].holders.get_or_insert_default()[0].comm = "\u{1b}[2Jx\ny".into();
    for width in [20, 40, 60, 80, 200] {
        let text = shown(&before, &after, width);
        assert!(!text.contains('\u{1b}'));
        for line in text.lines() {
            assert!(text::width(line) <= width, "{width}: {line}");
        }
    }
}
