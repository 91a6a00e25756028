//! Wakeups: which tasks a listener's notification makes runnable, and what became of each.
//!
//! A bracket is open on a CPU from `sk_data_ready` of a listener to the end of that notification.
//! What `sched_waking` names in between was woken by the listener. Nothing marks the end itself, so
//! the bracket closes at the next thing that this CPU is seen to do on the receive path:
//! another socket's notification, a change of a connection's state (a FIN or a reset wakes tasks by
//! `sk_state_change`, after the state changed), or the end of the NAPI run.

use aya_ebpf::{bindings::BPF_NOEXIST, macros::btf_tracepoint, programs::BtfTracePointContext};
use aya_log_ebpf::debug;
use observer_common::counters::{Bracket, ListenerId, TaskState, WorkerKey, WorkerStats};

use crate::{
    kernel::{
        Address, EPOLL_SYSCALLS, SOCK_BACKLOG, SOCK_SOCKET, SOCKET_INODE, TASK_COMM, TASK_PID,
        TASK_TID, WAIT_SYSCALLS, field, read,
    },
    maps::{
        BRACKETS, LISTENERS, TASKS, WORKERS, count_map_full, filter_add, increment, may_be_known,
        misc, window_open,
    },
    task,
};

/// Opens this CPU's bracket for a listener.
#[inline(always)]
pub(crate) fn open_bracket(listener: ListenerId) {
    if let Some(bracket) = BRACKETS.get_ptr_mut(0) {
        // SAFETY: `bracket` is this CPU's map value, and only this CPU uses it.
        unsafe { *bracket = Bracket { listener, task: task::current() as u64 } };
    }
}

/// Closes this CPU's bracket, if one is open.
#[inline(always)]
pub(crate) fn close_bracket() {
    if let Some(bracket) = BRACKETS.get_ptr_mut(0) {
        // SAFETY: as above. The comparison keeps the cache line clean when nothing is open.
        unsafe {
            if (*bracket).listener != 0 {
                (*bracket).listener = 0;
            }
        }
    }
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
    let Some(bracket) = BRACKETS.get_ptr_mut(0) else { return 0 };
    // SAFETY: `bracket` is this CPU's map value, and only this CPU uses it.
    let Bracket { listener, task } = unsafe { *bracket };
    if listener != 0 {
        if task == task::current() as u64 {
            // Waking hands over what cannot wait for a listener too: ksoftirqd, the client itself,
            // a timer's sleeper. They are not in a system call that waits for descriptors.
            // SAFETY: `woken` is the program's argument.
            if unsafe { task::in_syscall(woken, &WAIT_SYSCALLS) }.is_some() {
                count_wakeup(&ctx, listener, woken);
            }
            return 0;
        }
        close_bracket();
    }
    chain_wakeup(&ctx, woken);
    0
}

/// Counts `woken` as woken by `listener`.
#[inline(always)]
fn count_wakeup(ctx: &BtfTracePointContext, listener: ListenerId, woken: Address) {
    // SAFETY: `woken` is the program's argument, and both ids are 32 bits wide.
    let (pid, tid) = unsafe { (field::<u32>(woken, &TASK_PID), field::<u32>(woken, &TASK_TID)) };
    let next = TaskState { listener, pid, pending: 1 };
    if let Some(state) = TASKS.get_ptr_mut(tid) {
        // SAFETY: `state` is a live map value. Nobody else writes it now: `try_to_wake_up` holds
        // the task's `pi_lock` here, and the task itself sleeps.
        let last = unsafe { *state };
        if last.pending != 0 {
            let key = WorkerKey { listener: last.listener, pid: last.pid, tid };
            with_worker(key, |worker| &raw mut worker.silent);
        }
        // SAFETY: as above.
        unsafe { *state = next };
    } else if TASKS.insert(tid, next, u64::from(BPF_NOEXIST)).is_ok() {
        filter_add(tid, 1);
    } else {
        count_map_full();
    }
    let key = WorkerKey { listener, pid, tid };
    if WORKERS.get_ptr(key).is_none() {
        let comm = read(woken, &TASK_COMM).unwrap_or_default();
        insert_worker(key, comm);
    }
    with_worker(key, |worker| &raw mut worker.wakeups);
    debug!(ctx, "listener {} woke task {}", listener, tid);
}

