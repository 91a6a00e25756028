//! A listener's row of queue counts.

use observer_common::counters::QueueStats;

use crate::maps::{QUEUES, syn_depth_is_known, without_rows};

/// A listener's queues; a full map is counted.
#[inline(always)]
pub(crate) fn row(listener: u64) -> Option<&'static mut QueueStats> {
    let row = QUEUES.get_ptr_mut(listener);
    if row.is_none() {
        without_rows(listener);
    }
    // SAFETY: this CPU's map value.
    row.map(|row| unsafe { &mut *row })
}

/// Begins the maxima of an interval anew, with its first event on this CPU. The maxima need no
/// atomics: notifications of listeners run with softirqs off, so that none interrupts another on the
/// same CPU.
#[inline(always)]
pub(crate) fn roll(queue: &mut QueueStats, interval: u32) {
    let interval = u64::from(interval);
    if queue.interval != interval {
        queue.interval = interval;
        queue.interval_depth_max = 0;
        queue.interval_syn_max = 0;
    }
}

/// Counts a depth of a listener's SYN queue.
#[inline(always)]
pub(crate) fn count_requests(listener: u64, interval: u32, depth: u32) {
    if syn_depth_is_known(listener, interval, depth) {
        return;
    }
    let Some(queue) = row(listener) else { return };
    roll(queue, interval);
    let depth = u64::from(depth);
    if depth > queue.syn_max {
        queue.syn_max = depth;
    }
    if depth > queue.interval_syn_max {
        queue.interval_syn_max = depth;
    }
}
