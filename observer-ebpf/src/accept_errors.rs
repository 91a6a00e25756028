//! Errors of accept calls.

use core::ffi::c_void;

use observer_common::{
    counters::{ErrorKey, ListenerId, WorkerKey},
    event::EventKind,
    room::Room,
};

use crate::{
    counter::increment,
    events,
    maps::ERRORS,
    no_room::{count_no_room, mark_incomplete, misc},
    room::make,
    worker,
};

/// EAGAIN (uapi asm-generic, the same wherever BPF programs run today).
pub(crate) const EAGAIN: u32 = 11;
/// EINTR.
pub(crate) const EINTR: u32 = 4;
/// Return values from here on are not errnos that a program can see: ERESTARTSYS and its kin
/// (include/linux/errno.h). The call was interrupted by a signal.
pub(crate) const ERESTARTSYS: u32 = 512;

/// Counts an errno that is not EAGAIN. A function of its own, because it is rare.
#[inline(never)]
pub(crate) fn tell_error(ctx: *mut c_void, listener: ListenerId, ids: u64, errno: u32) -> i32 {
    count_error(worker::key(listener, ids), errno);
    if events::asked(EventKind::AcceptError) {
        let _sent = events::failed(ctx, listener, ids, errno);
    }
    0
}

/// Counts an errno other than EAGAIN.
#[inline(always)]
fn count_error(worker: WorkerKey, errno: u32) {
    let key = ErrorKey { worker, errno, zero: 0 };
    let count = ERRORS.get_ptr_mut(key).or_else(|| {
        if make(Room::Errors, &ERRORS, key, 0) {
            // SAFETY: only takes the address of a field of a live map value.
            misc(|misc| unsafe { &raw mut (*misc).errors });
        }
        ERRORS.get_ptr_mut(key)
    });
    match count {
        // SAFETY: `count` is a live map value.
        Some(count) => unsafe { increment(count) },
        None => {
            // SAFETY: only takes the address of a field of a live map value.
            count_no_room(|full| unsafe { &raw mut (*full).errors });
            mark_incomplete(worker.listener);
        }
    }
}
