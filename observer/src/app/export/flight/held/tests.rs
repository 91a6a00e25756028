use std::time::{Duration, Instant};

use super::{Held, Line};
use crate::app::render::table::fixtures;

fn line(bytes: usize) -> Line {
    vec![0; bytes].into()
}

#[test]
fn the_oldest_go_where_there_are_too_many_bytes() {
    let now = Instant::now();
    let mut held = Held::new(100, Duration::from_secs(600));
    for _ in 0..50 {
        held.push(line(30), now);
        assert!(held.bytes() <= 100);
    }
    assert_eq!(held.lines().len(), 3);
    held.push(line(101), now);
    assert_eq!((held.lines().len(), held.bytes()), (0, 0), "one that is too great is not held");
}

#[test]
fn the_oldest_go_when_they_are_too_old() {
    let (now, second) = (Instant::now(), Duration::from_secs(1));
    let mut held = Held::new(1000, 10 * second);
    for at in 0..30 {
        held.push(line(1), now + at * second);
    }
    assert_eq!(held.lines().len(), 11);
}

#[test]
fn idle_listeners_are_counted_and_no_others() {
    let mut idle = fixtures::listener("127.0.0.1", 80);
    idle.queued = Some(0);
    idle.accepted = Some(0);
    idle.accept_errors.clear();
    idle.wakeups = Some(Default::default());
    idle.accept_queue.now = Some(0);
    idle.drops.total = Some(0);
    idle.drops.at_most = None;
    idle.syn_queue.now = Some(0);
    idle.findings.clear();
    assert!(super::is_idle(&idle));
    let mut waiting = idle.clone();
    waiting.accept_queue.now = Some(1);
    let mut unknown = idle.clone();
    unknown.queued = None;
    let mut closed = idle.clone();
    closed.closed = true;
    let report = fixtures::report(vec![idle, waiting.clone(), unknown.clone(), closed.clone()]);
    let thin = super::without_idle(&report);
    assert_eq!(thin.listeners, [waiting, unknown, closed]);
    assert_eq!(thin.idle_listeners, 1);
    assert_eq!(thin.window, report.window);
}
