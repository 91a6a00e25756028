//! Accept calls: which listener, which task, and what came of it.

use core::{ffi::c_void, ptr::null};

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, fentry, fexit},
    programs::{BtfTracePointContext, FEntryContext, FExitContext},
};
use aya_log_ebpf::debug;
use observer_common::{
    counters::{ListenerId, REACHED_QUEUE, WorkerKey},
    event::EventKind,
    signals::{ERROR_GIVEN, MAY_RESTART},
};

use crate::{
    accept_errors::{EAGAIN, EINTR, ERESTARTSYS, tell_error},
    accept_file::{child_of, listener_of},
    accept_signal, accept_wait,
    control::{control, idle, window_open},
    cost,
    events::{self, OF_WAKEUP},
    globals::{
        ARGS_INET_CSK_ACCEPT, ARGS_SYS_ACCEPT4, REGS_ARGUMENT, REGS_SECOND, REGS_SYSCALL,
        SOCKET_SOCK, SYSCALL_ACCEPT, SYSCALL_ACCEPT4, SYSCALL_LISTEN,
    },
    ids,
    kernel::{self, Address, Typed, field, read},
    listen,
    listener::Listener,
    maps::IN_FLIGHT,
    no_room::misc,
    room::calls,
    task, worker, worker_counters,
};

/// `sys_exit(regs, ret)`: fires for every system call while observer runs, so that nothing is done
/// before the number is compared. The registers at the exit still hold the call's arguments. A number of a
/// 32-bit program is that of another call: 43 is times() there.
///
/// The BTF tracepoint and not the two of accept and accept4, because a perf tracepoint skips its
/// programs while any bpf() call on that CPU has been preempted within a map operation
/// (`trace_call_bpf` and `bpf_prog_active`): accepts would go missing just when maps are read.
#[btf_tracepoint(function = "sys_exit")]
fn syscall_exit(ctx: BtfTracePointContext) -> i32 {
    let registers: Address = ctx.arg(0);
    // SAFETY: `registers` is the program's argument, and the number's lower half is all of it that counts: some
    // architectures keep no more, and the others look at no more.
    let number = u64::from(unsafe { field::<u32>(registers, &REGS_SYSCALL) });
    if number == SYSCALL_ACCEPT4.load() || number == SYSCALL_ACCEPT.load() {
        return if idle() { 0 } else { accept_returned(ctx.as_ptr()) };
    }
    if number == SYSCALL_LISTEN.load() {
        return listen_returned(ctx.as_ptr());
    }
    0
}

/// The end of an accept call. A function of its own, as is the next, so that the other calls save no
/// registers for it.
#[inline(never)]
fn accept_returned(ctx: *mut c_void) -> i32 {
    let ctx = BtfTracePointContext::new(ctx);
    if window_open() && !task::calls_are_compat() {
        // SAFETY: the first argument is the registers.
        let descriptor = unsafe { field::<u64>(ctx.arg(0), &REGS_ARGUMENT) };
        let _counted = returned(&ctx, descriptor, ctx.arg::<i64>(1));
    }
    0
}

/// The end of a listen call.
#[inline(never)]
fn listen_returned(ctx: *mut c_void) -> i32 {
    if task::calls_are_compat() {
        return 0;
    }
    let ctx = BtfTracePointContext::new(ctx);
    let registers: Address = ctx.arg(0);
    // SAFETY: `registers` is the program's argument.
    let (descriptor, backlog) =
        unsafe { (field::<u64>(registers, &REGS_ARGUMENT), field::<u64>(registers, &REGS_SECOND)) };
    listen::backlog_requested(descriptor, backlog);
    0
}

/// Counts an accept call on `descriptor` that returned `result`; `false` where that is no listener of
/// ours.
#[inline(always)]
fn returned<C: EbpfContext>(ctx: &C, descriptor: u64, result: i64) -> bool {
    let (pid, tid) = task::current_ids();
    let Some(listener) = listener_of(descriptor, tid) else { return false };
    debug!(ctx, "task {} called accept on listener {}: {}", tid, listener, result);
    let key = WorkerKey { listener, pid, tid };
    if result >= 0 {
        let socket = task::own_file_private(result.cast_unsigned());
        let child = socket.and_then(|socket| read::<u64>(socket, &SOCKET_SOCK));
        let _counted = succeeds(ctx.as_ptr(), listener, ids::pack(pid, tid), child.unwrap_or(0));
    } else {
        failed(ctx, key, result.unsigned_abs() as u32);
    }
    true
}

/// [`succeeded`] as a function of its own, so that the verifier follows it once and not for
/// each of the ways to a listener.
#[inline(never)]
pub(crate) fn succeeds(ctx: *mut c_void, listener: ListenerId, ids: u64, child: u64) -> i32 {
    succeeded(&BtfTracePointContext::new(ctx), worker::key(listener, ids), child, 0);
    0
}

/// Set in the result of a call of which it is noted that it was counted, see [`observer_common::counters::TaskState::counted`].
const NOTED: u32 = 1 << 31;

/// Counts a connection that the current task accepted, whose sock is `child`. `counted` is what the end
/// of the system call is to find, where a program sees it too.
#[inline(always)]
pub(crate) fn succeeded<C: EbpfContext>(ctx: &C, key: WorkerKey, child: u64, counted: u32) {
    let WorkerKey { listener, pid, tid } = key;
    let result = if counted == 0 { 0 } else { NOTED };
    let _counted = ended(ctx.as_ptr(), listener, ids::pack(pid, tid), result, child);
}

/// Counts an accept call of the current task that failed.
#[inline(always)]
pub(crate) fn failed<C: EbpfContext>(ctx: &C, key: WorkerKey, errno: u32) {
    let WorkerKey { listener, pid, tid } = key;
    let _counted = ended(ctx.as_ptr(), listener, ids::pack(pid, tid), errno, 0);
}

