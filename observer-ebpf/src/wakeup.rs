//! Wakeups: which tasks a listener's notification makes runnable, and what became of each.
//!
//! A bracket is open on a CPU from `sk_data_ready` of a listener to the end of that notification.
//! What `sched_waking` names in between was woken by the listener. Where `sock_def_readable` can be
//! hooked, its entry and its exit are the bracket. With tracepoints only, nothing marks the end, so
//! the bracket closes at the next thing that this CPU is seen to do on the receive path:
//! another socket's notification, a change of a connection's state (a FIN or a reset wakes tasks by
//! `sk_state_change`, after the state changed), or the end of the NAPI run.

use aya_ebpf::{
    EbpfContext,
    bindings::BPF_NOEXIST,
    macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe},
    programs::{BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use aya_log_ebpf::debug;
use observer_common::counters::{Bracket, Doubt, ListenerId, TaskState, WorkerKey, WorkerStats};

use crate::{
    chain,
    kernel::{
        Address, SOCK_STATE, STATE_LISTEN, TASK_COMM, TASK_PID, TASK_SLEPT, TASK_TID, field, read,
    },
    listener::Listener,
    maps::{
        TASKS, WORKERS, count_map_full, filter_add, increment, may_be_known, misc, this_cpu,
        window_open,
    },
    task,
};

/// Opens this CPU's bracket for a listener. `ends` says whether its end will be seen.
#[inline(always)]
pub(crate) fn open_bracket(listener: ListenerId, ends: bool) {
    if let Some(cpu) = this_cpu() {
        cpu.listener = listener;
        cpu.task = task::current() as u64;
        cpu.ends = u64::from(ends);
        cpu.doubt.task = 0;
    }
}

/// Notes that a wakeup found its task on the run queue, and how often it had slept until then.
///
/// A task goes to sleep with its run queue locked, and counts the sleep before it unlocks it
/// (`__schedule`). `try_to_wake_up` takes the same lock after `sched_waking`, so whether the task had
/// passed the point of return is known as soon as the wakeup is done, and not before.
#[inline(always)]
pub(crate) fn doubt(listener: ListenerId, woken: Address) {
    if let Some(cpu) = this_cpu() {
        // SAFETY: `woken` is the program's argument.
        let slept = unsafe { field::<u64>(woken, &TASK_SLEPT) };
        let waker = task::current() as u64;
        cpu.doubt = Doubt { task: woken as u64, slept, listener, waker };
    }
}

/// Counts the wakeup in doubt, if its task did go to sleep.
#[inline(always)]
pub(crate) fn settle_doubt<C: EbpfContext>(ctx: &C, cpu: &mut Bracket) {
    let Doubt { task, slept, listener, waker } = cpu.doubt;
    if task == 0 {
        return;
    }
    cpu.doubt.task = 0;
    let woken = task as Address;
    // A scan may have gone on elsewhere, and left its doubt here.
    if waker == task::current() as u64
        && read::<u64>(woken, &TASK_SLEPT).is_some_and(|now| now != slept)
        && let Some(pid) = read(woken, &TASK_PID)
        && let Some(tid) = read(woken, &TASK_TID)
    {
        count_wakeup(ctx, listener, woken, pid, tid);
    }
}

/// Closes this CPU's bracket, if one is open.
#[inline(always)]
pub(crate) fn close_bracket() {
    // The comparison keeps the cache line clean when nothing is open.
    if let Some(cpu) = this_cpu()
        && cpu.listener != 0
    {
        cpu.listener = 0;
    }
}

/// `sock_def_readable(sk)`: the notification itself, of every socket that becomes readable.
#[fentry(function = "sock_def_readable")]
fn readable_enter(ctx: FEntryContext) -> i32 {
    let sock: Address = ctx.arg(0);
    // SAFETY: `sock` is the program's argument, and the state is a byte.
    if u32::from(unsafe { field::<u8>(sock, &SOCK_STATE) }) == STATE_LISTEN.load() {
        notifies(&ctx, sock);
    }
    0
}

/// The same where only kprobes can be had.
#[kprobe]
fn k_readable_enter(ctx: ProbeContext) -> i32 {
    if let Some(sock) = ctx.arg::<Address>(0)
        && read::<u8>(sock, &SOCK_STATE).map(u32::from) == Some(STATE_LISTEN.load())
    {
        notifies(&ctx, sock);
    }
    0
}

/// A listener notifies those who wait for it.
#[inline(always)]
fn notifies<C: EbpfContext>(ctx: &C, sock: Address) {
    if window_open()
        && let Some(listener) = Listener::of_listening(sock)
        && listener.ensure_rows()
    {
        open_bracket(listener.id, true);
        debug!(ctx, "listener {} became ready", listener.id);
    }
}

/// Its end. Not asked for the state again: the listener may have closed meanwhile.
#[inline(always)]
fn notified<C: EbpfContext>(ctx: &C) {
    if let Some(cpu) = this_cpu()
        && cpu.listener != 0
    {
        settle_doubt(ctx, cpu);
        cpu.listener = 0;
    }
}

/// The end of `sock_def_readable`.
#[fexit(function = "sock_def_readable")]
fn readable_exit(ctx: FExitContext) -> i32 {
    notified(&ctx);
    0
}

/// The same where only kprobes can be had.
#[kretprobe]
fn k_readable_exit(ctx: RetProbeContext) -> i32 {
    notified(&ctx);
    0
}

/// `napi_poll(napi, work, budget)`: the end of one NAPI run, and of everything notified in it.
#[btf_tracepoint(function = "napi_poll")]
fn napi_done(_ctx: BtfTracePointContext) -> i32 {
    close_bracket();
    0
}

/// `sched_waking(task)`: a sleeping task is about to be made runnable.
#[btf_tracepoint(function = "sched_waking")]
fn waking(ctx: BtfTracePointContext) -> i32 {
    let woken: Address = ctx.arg(0);
    let Some(cpu) = this_cpu() else { return 0 };
    if cpu.listener != 0 {
        if cpu.task == task::current() as u64 {
            settle_doubt(&ctx, cpu);
            // SAFETY: `woken` is the program's argument.
            unsafe {
                if !task::may_wait(woken) {
                    return 0;
                }
                if !task::is_still_awake(woken) {
                    let (pid, tid) = task::ids(woken);
                    count_wakeup(&ctx, cpu.listener, woken, pid, tid);
                } else if cpu.ends != 0 {
                    doubt(cpu.listener, woken);
                }
            }
            return 0;
        }
        close_bracket();
    }
    chain::wakeup(&ctx, woken);
    0
}

/// Counts `woken` as woken by `listener`.
#[inline(always)]
pub(crate) fn count_wakeup<C: EbpfContext>(
    ctx: &C,
    listener: ListenerId,
    woken: Address,
    pid: u32,
    tid: u32,
) {
    let key = WorkerKey { listener, pid, tid };
    let row = worker(key, || read(woken, &TASK_COMM).unwrap_or_default());
    let next = TaskState { listener, pid, pending: 1, scanning: 0, counted: 0 };
    if let Some(state) = TASKS.get_ptr_mut(tid) {
        // SAFETY: `state` is a live map value. Nobody else writes it now: `try_to_wake_up` holds
        // the task's `pi_lock` here, and the task itself sleeps, or has hardly begun to run where
        // its wakeup was in doubt.
        let last = unsafe { core::ptr::replace(state, next) };
        if last.pending != 0 {
            // Most tasks wait for one listener, whose row is at hand.
            let silent = if last.listener == listener && last.pid == pid {
                row
            } else {
                known_worker(WorkerKey { listener: last.listener, pid: last.pid, tid })
            };
            add_to(silent, |worker| &raw mut worker.silent);
        }
    } else {
        insert_task(tid, next);
    }
    add_to(row, |worker| &raw mut worker.wakeups);
    debug!(ctx, "listener {} woke task {}", listener, tid);
}

/// The row of a worker, made where it has none; a full map is counted, and what follows goes to the
/// listener's own row.
#[inline(always)]
pub(crate) fn worker(key: WorkerKey, comm: impl Fn() -> [u8; 16]) -> Option<*mut WorkerStats> {
    let row = WORKERS.get_ptr_mut(key);
    if row.is_some() {
        return row;
    }
    let new = WorkerStats { comm: comm(), ..WorkerStats::default() };
    if WORKERS.insert(key, new, u64::from(BPF_NOEXIST)).is_ok() {
        // SAFETY: only takes the address of a field of a live map value.
        misc(|misc| unsafe { &raw mut (*misc).workers });
    } else if WORKERS.get_ptr(key).is_none() {
        count_map_full();
    }
    known_worker(key)
}

/// The row of a worker, or the listener's own where the worker has none, so that the listener's sums
/// stay right when there is no room for one more worker.
#[inline(always)]
pub(crate) fn known_worker(key: WorkerKey) -> Option<*mut WorkerStats> {
    WORKERS.get_ptr_mut(key).or_else(|| WORKERS.get_ptr_mut(WorkerKey { pid: 0, tid: 0, ..key }))
}

/// Adds one to a counter of a row.
#[inline(always)]
pub(crate) fn add_to(
    row: Option<*mut WorkerStats>,
    counter: impl Fn(&mut WorkerStats) -> *mut u64,
) {
    match row {
        // SAFETY: `row` is this CPU's map value.
        Some(row) => unsafe { increment(counter(&mut *row)) },
        None => count_map_full(),
    }
}

/// Settles the current task's open wakeup by the listener of `key`, and says whether there was one.
/// The task is known as one that deals with listeners from here on; `counted` is noted of it, see
/// [`TaskState::counted`].
#[inline(always)]
pub(crate) fn settle(key: WorkerKey, counted: u64) -> bool {
    let WorkerKey { listener, pid, tid } = key;
    if may_be_known(tid)
        && let Some(state) = TASKS.get_ptr_mut(tid)
    {
        // SAFETY: `state` is a live map value, and a running task is not woken.
        let state = unsafe { &mut *state };
        let settles = state.pending != 0 && state.listener == listener;
        if settles {
            state.pending = 0;
        }
        state.counted = counted;
        return settles;
    }
    insert_task(tid, TaskState { listener, pid, pending: 0, scanning: 0, counted });
    false
}

/// Makes a task's row, unless another CPU has just made it.
#[inline(always)]
fn insert_task(tid: u32, state: TaskState) {
    if TASKS.insert(tid, state, u64::from(BPF_NOEXIST)).is_ok() {
        filter_add(tid, 1);
    } else if TASKS.get_ptr(tid).is_none() {
        count_map_full();
    }
}