/// Makes a worker's row; a full map is counted, and what follows goes to the listener's own row.
#[inline(always)]
pub(crate) fn insert_worker(key: WorkerKey, comm: [u8; 16]) {
    let row = WorkerStats { comm, ..WorkerStats::default() };
    if WORKERS.insert(key, row, u64::from(BPF_NOEXIST)).is_err() && WORKERS.get_ptr(key).is_none() {
        count_map_full();
    }
}

/// Adds one to a counter of a worker's row, or of the listener's own where the worker has none, so
/// that the listener's sums stay right when there is no room for one more worker.
#[inline(always)]
pub(crate) fn with_worker(key: WorkerKey, counter: impl Fn(&mut WorkerStats) -> *mut u64) {
    let row = WORKERS
        .get_ptr_mut(key)
        .or_else(|| WORKERS.get_ptr_mut(WorkerKey { pid: 0, tid: 0, ..key }));
    let Some(row) = row else {
        count_map_full();
        return;
    };
    // SAFETY: `row` is this CPU's map value.
    unsafe { increment(counter(&mut *row)) };
}

/// Settles the current task's open wakeup by `listener`, as what its accept came to.
#[inline(always)]
pub(crate) fn settle(
    listener: ListenerId,
    key: WorkerKey,
    outcome: impl Fn(&mut WorkerStats) -> *mut u64,
) {
    if !may_be_known(key.tid) {
        return;
    }
    let Some(state) = TASKS.get_ptr_mut(key.tid) else { return };
    // SAFETY: `state` is a live map value, and a running task is not woken.
    unsafe {
        if (*state).pending == 0 || (*state).listener != listener {
            return;
        }
        (*state).pending = 0;
    }
    with_worker(key, outcome);
}

/// A wakeup outside every bracket: it belongs to a listener when one waiter of a shared epoll
/// instance wakes the next.
///
/// `ep_done_scan` wakes another waiter of the same instance when a level-triggered item was put
/// back, that is, when its poll was non-zero. The waker is in its own `epoll_wait` then, and both
/// wait on the same instance. It speaks for the listener that woke the waker, if that wakeup is
/// still open, and otherwise for the listener that the waker knows, if a connection is in its queue.
#[inline(always)]
fn chain_wakeup(ctx: &BtfTracePointContext, woken: Address) {
    let (_, tid) = task::current_ids();
    if !may_be_known(tid) || !window_open() {
        return;
    }
    let Some(state) = TASKS.get_ptr(tid) else { return };
    // SAFETY: a copy of a live map value of integers.
    let state = unsafe { *state };
    let waker = task::current();
    // SAFETY: `waker` is the current task, `woken` the program's argument.
    let instances = unsafe {
        let Some(ours) = task::in_syscall(waker, &EPOLL_SYSCALLS) else { return };
        let Some(theirs) = task::in_syscall(woken, &EPOLL_SYSCALLS) else { return };
        (task::file_private(waker, ours), task::file_private(woken, theirs))
    };
    if instances.0.is_none() || instances.0 != instances.1 {
        return;
    }
    if state.pending == 0 && !has_connections(state.listener) {
        return;
    }
    // SAFETY: only takes the address of a field of a live map value.
    misc(|misc| unsafe { &raw mut (*misc).inferred });
    count_wakeup(ctx, state.listener, woken);
}

/// Whether there are connections in a listener's accept queue now.
#[inline(always)]
fn has_connections(listener: ListenerId) -> bool {
    let Some(info) = LISTENERS.get_ptr(listener) else { return false };
    // SAFETY: a copy of an integer in a live map value.
    let sock = unsafe { (*info).sock } as Address;
    // The sock may have been freed and used again since: its socket's inode number tells.
    let socket: Option<Address> = read(sock, &SOCK_SOCKET);
    socket.and_then(|socket| read::<u64>(socket, &SOCKET_INODE)) == Some(listener)
        && read::<u32>(sock, &SOCK_BACKLOG).is_some_and(|depth| depth != 0)
}
