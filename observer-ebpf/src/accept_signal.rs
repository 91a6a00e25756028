//! Accept calls that a signal ends: an error where the program gets EINTR, and none where the kernel makes
//! the call again or the signal ends the task.
//!
//! The end of the call comes first, then the signals are delivered, still before the task is back in its
//! program (`exit_to_user_mode_loop`).

use core::{ffi::c_void, ptr::null};

use aya_ebpf::{
    EbpfContext, bindings::BPF_ANY, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use observer_common::{
    counters::{ListenerId, WorkerKey},
    room::Room,
    signals::{ERROR_GIVEN, Ending, MAY_RESTART, ending},
};

use crate::{
    accept_errors::{EINTR, tell_error},
    control::{idle, window_open},
    globals::{SIGNAL_FLAGS, SIGNAL_HANDLER},
    ids,
    kernel::{Address, field},
    maps::INTERRUPTED,
    no_room::{count_no_room, mark_incomplete},
    room::{freed, is_full, is_made},
    task, worker, worker_counters,
};

/// Notes that a signal ended an accept call of the current task, in one of the two ways; 0 where the task is
/// not known, or where there is no room, which is counted. A function of its own, because it is rare: the
/// verifier would otherwise follow it within all ways to it.
#[inline(never)]
pub(crate) fn interrupts(listener: ListenerId, tid: u32, how: u32) -> u32 {
    let Some(state) = worker::known_task(tid) else { return 0 };
    if is_full(Room::Interrupted)
        || !is_made(Room::Interrupted, INTERRUPTED.insert(tid, listener, u64::from(BPF_ANY)))
    {
        // SAFETY: only takes the address of a field of a live map value.
        count_no_room(|full| unsafe { &raw mut (*full).calls });
        mark_incomplete(listener);
        return 0;
    }
    // SAFETY: a live map value, whose task is running here.
    unsafe { (*state).interrupted = how };
    1
}

/// `signal_deliver(sig, info, action)`: the current task gets a signal.
#[btf_tracepoint(function = "signal_deliver")]
fn signal_delivered(ctx: BtfTracePointContext) -> i32 {
    if idle() {
        return 0;
    }
    let (_, tid) = task::current_ids();
    let Some(state) = worker::known_task(tid) else { return 0 };
    // SAFETY: a copy of an integer in a live map value.
    let interrupted = unsafe { (*state).interrupted };
    if interrupted == 0 {
        return 0;
    }
    let action: Address = ctx.arg(2);
    // SAFETY: `action` is the program's argument, and both are as wide as an address.
    let (handler, flags) =
        unsafe { (field::<u64>(action, &SIGNAL_HANDLER), field::<u64>(action, &SIGNAL_FLAGS)) };
    match ending(interrupted, handler, flags) {
        Ending::Undecided => 0,
        Ending::Error => is_error(ctx.as_ptr(), tid),
        Ending::Restart => is_none(tid),
    }
}

/// The current task is seen to go on after a call that a signal ended, if one did: another accept call of it has
/// ended, or it called execve. A
/// function of its own, because it is rare.
#[inline(never)]
pub(crate) fn went_on(ctx: *mut c_void, tid: u32) -> i32 {
    let Some(state) = worker::known_task(tid) else { return 0 };
    // SAFETY: a copy of an integer in a live map value, whose task is running here.
    if unsafe { (*state).interrupted } == ERROR_GIVEN { tells(ctx, tid) } else { is_none(tid) }
}

/// The current task ends.
#[inline(always)]
pub(crate) fn task_ends<C: EbpfContext>(ctx: &C, gone: Address, tid: u32) {
    let Some(state) = worker::known_task(tid) else { return };
    // SAFETY: a copy of an integer in a live map value.
    let interrupted = unsafe { (*state).interrupted };
    if interrupted == 0 {
        return;
    }
    // SAFETY: `gone` is the program's argument, and a task with an entry.
    if interrupted == ERROR_GIVEN && unsafe { task::ends_by_itself(gone) } {
        let _counted = is_error(ctx.as_ptr(), tid);
    } else {
        let _not_counted = is_none(tid);
    }
}

/// Its program got EINTR.
#[inline(always)]
fn is_error(ctx: *mut c_void, tid: u32) -> i32 {
    // A call that would have been made again has not settled the wakeup before it.
    if let Some(state) = worker::known_task(tid)
        && let Some(listener) = INTERRUPTED.get_ptr(tid)
        && window_open()
    {
        // SAFETY: live map values; the task is running here.
        let (state, listener) = unsafe { (&mut *state, *listener) };
        if state.interrupted == MAY_RESTART && state.pending != 0 && state.listener == listener {
            state.pending = 0;
            let key = WorkerKey { listener, pid: state.pid, tid };
            worker::count(Some(state), key, null(), worker_counters::FAILED);
        }
    }
    tells(ctx, tid)
}

/// Counts and tells its EINTR, where the window is open.
#[inline(never)]
fn tells(ctx: *mut c_void, tid: u32) -> i32 {
    let Some(state) = worker::known_task(tid) else { return 0 };
    let Some(listener) = INTERRUPTED.get_ptr(tid) else { return 0 };
    // SAFETY: live map values; the task is running here.
    let (pid, listener) = unsafe { ((*state).pid, *listener) };
    let _settled = is_none(tid);
    if window_open() { tell_error(ctx, listener, ids::pack(pid, tid), EINTR) } else { 0 }
}

/// Its program got nothing.
#[inline(never)]
fn is_none(tid: u32) -> i32 {
    let Some(state) = worker::known_task(tid) else { return 0 };
    // SAFETY: a live map value, whose task is running here.
    unsafe { (*state).interrupted = 0 };
    if INTERRUPTED.remove(tid).is_ok() {
        freed(Room::Interrupted);
    }
    0
}
