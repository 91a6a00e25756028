//! Births and deaths: of listeners, and of the tasks and processes that use them.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext,
    bindings::{BPF_ANY, BPF_F_CURRENT_CPU},
    helpers::{bpf_ktime_get_ns, bpf_perf_event_output},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use observer_common::{
    config::READY_QUEUES,
    counters::WorkerKey,
    event::{Event, EventKind},
};

use crate::{
    kernel::{
        Address, SOCK_DROPS, STATE_CLOSE, STATE_ESTABLISHED, STATE_LISTEN, STATE_SYN_RECV,
        TASK_PID, TASK_TID, field, read,
    },
    listener::Listener,
    maps::{
        EVENTS, IN_FLIGHT, LISTENERS, TASKS, TREE, control, count_map_full, filter_add,
        may_be_known, misc, this_cpu, window_open,
    },
    task, waits, wakeup,
};

/// Sends an event; one that finds no room is counted here, where it is known.
#[inline(always)]
pub(crate) fn emit<C: EbpfContext, T>(ctx: &C, event: &T) {
    // SAFETY: the context is the program's own, the map is a perf event array, and the event is a
    // plain record on this stack.
    let result = unsafe {
        bpf_perf_event_output(
            ctx.as_ptr(),
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

/// `inet_sock_set_state(sk, oldstate, newstate)`. Every child of a listener passes from LISTEN to
/// SYN_RECV too, so that a death is LISTEN to CLOSE and nothing else.
#[btf_tracepoint(function = "inet_sock_set_state")]
fn set_state(ctx: BtfTracePointContext) -> i32 {
    // A connection's state changes before it wakes anybody: no notification of a listener reaches
    // beyond this point.
    wakeup::close_bracket();
    let old = ctx.arg::<i32>(1).cast_unsigned();
    let new = ctx.arg::<i32>(2).cast_unsigned();
    let listen = STATE_LISTEN.load();
    if new == STATE_CLOSE.load() {
        closes(ctx.arg(0));
    } else if old == STATE_SYN_RECV.load()
        && new == STATE_ESTABLISHED.load()
        && control().is_some_and(|control| control.ready & READY_QUEUES != 0)
    {
        waits::established(ctx.arg(0));
    }
    if new == listen && old != listen {
        if window_open() {
            born(&ctx);
        }
    } else if old == listen && new == STATE_CLOSE.load() && window_open() {
        died(&ctx);
    }
    0
}

/// A sock closes: it waits in no accept queue any more, and its memory may soon be another's.
#[inline(always)]
fn closes(sock: u64) {
    waits::forget(sock);
    if let Some(cpu) = this_cpu()
        && cpu.made == sock
    {
        cpu.unmade = 1;
    }
}

/// A socket began to listen.
#[inline(always)]
fn born(ctx: &BtfTracePointContext) {
    // The state is stored after the tracepoint (`inet_sk_state_store`), so it is not asked for.
    let Some(listener) = Listener::of_listening(ctx.arg(0)) else { return };
    let (pid, tid) = task::current_ids();
    let comm = task::current_comm();
    if listener.has_queue && listener.insert_rows(pid, comm, true) {
        send(ctx, EventKind::Birth, listener.id, (pid, tid), comm);
    }
}

/// A listener stopped listening.
#[inline(always)]
fn died(ctx: &BtfTracePointContext) {
    let Some(listener) = Listener::of_listening(ctx.arg(0)) else { return };
    if !listener.has_queue || !listener.ensure_rows() {
        return;
    }
    let Some(info) = LISTENERS.get_ptr_mut(listener.id) else { return };
    // SAFETY: `info` is a live map value; a socket is closed once at a time.
    unsafe {
        (*info).closed = bpf_ktime_get_ns();
        (*info).drops = read(listener.sock, &SOCK_DROPS).unwrap_or(0);
    }
    send(ctx, EventKind::Death, listener.id, task::current_ids(), task::current_comm());
}

/// Sends an event of a listener's life.
#[inline(always)]
fn send(
    ctx: &BtfTracePointContext,
    kind: EventKind,
    listener: u64,
    (pid, tid): (u32, u32),
    comm: [u8; 16],
) {
    // SAFETY: the helper takes nothing and always succeeds.
    let time = unsafe { bpf_ktime_get_ns() };
    emit(ctx, &Event { kind: kind as u32, errno: 0, time, listener, pid, tid, comm });
}

/// `sched_process_exit(task)`: its open wakeup ends without an accept, and its thread id may be
/// given to another task.
#[btf_tracepoint(function = "sched_process_exit")]
fn task_exit(ctx: BtfTracePointContext) -> i32 {
    let gone: Address = ctx.arg(0);
    // SAFETY: `gone` is the program's argument, and the id is 32 bits wide.
    let tid = unsafe { field::<u32>(gone, &TASK_TID) };
    // A process ends with its first thread, for what a family of processes is about.
    let _not_of_it = TREE.remove(tid);
    // Nor does an accept call outlive its task.
    let _not_in_one = IN_FLIGHT.remove(tid);
    if !may_be_known(tid) {
        return 0;
    }
    let Some(state) = TASKS.get_ptr(tid) else { return 0 };
    // SAFETY: a copy of a live map value of integers.
    let state = unsafe { *state };
    if TASKS.remove(tid).is_err() {
        return 0;
    }
    filter_add(tid, -1);
    if state.pending != 0 && window_open() {
        let key = WorkerKey { listener: state.listener, pid: state.pid, tid };
        wakeup::add_to(wakeup::known_worker(key), |worker| &raw mut worker.silent);
    }
    0
}

/// `sched_process_fork(parent, child)`: the children of the processes that `--pid` names are of
/// the family. Attached only where there is a `--pid`.
#[btf_tracepoint(function = "sched_process_fork")]
fn process_fork(ctx: BtfTracePointContext) -> i32 {
    let parent: Address = ctx.arg(0);
    let child: Address = ctx.arg(1);
    // SAFETY: both are the program's arguments, and the ids are 32 bits wide.
    let (parent, child) =
        unsafe { (field::<u32>(parent, &TASK_PID), field::<u32>(child, &TASK_PID)) };
    if parent != child
        && TREE.get_ptr(parent).is_some()
        && TREE.insert(child, 1, u64::from(BPF_ANY)).is_err()
    {
        count_map_full();
    }
    0
}
