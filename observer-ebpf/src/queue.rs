//! Connections that enter an accept queue, and the notification that follows.
//!
//! `tcp_child_process` calls the listener's `sk_data_ready` once for each child that completed its
//! handshake, after the child entered the queue; `tcp_conn_request` does the same for a Fast Open
//! child. So the tracepoint at the head of `sock_def_readable` is both: one more connection queued,
//! and the beginning of the wakeups that it causes.
//!
//! Where functions can be hooked, `inet_csk_complete_hashdance` and `inet_csk_reqsk_queue_add` tell it
//! at their entry: at their exit another CPU may have accepted the connection already. The first
//! calls the second where that is not inlined, so that a child is counted by the first only: the one
//! that the CPU added last, until it makes the next.

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, fentry, kprobe},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext},
};
use aya_log_ebpf::debug;
use observer_common::{
    config::{READY_QUEUES, READY_WAKES},
    counters::{Bracket, Connection},
    event::EventKind,
    hist::{DEPTH_BUCKETS, depth_bucket},
};

use crate::{
    accept_wait,
    control::{control, idle, notice_port},
    counter::{add, increment},
    events,
    globals::{SOCK_BACKLOG, SOCK_BACKLOG_LIMIT, SOCK_STATE, STATE_LISTEN, STATE_SYN_RECV},
    kernel::{Address, Object, Typed, field, read},
    listener::Listener,
    maps::this_cpu,
    queue_stats::{roll, row},
    wakeup,
};

/// `sk_data_ready(sk)`: fires for every socket that becomes readable.
#[btf_tracepoint(function = "sk_data_ready")]
fn data_ready(ctx: BtfTracePointContext) -> i32 {
    let sock: Address = ctx.arg(0);
    if !idle() {
        // Whatever it is, the notification that this CPU was in before is over.
        wakeup::close_bracket();
    }
    // SAFETY: `sock` is the program's argument, and the state is a byte.
    if u32::from(unsafe { field::<u8>(sock, &SOCK_STATE) }) != STATE_LISTEN.load() {
        return 0;
    }
    // SAFETY: the program's argument.
    notice_port(unsafe { Typed::new(sock) });
    if let Some(control) = control()
        // SAFETY: the program's argument.
        && let Some(listener) = Listener::observed_listening(unsafe { Typed::new(sock) })
    {
        if listener.has_queue && control.has_role(READY_QUEUES) {
            // Another CPU may have accepted the connection already; it was in the queue all the
            // same.
            let depth = read::<u32>(listener.sock, &SOCK_BACKLOG).unwrap_or(1).max(1);
            count_queued(&listener, depth, control.interval());
            let connection = accept_wait::ready(listener.id);
            tell(&ctx, &listener, connection, depth);
        }
        if control.has_role(READY_WAKES) {
            wakeup::open_bracket(listener.id, false);
        }
        debug!(&ctx, "listener {} became ready", listener.id);
    }
    0
}

/// Counts one connection, and the depth of the queue with it.
#[inline(always)]
fn count_queued(listener: &Listener, depth: u32, interval: u32) {
    let Some(queue) = row(listener.id) else { return };
    let bucket = depth_bucket(depth);
    // SAFETY: `queue` is this CPU's map value.
    unsafe {
        increment(&raw mut queue.queued);
        if bucket < DEPTH_BUCKETS {
            increment(&raw mut queue.depth[bucket]);
        }
    }
    roll(queue, interval);
    let depth = u64::from(depth);
    if depth > queue.depth_max {
        queue.depth_max = depth;
    }
    if depth > queue.interval_depth_max {
        queue.interval_depth_max = depth;
    }
}

/// Counts the connections that are in the queue of a listener which closes.
#[inline(always)]
pub(crate) fn discarded(listener: u64, connections: u32) {
    if connections != 0
        && let Some(queue) = row(listener)
    {
        // SAFETY: `queue` is this CPU's map value.
        unsafe { add(&raw mut queue.discarded, u64::from(connections)) };
    }
}

