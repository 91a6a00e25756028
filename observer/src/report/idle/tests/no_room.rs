use observer_common::counters::{NoRoom, QueueStats};

use super::{LastSeen, World};
use crate::{bpf::snapshot::Incomplete, model::Listener};

/// Two listeners without rows, the first of which had no room.
fn world() -> World {
    let mut world = World::new();
    world.counted.incomplete = Incomplete::of(&[1]);
    world.counted.misc.no_room = NoRoom { listeners: 7, ..NoRoom::default() };
    world
}

fn counts(one: &Listener) -> [Option<u64>; 7] {
    let wakeups = one.wakeups.map(|wakeups| wakeups.total);
    let (queue, waits, drops) = (&one.accept_queue, &one.accept_wait, &one.drops);
    [one.queued, one.accepted, one.discarded, wakeups, queue.max, waits.count, drops.total]
}

#[test]
fn what_had_no_room_is_not_known_and_where_nothing_happened_is_0() {
    let report = world().whole();
    let [first, second] = &report.listeners[..] else { panic!("two listeners") };
    assert!(first.incomplete && !second.incomplete);
    assert_eq!(counts(first), [None; 7]);
    assert_eq!(first.syn_queue.cookies_sent, None);
    // A connection waits in the queue of the second.
    assert_eq!(counts(second), [0, 0, 0, 0, 1, 0, 0].map(Some));
    assert_eq!(report.audit.map_full, 7);
}

#[test]
fn a_row_that_was_made_later_has_what_was_counted_since() {
    let mut world = world();
    world.counted.queues.insert(1, QueueStats { queued: 3, ..QueueStats::ZERO });
    let report = world.whole();
    let first = &report.listeners[0];
    assert!(first.incomplete);
    assert_eq!((first.queued, first.accepted), (Some(3), Some(0)));
}

#[test]
fn one_that_had_no_room_is_not_idle() {
    let world = world();
    let mut last_seen = LastSeen::default();
    for _ in 0..3 {
        let report = world.report(&mut last_seen);
        assert!(report.listeners.iter().any(|one| one.inode == 1), "it is left out");
    }
}