/// Counts an accept call of the current task that ended, with an error or with 0, and what became of the
/// wakeup before it. A function of its own with each step in one place: the verifier follows every place
/// that a function is called from anew. `result` is the errno, or 0 with or without [`NOTED`]; `child` is the
/// address of the connection's sock, or 0.
#[inline(never)]
fn ended(ctx: *mut c_void, listener: ListenerId, ids: u64, result: u32, child: u64) -> i32 {
    let (errno, counted) = (result & !NOTED, u32::from(result & NOTED != 0));
    let key = worker::key(listener, ids);
    let entered = if errno == 0 { accept_wait::accepted(child, listener) } else { 0 };
    let mut settles = false;
    let mut state = worker::task(key, null());
    if let Some(state) = &mut state {
        // An accept call of the task ends after one that a signal may have ended.
        if state.interrupted != 0 {
            let _settled = accept_signal::went_on(ctx, key.tid);
        }
        state.counted = counted;
        // A call that is made again settles nothing.
        settles = errno < ERESTARTSYS && state.pending != 0 && state.listener == listener;
        if settles {
            state.pending = 0;
        }
    }
    let (mut call, wakeup) = match errno {
        0 => (worker_counters::ACCEPTED, worker_counters::WON),
        EAGAIN => (worker_counters::EAGAIN, worker_counters::LOST),
        _ => (worker_counters::NOTHING, worker_counters::FAILED),
    };
    if settles {
        call = call.and(wakeup);
        cost::is_settled(key.tid, errno == EAGAIN);
    }
    worker::count(state, key, null(), call);
    if errno == 0 {
        if events::asked(EventKind::Accepted) {
            let entered = if settles { entered | OF_WAKEUP } else { entered };
            let _sent = events::accepted(ctx, listener, ids, child, entered);
        }
        return 0;
    }
    if errno == EAGAIN {
        if events::asked(EventKind::AcceptError) {
            let _sent = events::failed(ctx, listener, ids, errno);
        }
        return 0;
    }
    if errno == EINTR || errno >= ERESTARTSYS {
        let how = if errno == EINTR { ERROR_GIVEN } else { MAY_RESTART };
        if accept_signal::interrupts(listener, key.tid, how) != 0 || how == MAY_RESTART {
            return 0;
        }
    }
    tell_error(ctx, listener, ids, errno)
}

/// `inet_csk_accept(sk, …)`: a connection taken from the queue, whoever asked: accept4, io_uring, or
/// the kernel itself. Why there was none is told by the system call.
#[fexit(function = "inet_csk_accept")]
fn accept_exit(ctx: FExitContext) -> i32 {
    if idle() {
        return 0;
    }
    let child = kernel::returned(&ctx, &ARGS_INET_CSK_ACCEPT).unwrap_or(0);
    if child != 0
        && let Some(control) = control()
        // SAFETY: the program's argument. It listened, or there were no connection.
        && let Some(listener) = Listener::observed_listening(unsafe { Typed::new(ctx.arg(0)) })
    {
        let (pid, tid) = task::current_ids();
        if control.in_flight() {
            calls::forget(tid);
        }
        debug!(&ctx, "task {} accepted from listener {}", tid, listener.id);
        succeeded(&ctx, WorkerKey { listener: listener.id, pid, tid }, child, 1);
    }
    0
}

/// `fd_install(fd, file)`, for the accept calls that were under way when the exit programs were
/// attached: the last thing that a successful one does. Attached only while there are such calls.
#[fentry(function = "fd_install")]
fn installed(ctx: FEntryContext) -> i32 {
    let (pid, tid) = task::current_ids();
    let Some(listener) = IN_FLIGHT.get_ptr(tid) else { return 0 };
    // SAFETY: a copy of an integer in a live map value.
    let listener = unsafe { *listener } & !REACHED_QUEUE;
    if window_open()
        && let Some(child) = child_of(ctx.arg(1), listener)
    {
        calls::forget(tid);
        debug!(&ctx, "task {} accepted from listener {}, having waited before", tid, listener);
        // The call may have begun after the exit program of its system call was attached.
        succeeded(&ctx, WorkerKey { listener, pid, tid }, child, 1);
    }
    0
}

/// `__sys_accept4(fd, …)`: accept calls that failed. EMFILE and ENFILE never reach
/// `inet_csk_accept`.
///
/// And calls that succeeded although [`accept_exit`] did not see it: a kernel that preempts within
/// programs skips one that another task on the same CPU is in.
#[fexit(function = "__sys_accept4")]
fn sys_accept_exit(ctx: FExitContext) -> i32 {
    if idle() {
        return 0;
    }
    let Some(result) = kernel::returned(&ctx, &ARGS_SYS_ACCEPT4) else { return 0 };
    // An int: the upper half of the slot is not part of it.
    let result = result as i32;
    if !window_open() {
        return 0;
    }
    if result >= 0 && !was_skipped() {
        return 0;
    }
    if returned(&ctx, ctx.arg(0), i64::from(result)) && result >= 0 {
        // SAFETY: only takes the address of a field of a live map value.
        misc(|misc| unsafe { &raw mut (*misc).recovered });
    }
    0
}

/// Whether the current task, which is known, got a connection that was not counted.
#[inline(always)]
fn was_skipped() -> bool {
    let (_, tid) = task::current_ids();
    let Some(state) = worker::known_task(tid) else { return false };
    // SAFETY: `state` is a live map value, and its task is running here.
    unsafe { core::ptr::replace(&raw mut (*state).counted, 0) == 0 }
}
