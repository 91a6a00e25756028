//! How long connections wait to be accepted: from entering the accept queue to accept's return.
//!
//! A connection is known by its sock from the one to the other. The time of its note is set to 0 when the
//! sock closes, so that the next user of the same memory does not inherit it. Connections that were
//! queued before the window have none, and are not counted here.
//!
//! The memory of a sock is soon that of another, and to write over a note costs a third of making it
//! and taking it away: some notes stay where they are, with a time of 0, for the next connection there.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use observer_common::{
    counters::{Connection, ListenerId, Stamp, WaitKey},
    room::Room,
    waits::wait_bucket,
};

use crate::{
    control::control,
    counter::{SharedWord, increment},
    maps::{ENQUEUED_AT, WAITS, this_cpu},
    no_room::{count_no_room, mark_incomplete, misc},
    queue_stats,
    room::{freed, make},
};

/// Number of notes that ENQUEUED_AT holds.
static NOTES: SharedWord = SharedWord::new();

/// Maximum number of notes up to which those of accepted connections stay.
const NOTES_KEPT: u64 = 2_048;

/// Notes that a connection enters a queue now; the time is returned.
#[inline(always)]
pub(crate) fn enters(child: u64, listener: ListenerId) -> u64 {
    // SAFETY: the helper takes nothing and always succeeds.
    let time = unsafe { bpf_ktime_get_ns() };
    if let Some(stamp) = ENQUEUED_AT.get_ptr_mut(child) {
        // SAFETY: a live map value; a sock is in one queue at a time.
        unsafe {
            (*stamp).listener = listener;
            (*stamp).time = time;
        }
    } else if make(Room::Enqueued, &ENQUEUED_AT, child, Stamp { time, listener }) {
        NOTES.add(1);
    } else {
        count_without_wait(listener);
    }
    time
}

/// Ends the note of a connection: none waits there any more.
#[inline(always)]
fn clear_time(child: u64, stamp: *mut Stamp) {
    if NOTES.load() <= NOTES_KEPT {
        // SAFETY: a live map value.
        unsafe { (*stamp).time = 0 };
    } else if ENQUEUED_AT.remove(child).is_ok() {
        NOTES.add(-1);
        freed(Room::Enqueued);
    }
}

/// Counts a connection whose wait is not measured.
#[inline(always)]
fn count_without_wait(listener: ListenerId) {
    // SAFETY: only takes the address of a field of a live map value.
    count_no_room(|full| unsafe { &raw mut (*full).waits });
    mark_incomplete(listener);
}

/// Notes that a connection which waits already moves to the queue of another listener; the time is returned at
/// which it entered the first one, or 0.
#[inline(always)]
pub(crate) fn moves(child: u64, listener: ListenerId) -> u64 {
    let Some(stamp) = ENQUEUED_AT.get_ptr_mut(child) else { return 0 };
    // SAFETY: a live map value; a sock is in one queue at a time.
    unsafe {
        (*stamp).listener = listener;
        (*stamp).time
    }
}

/// With tracepoints only: a child of a handshake is established, and its listener is told next, on
/// the same CPU (`tcp_child_process`).
#[inline(always)]
pub(crate) fn established(child: u64) {
    if let Some(cpu) = this_cpu() {
        cpu.child = child;
    }
}

/// With tracepoints only: a listener is told of the child that was established last.
#[inline(always)]
pub(crate) fn ready(listener: ListenerId) -> Connection {
    let none = Connection { entered: 0, child: 0 };
    let Some(cpu) = this_cpu() else { return none };
    let child = cpu.child;
    if child == 0 {
        return none;
    }
    cpu.child = 0;
    Connection { entered: enters(child, listener), child }
}

/// Ends the note of a sock that closes.
#[inline(always)]
pub(crate) fn forget(child: u64) {
    if let Some(stamp) = ENQUEUED_AT.get_ptr_mut(child) {
        clear_time(child, stamp);
    }
}

/// Counts the wait of a connection that accept returns; the time is returned at which it entered the queue, or 0.
#[inline(always)]
pub(crate) fn accepted(child: u64, listener: ListenerId) -> u64 {
    let Some(stamp) = ENQUEUED_AT.get_ptr_mut(child) else { return 0 };
    // SAFETY: a copy of an integer in a live map value.
    let entered = unsafe { (*stamp).time };
    if entered != 0 {
        clear_time(child, stamp);
        count(listener, entered);
    }
    entered
}

/// Counts a wait that began when a connection entered a queue, and ends now.
#[inline(always)]
fn count(listener: ListenerId, entered: u64) {
    // SAFETY: the helper takes nothing and always succeeds.
    let wait = unsafe { bpf_ktime_get_ns() }.saturating_sub(entered);
    let Some(interval) = control().map(|control| u64::from(control.interval())) else { return };
    let Some(queue) = queue_stats::row(listener) else { return };
    // SAFETY: `queue` is this CPU's map value.
    unsafe { increment(&raw mut queue.waits) };
    // Another task may come in between and have its longer wait overwritten; the buckets are exact,
    // and the report takes the greater of the two.
    if wait > queue.wait_max {
        queue.wait_max = wait;
    }
    if queue.wait_interval != interval {
        queue.wait_interval = interval;
        queue.interval_wait_max = 0;
    }
    if wait > queue.interval_wait_max {
        queue.interval_wait_max = wait;
    }
    let key = WaitKey { listener, bucket: wait_bucket(wait), zero: 0 };
    let count = WAITS.get_ptr_mut(key).or_else(|| {
        if make(Room::Waits, &WAITS, key, 0) {
            // SAFETY: only takes the address of a field of a live map value.
            misc(|misc| unsafe { &raw mut (*misc).waits });
        }
        WAITS.get_ptr_mut(key)
    });
    match count {
        // SAFETY: `count` is a live map value.
        Some(count) => unsafe { increment(count) },
        None => count_without_wait(listener),
    }
}
