//! Accept calls where only kprobes can be had.
//!
//! A return probe takes one of few instances for as long as its function runs (two for each CPU, or
//! ten), and accept blocks: with more blocked tasks than that, returns go missing. So nothing here
//! returns from anything that blocks. An accept call is noted when it begins, and its end is told by
//! what it does on the way: `sock_graft` when it has a connection, `put_unused_fd` when it has not.
//! Calls are noted before the window opens too, so that what is under way then is known.

use aya_ebpf::{
    EbpfContext,
    bindings::BPF_ANY,
    macros::{kprobe, kretprobe},
    programs::{ProbeContext, RetProbeContext},
};
use observer_common::{
    counters::{IN_FLIGHT_FLAGS, ListenerId, REACHED_QUEUE, UNTIL_EXIT, VIA_RING, WorkerKey},
    room::Room,
};

use crate::{
    accept::{failed, succeeded},
    accept_errors::{EAGAIN, EINTR, ERESTARTSYS},
    accept_file::{child_of, child_of_socket, listener_of},
    accept_ring::listener_of_request,
    control::{idle, window_open},
    globals::{
        FILE_FLAGS, PROCESS_PENDING, SOCK_RECEIVE_TIMEOUT, SOCK_SOCKET, SOCK_STATE, SOCKET_FILE,
        STATE_LISTEN, TASK_BLOCKED, TASK_PENDING, TASK_SIGNAL, TASK_STOPS,
    },
    kernel::{Address, read},
    listener::Listener,
    maps::{IN_FLIGHT, LISTENERS},
    no_room::{count_no_room, mark_incomplete},
    room::{calls, is_full, is_made},
    task,
};

/// EINVAL (uapi).
const EINVAL: u32 = 22;
/// ENFILE (uapi): what is left when a call fails with a descriptor and without having asked the
/// queue.
const ENFILE: u32 = 23;
/// O_NONBLOCK (uapi asm-generic).
const O_NONBLOCK: u32 = 0o4000;
/// O_CLOEXEC (uapi asm-generic).
const O_CLOEXEC: u32 = 0o2000000;

/// Notes where the current task's accept call has come to.
#[inline(always)]
fn note(tid: u32, listener: u64) {
    // Over a note that is there, no room is needed.
    let full = is_full(Room::InFlight) && IN_FLIGHT.get_ptr(tid).is_none();
    if full || !is_made(Room::InFlight, IN_FLIGHT.insert(tid, listener, u64::from(BPF_ANY))) {
        // SAFETY: only takes the address of a field of a live map value.
        count_no_room(|full| unsafe { &raw mut (*full).calls });
        mark_incomplete(listener & !IN_FLIGHT_FLAGS);
    }
}

/// What was noted of the current task's accept call.
#[inline(always)]
fn noted(tid: u32) -> Option<u64> {
    // SAFETY: a copy of an integer in a live map value.
    IN_FLIGHT.get_ptr(tid).map(|noted| unsafe { *noted })
}

/// Takes it: the call is over.
#[inline(always)]
fn take(tid: u32) -> Option<(ListenerId, u64)> {
    let noted = noted(tid)?;
    calls::forget(tid);
    Some((noted & !IN_FLIGHT_FLAGS, noted & IN_FLIGHT_FLAGS))
}

/// `__sys_accept4(fd, addr, addrlen, flags)`: an accept call begins.
#[kprobe]
fn k_accept_enter(ctx: ProbeContext) -> i32 {
    if idle() {
        return 0;
    }
    let (pid, tid) = task::current_ids();
    let (Some(descriptor), Some(flags)) = (ctx.arg::<u64>(0), ctx.arg::<u64>(3)) else { return 0 };
    let Some(listener) = listener_of(descriptor, tid) else { return 0 };
    // An int: the upper half of the register is not part of it.
    if flags as u32 & !(O_NONBLOCK | O_CLOEXEC) == 0 {
        note(tid, listener);
    } else if window_open() {
        // The call ends before anything that is seen of its end (`__sys_accept4_file`).
        failed(&ctx, WorkerKey { listener, pid, tid }, EINVAL);
    }
    0
}

