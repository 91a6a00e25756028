//! What could not be counted, or was inferred; and the listeners whose counts are too small because of it.

use core::cell::UnsafeCell;

use observer_common::counters::{INCOMPLETE_SLOTS, ListenerId, Misc, NoRoom, incomplete_slot};

use crate::{counter::increment, maps::MISC};

/// Adds one to a counter of [`Misc`].
#[inline(always)]
pub(crate) fn misc(counter: impl Fn(*mut Misc) -> *mut u64) {
    if let Some(misc) = MISC.get_ptr_mut(0) {
        // SAFETY: `misc` is this CPU's map value, and `counter` names one of its fields.
        unsafe { increment(counter(misc)) };
    }
}

/// Listeners of which something was not counted, each in the slot of its identity. In a section of its
/// own, because userspace reads it.
#[unsafe(link_section = ".data.incomplete")]
#[unsafe(no_mangle)]
static INCOMPLETE: Incomplete = Incomplete(UnsafeCell::new([0; INCOMPLETE_SLOTS]));

struct Incomplete(UnsafeCell<[u8; INCOMPLETE_SLOTS]>);

// SAFETY: bytes, each of which is only ever written as 1.
unsafe impl Sync for Incomplete {}

/// Counts something that found a map full.
#[inline(always)]
pub(crate) fn count_no_room(of: impl Fn(*mut NoRoom) -> *mut u64) {
    // SAFETY: only takes the address of a field of a live map value.
    misc(|misc| of(unsafe { &raw mut (*misc).no_room }));
}

/// Notes that something of a listener was not counted, for want of room in a map.
#[inline(always)]
pub(crate) fn mark_incomplete(listener: ListenerId) {
    // SAFETY: the slot is within the static.
    unsafe {
        INCOMPLETE.0.get().cast::<u8>().add(incomplete_slot(listener)).write_volatile(1);
    }
}

/// Counts something of a listener that has no rows: it is not counted at all.
#[inline(always)]
pub(crate) fn count_without_rows(listener: ListenerId) {
    // SAFETY: only takes the address of a field of a live map value.
    count_no_room(|full| unsafe { &raw mut (*full).listeners });
    mark_incomplete(listener);
}
