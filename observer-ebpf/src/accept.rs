//! Accept calls: which listener, which task, and what came of it.

use aya_ebpf::{
    bindings::BPF_NOEXIST, helpers::bpf_ktime_get_ns, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use aya_log_ebpf::debug;
use observer_common::{
    counters::{ErrorKey, WorkerKey},
    event::{Event, EventKind},
};

use crate::{
    kernel::{
        Address, REGS_ARGUMENT, REGS_SYSCALL, SOCKET_SOCK, SYSCALL_ACCEPT, SYSCALL_ACCEPT4, field,
        read,
    },
    lifecycle::emit,
    listener::Listener,
    maps::{ERRORS, TASKS, WORKERS, count_map_full, increment, may_be_known, window_open},
    task, wakeup,
};

/// EAGAIN (uapi asm-generic, the same wherever BPF programs run today).
const EAGAIN: u32 = 11;
/// EINTR.
const EINTR: u32 = 4;
/// Return values from here on are not errnos that a program can see: ERESTARTSYS and its kin
/// (include/linux/errno.h). The call was interrupted by a signal.
const ERESTARTSYS: u32 = 512;

/// `sys_exit(regs, ret)`: fires for every system call while observer runs, so that nothing is done
/// before the number is compared. The registers at the exit still hold the call's arguments.
///
/// The BTF tracepoint and not the two of accept and accept4, because a perf tracepoint skips its
/// programs while any bpf() call on that CPU has been preempted within a map operation
/// (`trace_call_bpf` and `bpf_prog_active`): accepts would go missing just when maps are read.
#[btf_tracepoint(function = "sys_exit")]
fn syscall_exit(ctx: BtfTracePointContext) -> i32 {
    let registers: Address = ctx.arg(0);
    // SAFETY: `registers` is the program's argument.
    let number = unsafe { field::<u64>(registers, &REGS_SYSCALL) };
    if number != SYSCALL_ACCEPT4.load() && number != SYSCALL_ACCEPT.load() {
        return 0;
    }
    if window_open() {
        // SAFETY: as above.
        let descriptor = unsafe { field::<u64>(registers, &REGS_ARGUMENT) };
        returned(&ctx, descriptor, ctx.arg::<i64>(1));
    }
    0
}

/// Counts an accept call on `descriptor` that returned `result`.
#[inline(always)]
fn returned(ctx: &BtfTracePointContext, descriptor: u64, result: i64) {
    let (pid, tid) = task::current_ids();
    let Some(listener) = listener_of(descriptor, tid) else { return };
    debug!(ctx, "task {} called accept on listener {}: {}", tid, listener, result);
    let key = WorkerKey { listener, pid, tid };
    if WORKERS.get_ptr(key).is_none() {
        wakeup::insert_worker(key, task::current_comm());
    }
    if result >= 0 {
        wakeup::with_worker(key, |worker| &raw mut worker.accepted);
        wakeup::settle(listener, key, |worker| &raw mut worker.won);
        return;
    }
    let errno = match result.unsigned_abs() as u32 {
        ERESTARTSYS.. => EINTR,
        errno => errno,
    };
    if errno == EAGAIN {
        wakeup::with_worker(key, |worker| &raw mut worker.eagain);
        wakeup::settle(listener, key, |worker| &raw mut worker.lost);
        return;
    }
    count_error(key, errno);
    wakeup::settle(listener, key, |worker| &raw mut worker.failed);
    emit(
        ctx,
        &Event {
            kind: EventKind::AcceptError as u32,
            errno,
            // SAFETY: the helper takes nothing and always succeeds.
            time: unsafe { bpf_ktime_get_ns() },
            listener,
            pid,
            tid,
            comm: task::current_comm(),
        },
    );
}

/// The listener that the current task called accept on.
#[inline(always)]
fn listener_of(descriptor: u64, tid: u32) -> Option<u64> {
    let socket = task::file_private(task::current(), descriptor);
    let sock = socket.and_then(|socket| read::<Address>(socket, &SOCKET_SOCK));
    if let Some(listener) = sock.and_then(Listener::of_sock)
        && listener.ensure_rows()
    {
        return Some(listener.id);
    }
    // The descriptor was closed or replaced while the call blocked, which does not end the call.
    // Whoever woke the task is the listener that it waited for.
    if !may_be_known(tid) {
        return None;
    }
    let state = TASKS.get_ptr(tid)?;
    // SAFETY: a copy of a live map value of integers.
    let state = unsafe { *state };
    (state.pending != 0).then_some(state.listener)
}

/// Counts an errno other than EAGAIN.
#[inline(always)]
fn count_error(worker: WorkerKey, errno: u32) {
    let key = ErrorKey { worker, errno, zero: 0 };
    if ERRORS.get_ptr(key).is_none() {
        let _exists = ERRORS.insert(key, 0, u64::from(BPF_NOEXIST));
    }
    let Some(count) = ERRORS.get_ptr_mut(key) else {
        count_map_full();
        return;
    };
    // SAFETY: `count` is this CPU's map value.
    unsafe { increment(count) };
}