/// Tells that a connection entered a queue, and notes it for the wakeups that follow.
#[inline(always)]
fn tell<C: EbpfContext>(ctx: &C, listener: &Listener, connection: Connection, depth: u32) {
    if events::asked(EventKind::Woken)
        && let Some(cpu) = this_cpu()
    {
        cpu.queued = connection;
    }
    if events::asked(EventKind::Queued) {
        let Connection { entered, child } = connection;
        let limit = read::<u32>(listener.sock, &SOCK_BACKLOG_LIMIT).unwrap_or(0);
        let depth = u64::from(limit) << 32 | u64::from(depth);
        let _sent = events::queued(ctx.as_ptr(), listener.id, child, entered, depth);
    }
}

/// Counts a connection that is about to enter the queue of `sock`.
#[inline(always)]
fn entering<C: EbpfContext>(ctx: &C, sock: impl Object, child: impl Object, is_new: bool) {
    if let Some(control) = control()
        && let Some(listener) = Listener::observed(sock)
    {
        let depth = sock.get::<u32>(&SOCK_BACKLOG).unwrap_or(0).saturating_add(1);
        count_queued(&listener, depth, control.interval());
        let child = child.address() as u64;
        let entered = if is_new {
            accept_wait::enters(child, listener.id)
        } else {
            accept_wait::moves(child, listener.id)
        };
        tell(ctx, &listener, Connection { entered, child }, depth);
    }
}

/// Whether a child that enters a queue was made just now. One that is further on has been in the queue
/// of another listener, which closed, and has waited since then (`inet_csk_listen_stop`).
#[inline(always)]
fn is_new(child: impl Object) -> bool {
    child.get::<u8>(&SOCK_STATE).map(u32::from) == Some(STATE_SYN_RECV.load())
}

/// `inet_csk_complete_hashdance(sk, child, req, own_req)`: with `own_req` false another CPU has
/// made the connection already, and this child is thrown away.
#[inline(always)]
fn hashdance<C: EbpfContext>(ctx: &C, sock: impl Object, child: impl Object, own_request: u64) {
    // A bool: the rest of the register is not part of it.
    if !idle() && own_request as u8 != 0 {
        if let Some(cpu) = this_cpu() {
            cpu.child = child.address() as u64;
        }
        entering(ctx, sock, child, true);
    }
}

/// A child is made on this CPU: what was added before it is over, and its memory may be this one's.
#[inline(always)]
pub(crate) fn child_is_made(cpu: &mut Bracket) {
    cpu.child = 0;
}

#[fentry(function = "inet_csk_complete_hashdance")]
fn hashdance_enter(ctx: FEntryContext) -> i32 {
    // SAFETY: the program's arguments.
    let (sock, child) = unsafe { (Typed::new(ctx.arg(0)), Typed::new(ctx.arg(1))) };
    hashdance(&ctx, sock, child, ctx.arg(3));
    0
}

#[kprobe]
fn k_hashdance_enter(ctx: ProbeContext) -> i32 {
    if let (Some(sock), Some(child), Some(own)) =
        (ctx.arg::<Address>(0), ctx.arg::<Address>(1), ctx.arg(3))
    {
        hashdance(&ctx, sock, child, own);
    }
    0
}

/// `inet_csk_reqsk_queue_add(sk, req, child)`: cookie and Fast Open children, those that move from a
/// listener that closes, and all of them where the function is not inlined into its caller.
#[inline(always)]
fn added<C: EbpfContext>(ctx: &C, sock: impl Object, child: impl Object) {
    if idle() {
        return;
    }
    let is_new = is_new(child);
    let within = |cpu: &mut Bracket| cpu.child == child.address() as u64 && is_new;
    if !this_cpu().is_some_and(within) {
        entering(ctx, sock, child, is_new);
    }
}

#[fentry(function = "inet_csk_reqsk_queue_add")]
fn queue_add(ctx: FEntryContext) -> i32 {
    // SAFETY: the program's arguments.
    let (sock, child) = unsafe { (Typed::new(ctx.arg(0)), Typed::new(ctx.arg(2))) };
    added(&ctx, sock, child);
    0
}

#[kprobe]
fn k_queue_add(ctx: ProbeContext) -> i32 {
    if let (Some(sock), Some(child)) = (ctx.arg::<Address>(0), ctx.arg::<Address>(2)) {
        added(&ctx, sock, child);
    }
    0
}