/// `io_accept(req, issue_flags)`: the same for io_uring. It is part of its caller on Linux 5.10.
#[kprobe]
fn k_ring_enter(ctx: ProbeContext) -> i32 {
    if idle() {
        return 0;
    }
    if let Some(listener) = ctx.arg::<Address>(0).and_then(listener_of_request) {
        note(task::current_ids().1, listener.id | VIA_RING | UNTIL_EXIT);
    }
    0
}

/// The end of `io_accept`, which blocks only where a program asks for that (IOSQE_ASYNC).
#[kretprobe]
fn k_ring_exit(_ctx: RetProbeContext) -> i32 {
    if idle() {
        return 0;
    }
    let (_, tid) = task::current_ids();
    if noted(tid).is_some_and(|noted| noted & UNTIL_EXIT != 0) {
        calls::forget(tid);
    }
    0
}

/// `inet_csk_accept(sk, …)`: it asks the queue; who comes here without a call above is no system call, but
/// the kernel itself (`kernel_accept`), or io_uring on Linux 5.10.
#[kprobe]
fn k_queue_enter(ctx: ProbeContext) -> i32 {
    if idle() {
        return 0;
    }
    if let Some(listener) = ctx.arg::<Address>(0).and_then(Listener::observed) {
        let (_, tid) = task::current_ids();
        let before = noted(tid).map_or(VIA_RING, |noted| noted & IN_FLIGHT_FLAGS);
        note(tid, listener.id | before | REACHED_QUEUE);
    }
    0
}

/// `security_sock_graft(sk, parent)`: it has a connection, whoever asked (`sock_graft`).
#[kprobe]
fn k_grafted(ctx: ProbeContext) -> i32 {
    if idle() {
        return 0;
    }
    let (_, tid) = task::current_ids();
    let Some(noted) = noted(tid) else { return 0 };
    let child = |socket| child_of_socket(socket, noted & !IN_FLIGHT_FLAGS);
    match ctx.arg::<Address>(1).and_then(child) {
        Some(child) if noted & REACHED_QUEUE != 0 => has_connection(&ctx, noted, child),
        _ => 0,
    }
}

/// `fd_install(fd, file)`: the same where the kernel has no such function (CONFIG_SECURITY_NETWORK), of system
/// calls and of io_uring, as far as it gives descriptors.
#[kprobe]
fn k_installed(ctx: ProbeContext) -> i32 {
    if idle() {
        return 0;
    }
    let (_, tid) = task::current_ids();
    let Some(noted) = noted(tid) else { return 0 };
    let child = |file| child_of(file, noted & !IN_FLIGHT_FLAGS);
    match ctx.arg::<Address>(1).and_then(child) {
        Some(child) => has_connection(&ctx, noted, child),
        None => 0,
    }
}

#[inline(always)]
fn has_connection<C: EbpfContext>(ctx: &C, noted: u64, child: u64) -> i32 {
    let (pid, tid) = task::current_ids();
    if noted & UNTIL_EXIT != 0 {
        // A multishot request goes on with the next connection.
        note(tid, noted & !REACHED_QUEUE);
    } else {
        calls::forget(tid);
    }
    if window_open() {
        succeeded(ctx, WorkerKey { listener: noted & !IN_FLIGHT_FLAGS, pid, tid }, child, 0);
    }
    0
}

/// `security_socket_accept(sock, newsock)`: a call that is noted ends here where a security module refuses it,
/// before it asks the queue. No module sleeps for long in it.
#[kretprobe]
fn k_accept_denied(ctx: RetProbeContext) -> i32 {
    ends_if_error(&ctx)
}

