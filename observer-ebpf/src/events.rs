//! Events: what happened once, sent to userspace where somebody asked for its kind.
//!
//! The kinds are a constant to the verifier, which leaves out what sends the others.

use core::{ffi::c_void, ptr::null};

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_F_CURRENT_CPU},
    helpers::{bpf_ktime_get_ns, bpf_perf_event_output},
};
use observer_common::{
    counters::{Connection, ListenerId},
    event::{ClientEvent, EventKind, MUTES_STRANGERS, TaskEvent},
};

use crate::{
    endpoint::{nowhere, of_peer},
    globals::{EVENT_KINDS, MUTES, PORTS_GIVEN, wants_port},
    ids,
    kernel::{Address, opaque},
    listener::port_of,
    maps::{EVENTS, MUTED, PID_TREE, WOKEN_AT, this_cpu},
    no_room::misc,
    task,
};

/// Whether somebody reads events of this kind.
#[inline(always)]
pub(crate) fn asked(kind: EventKind) -> bool {
    EVENT_KINDS.load() & kind.bit() != 0
}

/// Whether somebody reads events of this listener. One of which that is not decided yet counts as read: userspace
/// leaves its events out once it has looked at who holds it.
#[inline(always)]
fn is_read(listener: ListenerId) -> bool {
    MUTES.load() == 0 || MUTED.get_ptr(listener).is_none()
}

/// Mutes a listener that the current task begins, where only those are read which `--pid` chooses and the task is not of
/// them. Userspace finds it out where one of them comes to hold it later.
#[inline(always)]
pub(crate) fn mute_stranger(listener: ListenerId) {
    if MUTES.load() == MUTES_STRANGERS {
        let (pid, _) = task::current_ids();
        if PID_TREE.get_ptr(pid).is_none() {
            // What finds no room is sent, and left out by whoever reads it.
            let _full = MUTED.insert(listener, 1, u64::from(BPF_ANY));
        }
    }
}

/// Forgets a listener that ended: those that come and go between two reports are known here only, and would fill the map.
#[inline(always)]
pub(crate) fn forget_muted(listener: ListenerId) {
    if MUTES.load() != 0 {
        let _unknown = MUTED.remove(listener);
    }
}

/// Whether somebody reads drops of the listener `sock`. They are counted on every port, because what the kernel's
/// counters tell of a network namespace is about all of its listeners.
#[inline(always)]
pub(crate) fn reads_drops(sock: Address, listener: ListenerId) -> bool {
    asked(EventKind::Dropped)
        && (PORTS_GIVEN.load() == 0 || port_of(sock).is_some_and(wants_port))
        && is_read(listener)
}

/// Sends an event; one that finds no room is counted here, where it is known.
#[inline(always)]
pub(crate) fn emit<T>(ctx: *mut c_void, event: &T) {
    // SAFETY: the context is the program's own, the map is a perf event array, and the event is a
    // plain record on this stack.
    let result = unsafe {
        bpf_perf_event_output(
            ctx,
            (&raw const EVENTS).cast_mut().cast::<c_void>(),
            u64::from(BPF_F_CURRENT_CPU as u32),
            core::ptr::from_ref(event).cast_mut().cast::<c_void>(),
            size_of::<T>() as u64,
        )
    };
    if result != 0 {
        // SAFETY: only takes the address of a field of a live map value.
        misc(|misc| unsafe { &raw mut (*misc).events_lost });
    }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: the helper takes nothing and always succeeds.
    unsafe { bpf_ktime_get_ns() }
}

/// What a task did: `ids` are its process and thread, `who` its address, or null for the current one.
#[inline(always)]
fn of_task(kind: EventKind, listener: ListenerId, ids: u64, who: Address) -> TaskEvent {
    // Zeros that LLVM knows as such are written by a loop over the bytes, which the verifier follows step by
    // step.
    let zero = opaque(0);
    let (pid, tid) = ids::unpack(ids);
    TaskEvent {
        kind: kind as u32,
        detail: zero as u32,
        time: now(),
        listener,
        pid,
        tid,
        comm: task::name(who),
        connection: Connection { entered: zero, child: zero },
        woken: zero,
    }
}

