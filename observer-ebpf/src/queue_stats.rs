//! A listener's row of queue counts.

use core::cell::UnsafeCell;

use observer_common::counters::{ListenerId, QueueStats};

use crate::{maps::QUEUES, no_room::count_without_rows};

/// How deep the SYN queue of listeners was seen to be, see [`SynSeen`].
static SYN_SEEN: SynSeen = SynSeen(UnsafeCell::new([0; SYN_SLOTS]));

const SYN_SLOTS: usize = 256;

/// For each of some listeners, in the slot of its identity, the greatest depth that any CPU counted in an
/// interval, in one word: 20 bits of the identity, 24 of the interval's number, 20 of the depth.
struct SynSeen(UnsafeCell<[u64; SYN_SLOTS]>);

// SAFETY: read and written by volatile loads and stores of aligned words.
unsafe impl Sync for SynSeen {}

/// Whether this depth of a listener's SYN queue is not above all that was counted in this interval; it is
/// taken to be counted next.
#[inline(always)]
fn syn_depth_is_known(listener: ListenerId, interval: u32, depth: u32) -> bool {
    if depth >= 1 << 20 {
        return false;
    }
    let slot = listener as usize & (SYN_SLOTS - 1);
    // The lower bits of the identity are in the slot.
    let owner = listener >> 8 << 44 | u64::from(interval) << 40 >> 20;
    // SAFETY: the slot is within the static.
    unsafe {
        let word = SYN_SEEN.0.get().cast::<u64>().add(slot);
        let seen = word.read_volatile();
        if seen >= owner && seen - owner < 1 << 20 && seen - owner >= u64::from(depth) {
            return true;
        }
        word.write_volatile(owner | u64::from(depth));
    }
    false
}

/// A listener's queues; a full map is counted.
#[inline(always)]
pub(crate) fn row(listener: u64) -> Option<&'static mut QueueStats> {
    let row = QUEUES.get_ptr_mut(listener);
    if row.is_none() {
        count_without_rows(listener);
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
