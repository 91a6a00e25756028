//! How full the kernel maps are, and when they are looked through for rows that can go.

use std::collections::HashSet;

use observer_common::counters::{ListenerId, Misc};

use crate::plan::Sizes;

/// When the maps are looked through, and what was found the last time.
pub(super) struct Gauges {
    pub(super) listeners: Gauge,
    pub(super) workers: Gauge,
    pub(super) waits: Gauge,
    pub(super) errors: Gauge,
    pub(super) quiet: Gauge,
    /// Listeners that had rows the last time and were not known.
    pub(super) strangers: HashSet<ListenerId>,
    /// When the maps were looked through the last time, and how much had found no room by then.
    last: (u64, u64),
}

/// Room that is used of each map at most by rows that could go, where these are not kept: every reading goes through them.
const LITTLE: u32 = 2048;

impl Gauges {
    /// Of maps of these sizes. Where closed listeners are `forgotten`, they do not wait until a map is half full.
    pub(super) fn new(sizes: &Sizes, forgotten: bool) -> Self {
        let of = |room: u32| Gauge::new(if forgotten { room.min(LITTLE) } else { room });
        Self {
            listeners: of(sizes.listeners),
            workers: of(sizes.workers),
            waits: of(sizes.waits),
            errors: of(sizes.errors),
            quiet: of(sizes.quiet),
            strangers: HashSet::new(),
            last: (0, 0),
        }
    }

    /// They were looked through.
    pub(super) fn looked(&mut self, misc: &Misc, now: u64) {
        self.last = (now, misc.no_room.total());
    }

    /// Whether the maps are to be looked through. `now` is `CLOCK_MONOTONIC`.
    pub(super) fn are_due(&self, misc: &Misc, now: u64) -> bool {
        let (last, had_none) = self.last;
        // In a full map no rows are made that could tell: what closed since may have left room.
        (misc.no_room.total() > had_none && now.saturating_sub(last) >= AGAIN)
            || self.listeners.is_due(misc.listeners)
            || self.workers.is_due(workers_made(misc))
            || self.waits.is_due(misc.waits)
            || self.errors.is_due(misc.errors)
            || self.quiet.is_due(misc.quiet)
    }
}

/// The shortest time after which full maps are looked through again, in nanoseconds: a look takes some thirty
/// milliseconds where there are tens of thousands of rows.
const AGAIN: u64 = 5_000_000_000;

/// Rows of workers that were made at most: those of tasks, of tasks that ended, and one for each listener.
pub(super) fn workers_made(misc: &Misc) -> u64 {
    misc.workers + misc.moves_done + misc.listeners
}

/// How full a map is, by how many rows were made: nothing is looked through while there is room.
#[derive(Debug)]
pub(super) struct Gauge {
    pub(super) room: u64,
    /// Rows that were left in it the last time.
    left: u64,
    /// How many had been made by then.
    made: u64,
}

impl Gauge {
    fn new(room: u32) -> Self {
        Self { room: room.into(), left: 0, made: 0 }
    }

    /// Whether more than half of the room is taken, and a part of what was free the last time: where few
    /// listeners close, little is gained by looking.
    fn is_due(&self, made: u64) -> bool {
        let new = made.saturating_sub(self.made);
        let free = self.room.saturating_sub(self.left);
        self.left + new > self.room / 2 && new > (free / 4).max(self.room / 16)
    }

    /// A row was made that nothing else counts.
    pub(super) fn has_one_more(&mut self) {
        self.left += 1;
    }

    pub(super) fn has_left(&mut self, left: usize, made: u64) {
        self.left = left as u64;
        self.made = made;
    }
}

#[cfg(test)]
mod tests {
    use observer_common::counters::{Misc, NoRoom};

    use super::{AGAIN, Gauge, Gauges};
    use crate::plan::Sizes;

    #[test]
    fn nothing_is_looked_through_while_there_is_room() {
        let mut gauge = Gauge::new(1024);
        assert!(!gauge.is_due(0));
        assert!(!gauge.is_due(512));
        assert!(gauge.is_due(513));
        gauge.has_left(100, 600);
        assert!(!gauge.is_due(600 + 412));
        assert!(gauge.is_due(600 + 413));
    }

    #[test]
    fn listeners_that_stay_are_not_looked_through_again_and_again() {
        let mut gauge = Gauge::new(1024);
        gauge.has_left(624, 1000);
        assert!(!gauge.is_due(1100));
        assert!(gauge.is_due(1101));
        // A full map still is, now and then.
        gauge.has_left(1024, 2000);
        assert!(!gauge.is_due(2000) && !gauge.is_due(2064));
        assert!(gauge.is_due(2065));
    }

    #[test]
    fn full_maps_are_looked_through_now_and_then_while_something_finds_no_room() {
        let mut gauges = Gauges::new(&Sizes::LEAST, false);
        let misc = |tasks| {
            let no_room = NoRoom { tasks, ..NoRoom::default() };
            Misc { no_room, ..Misc::default() }
        };
        assert!(!gauges.are_due(&misc(0), AGAIN));
        assert!(gauges.are_due(&misc(3), AGAIN));
        gauges.looked(&misc(3), AGAIN);
        assert!(!gauges.are_due(&misc(9), AGAIN + 1));
        assert!(!gauges.are_due(&misc(3), 3 * AGAIN));
        assert!(gauges.are_due(&misc(9), 2 * AGAIN));
    }
}