/// Tells that a listener woke a task. Each of these is a function of its own: the verifier would otherwise
/// follow it for each of the ways to it.
#[inline(never)]
pub(crate) fn woken(ctx: *mut c_void, listener: ListenerId, ids: u64, who: Address) -> i32 {
    if !is_read(listener) {
        return 0;
    }
    let mut event = of_task(EventKind::Woken, listener, ids, who);
    // Beyond the notification itself it is not known for which connection it was: a real-time kernel runs
    // others while a task is preempted within one.
    if let Some(cpu) = this_cpu()
        && cpu.listener == listener
        && cpu.task == task::current() as u64
    {
        event.connection = cpu.queued;
    }
    emit(ctx, &event);
    0
}

/// Notes when a task was woken, for the event of its accept.
#[inline(always)]
pub(crate) fn note_woken(tid: u32) {
    if !asked(EventKind::Accepted) {
        return;
    }
    if let Some(at) = WOKEN_AT.get_ptr_mut(tid) {
        // To insert over an entry takes a new one first, and may fail with the old time still there
        // (`htab_lru_map_update_elem`).
        // SAFETY: a live map value; a task is woken by one CPU at a time.
        unsafe { *at = now() };
    } else {
        // What finds no room is not told.
        let _full = WOKEN_AT.insert(tid, now(), u64::from(BPF_ANY));
    }
}

/// Tells that a task which was woken called no accept.
#[inline(never)]
pub(crate) fn silent(ctx: *mut c_void, listener: ListenerId, ids: u64, who: Address) -> i32 {
    if !is_read(listener) {
        return 0;
    }
    emit(ctx, &of_task(EventKind::Silent, listener, ids, who));
    0
}

/// Tells that the current task's accept failed.
#[inline(never)]
pub(crate) fn failed(ctx: *mut c_void, listener: ListenerId, ids: u64, errno: u32) -> i32 {
    if !is_read(listener) {
        return 0;
    }
    let mut event = of_task(EventKind::AcceptError, listener, ids, null());
    event.detail = errno;
    emit(ctx, &event);
    0
}

/// Set in the time of a connection whose accept is the outcome of a wakeup. The kernel's clock has no such time,
/// and the verifier lets nobody set a bit in an address.
pub(crate) const OF_WAKEUP: u64 = 1 << 63;

/// Tells that the current task accepted a connection, which `child` is, and when it had entered the queue, or
/// 0, with [`OF_WAKEUP`].
#[inline(never)]
pub(crate) fn accepted(
    ctx: *mut c_void,
    listener: ListenerId,
    ids: u64,
    child: u64,
    entered: u64,
) -> i32 {
    if !is_read(listener) {
        return 0;
    }
    let mut event = of_task(EventKind::Accepted, listener, ids, null());
    let (of_wakeup, entered) = (entered & OF_WAKEUP != 0, entered & !OF_WAKEUP);
    if entered != 0 {
        event.connection = Connection { entered, child };
    }
    if of_wakeup && let Some(at) = WOKEN_AT.get_ptr(event.tid) {
        // SAFETY: a copy of an integer in a live map value.
        event.woken = unsafe { *at };
    }
    emit(ctx, &event);
    0
}

/// Tells that a listener began or ended, by the current task.
#[inline(never)]
pub(crate) fn life(ctx: *mut c_void, kind: u32, listener: ListenerId, limit: u32) -> i32 {
    if !is_read(listener) {
        return 0;
    }
    let (pid, tid) = task::current_ids();
    let mut event = of_task(EventKind::Listening, listener, ids::pack(pid, tid), null());
    event.kind = kind;
    event.detail = limit;
    emit(ctx, &event);
    0
}

/// Tells that a connection entered an accept queue, as the `depth`-th of at most `limit` in it: both are in
/// one word, the limit above. It may have been in another queue since `entered`.
#[inline(never)]
pub(crate) fn queued(
    ctx: *mut c_void,
    listener: ListenerId,
    child: u64,
    entered: u64,
    depth: u64,
) -> i32 {
    if !is_read(listener) {
        return 0;
    }
    let mut event = ClientEvent {
        kind: EventKind::Queued as u32,
        detail: depth as u32,
        time: now(),
        listener,
        connection: Connection { entered, child },
        limit: depth >> 32,
        client: nowhere(),
        server: nowhere(),
    };
    let _unknown = of_peer(child as Address, &mut event.client);
    emit(ctx, &event);
    0
}

/// Sends the event of a dropped connection attempt. `event` has both ends.
#[inline(always)]
pub(crate) fn dropped(
    ctx: *mut c_void,
    listener: ListenerId,
    reason: u32,
    event: &mut ClientEvent,
) {
    event.kind = EventKind::Dropped as u32;
    event.detail = reason;
    event.time = now();
    event.listener = listener;
    emit(ctx, event);
}