/// `put_unused_fd(fd)`: it has none, and why follows from how it waited.
#[kprobe]
fn k_put_unused(ctx: ProbeContext) -> i32 {
    if idle() {
        return 0;
    }
    let (pid, tid) = task::current_ids();
    let Some((listener, flags)) = take(tid) else { return 0 };
    if window_open() {
        let errno = if flags & REACHED_QUEUE != 0 { queue_errno(listener) } else { ENFILE };
        if flags & VIA_RING != 0 && matches!(errno, EAGAIN | EINTR | ERESTARTSYS) {
            // It waits by a poll of its own and tries again, whatever the socket's flags are.
            return 0;
        }
        failed(&ctx, WorkerKey { listener, pid, tid }, errno);
    }
    0
}

/// `get_unused_fd_flags(flags)`: where a call that is noted gets no descriptor, it ends here. It never
/// blocks.
#[kretprobe]
fn k_no_descriptor(ctx: RetProbeContext) -> i32 {
    ends_if_error(&ctx)
}

/// `__get_unused_fd_flags(flags, nofile)`: the same for io_uring. It is part of the above on some
/// kernels and called by it on others, where what is noted is taken here already.
#[kretprobe]
fn k_no_descriptor_below(ctx: RetProbeContext) -> i32 {
    ends_if_error(&ctx)
}

/// A call that is noted ends early where this is an error.
#[inline(always)]
fn ends_if_error(ctx: &RetProbeContext) -> i32 {
    // An int: the upper half of the register is not part of it.
    let result = ctx.ret::<i32>();
    if result < 0 && !idle() {
        ends_early(ctx, result.unsigned_abs());
    }
    0
}

#[inline(always)]
fn ends_early<C: EbpfContext>(ctx: &C, errno: u32) {
    let (pid, tid) = task::current_ids();
    if let Some((listener, _)) = take(tid)
        && window_open()
    {
        failed(ctx, WorkerKey { listener, pid, tid }, errno);
    }
}

/// Why the queue gave no connection (`inet_csk_accept`, `inet_csk_wait_for_connect`): the listener is
/// none any more, or it does not block, or its time is over, or a signal came.
#[inline(always)]
fn queue_errno(listener: ListenerId) -> u32 {
    let state = || -> Option<(u8, u32, i64)> {
        let info = LISTENERS.get_ptr(listener)?;
        // SAFETY: a copy of an integer in a live map value.
        let sock = unsafe { (*info).sock } as Address;
        let file: Address = read(read(sock, &SOCK_SOCKET)?, &SOCKET_FILE)?;
        let flags: u32 = read(file, &FILE_FLAGS)?;
        Some((read(sock, &SOCK_STATE)?, flags, read(sock, &SOCK_RECEIVE_TIMEOUT)?))
    };
    match state() {
        Some((state, ..)) if u32::from(state) != STATE_LISTEN.load() => EINVAL,
        Some((_, flags, _)) if flags & O_NONBLOCK != 0 => EAGAIN,
        // A time limit: the greatest long is none (MAX_SCHEDULE_TIMEOUT).
        Some((_, _, timeout)) if timeout != i64::MAX => {
            if has_signal() {
                EINTR
            } else {
                EAGAIN
            }
        }
        _ => ERESTARTSYS,
    }
}

/// Where a task's `jobctl` has the number of the signal that stopped it last (`JOBCTL_STOP_SIGMASK`): what
/// lies above says that it is to stop, though another thread has taken the signal.
const STOP_SIGNAL: u64 = 0xffff;

/// Whether a signal waits for the current task (`signal_pending`).
#[inline(always)]
fn has_signal() -> bool {
    let current = task::current();
    let pending = || -> Option<u64> {
        let own: u64 = read(current, &TASK_PENDING)?;
        let of_all: u64 = read(read(current, &TASK_SIGNAL)?, &PROCESS_PENDING)?;
        let stops = read::<u64>(current, &TASK_STOPS)? & !STOP_SIGNAL;
        Some((own | of_all) & !read::<u64>(current, &TASK_BLOCKED)? | stops)
    };
    pending().is_some_and(|signals| signals != 0)
}
