//! Connections that enter an accept queue, and the notification that follows.
//!
//! `tcp_child_process` calls the listener's `sk_data_ready` once for each child that completed its
//! handshake, after the child entered the queue; `tcp_conn_request` does the same for a Fast Open
//! child. So the tracepoint at the head of `sock_def_readable` is both: one more connection queued,
//! and the beginning of the wakeups that it causes.
//!
//! Where functions can be hooked, `inet_csk_complete_hashdance` and `inet_csk_reqsk_queue_add` tell it
//! at their entry: at their exit another CPU may have accepted the connection already. The first
//! calls the second where that is not inlined, so that a child is counted by the first only.

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe},
    programs::{BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use aya_log_ebpf::debug;
use observer_common::{
    config::{READY_QUEUES, READY_WAKES},
    counters::Bracket,
    hist::{DEPTH_BUCKETS, depth_bucket},
};

use crate::{
    kernel::{
        ARGS_SYN_RECV_V4, ARGS_SYN_RECV_V6, Address, SOCK_BACKLOG, SOCK_STATE, STATE_LISTEN, field,
        read, returned,
    },
    listener::Listener,
    maps::{BRACKETS, QUEUES, control, count_map_full, increment, window_open},
    wakeup,
};

/// `sk_data_ready(sk)`: fires for every socket that becomes readable.
#[btf_tracepoint(function = "sk_data_ready")]
fn data_ready(ctx: BtfTracePointContext) -> i32 {
    let sock: Address = ctx.arg(0);
    // Whatever it is, the notification that this CPU was in before is over.
    wakeup::close_bracket();
    // SAFETY: `sock` is the program's argument, and the state is a byte.
    if u32::from(unsafe { field::<u8>(sock, &SOCK_STATE) }) != STATE_LISTEN.load() {
        return 0;
    }
    if let Some(control) = control()
        && let Some(listener) = Listener::of_listening(sock)
        && listener.ensure_rows()
    {
        if listener.has_queue && control.ready & READY_QUEUES != 0 {
            // Another CPU may have accepted the connection already; it was in the queue all the
            // same.
            let depth = read::<u32>(listener.sock, &SOCK_BACKLOG).unwrap_or(1).max(1);
            count_queued(&listener, depth, control.interval);
        }
        if control.ready & READY_WAKES != 0 {
            wakeup::open_bracket(listener.id);
        }
        debug!(&ctx, "listener {} became ready", listener.id);
    }
    0
}

/// Counts one connection, and the depth of the queue with it.
#[inline(always)]
fn count_queued(listener: &Listener, depth: u32, interval: u32) {
    let Some(queue) = QUEUES.get_ptr_mut(listener.id) else {
        count_map_full();
        return;
    };
    let bucket = depth_bucket(depth);
    // SAFETY: `queue` is this CPU's map value. The maxima need no atomics: notifications of
    // listeners run with softirqs off, so that none interrupts another on the same CPU.
    unsafe {
        increment(&raw mut (*queue).queued);
        if bucket < DEPTH_BUCKETS {
            increment(&raw mut (*queue).depth[bucket]);
        }
        let (depth, interval) = (u64::from(depth), u64::from(interval));
        if depth > (*queue).depth_max {
            (*queue).depth_max = depth;
        }
        if (*queue).interval != interval || depth > (*queue).interval_max {
            (*queue).interval = interval;
            (*queue).interval_max = depth;
        }
    }
}

/// Counts a connection that is about to enter the queue of `sock`.
#[inline(always)]
fn entering(sock: Address) {
    if let Some(control) = control()
        && let Some(listener) = Listener::of_sock(sock)
        && listener.ensure_rows()
    {
        let depth = read::<u32>(listener.sock, &SOCK_BACKLOG).unwrap_or(0).saturating_add(1);
        count_queued(&listener, depth, control.interval);
    }
}

/// Changes this CPU's record of where it is on the way of a handshake.
#[inline(always)]
fn on_this_cpu(change: impl Fn(&mut Bracket)) {
    if let Some(cpu) = BRACKETS.get_ptr_mut(0) {
        // SAFETY: `cpu` is this CPU's map value, and only this CPU uses it. Handshakes run with
        // softirqs off, so that none interrupts another.
        change(unsafe { &mut *cpu });
    }
}

/// `inet_csk_complete_hashdance(sk, child, req, own_req)`: with `own_req` false another CPU has
/// made the connection already, and this child is thrown away.
#[inline(always)]
fn hashdance(sock: Address, child: u64, own_request: u64) {
    // A bool: the rest of the register is not part of it.
    if own_request as u8 != 0 {
        on_this_cpu(|cpu| cpu.child = child);
        entering(sock);
    }
}

#[fentry(function = "inet_csk_complete_hashdance")]
fn hashdance_enter(ctx: FEntryContext) -> i32 {
    hashdance(ctx.arg(0), ctx.arg(1), ctx.arg(3));
    0
}

#[kprobe]
fn k_hashdance_enter(ctx: ProbeContext) -> i32 {
    if let (Some(sock), Some(child), Some(own)) = (ctx.arg(0), ctx.arg(1), ctx.arg(3)) {
        hashdance(sock, child, own);
    }
    0
}

/// The end of it: what enters a queue from here on is counted at its own entry again.
#[inline(always)]
fn hashdance_over() {
    on_this_cpu(|cpu| cpu.child = 0);
}

#[fexit(function = "inet_csk_complete_hashdance")]
fn hashdance_exit(_ctx: FExitContext) -> i32 {
    hashdance_over();
    0
}

#[kretprobe]
fn k_hashdance_exit(_ctx: RetProbeContext) -> i32 {
    hashdance_over();
    0
}

/// `inet_csk_reqsk_queue_add(sk, req, child)`: cookie and Fast Open children, and all of them where
/// the function is not inlined into its caller.
#[inline(always)]
fn added(sock: Address, child: u64) {
    if BRACKETS.get(0).is_none_or(|cpu| cpu.child != child) {
        entering(sock);
    }
}

#[fentry(function = "inet_csk_reqsk_queue_add")]
fn queue_add(ctx: FEntryContext) -> i32 {
    added(ctx.arg(0), ctx.arg(2));
    0
}

#[kprobe]
fn k_queue_add(ctx: ProbeContext) -> i32 {
    if let (Some(sock), Some(child)) = (ctx.arg(0), ctx.arg(2)) {
        added(sock, child);
    }
    0
}

/// Counts a handshake that ended at the final ACK without a connection.
#[inline(always)]
fn count_failed(sock: Address) {
    if window_open()
        && let Some(listener) = Listener::of_sock(sock)
        && listener.ensure_rows()
        && let Some(queue) = QUEUES.get_ptr_mut(listener.id)
    {
        // SAFETY: `queue` is this CPU's map value.
        unsafe { increment(&raw mut (*queue).failed) };
    }
}

/// `tcp_v4_syn_recv_sock(sk, skb, req, dst, req_unhash, own_req, …)`: NULL when the connection could
/// not be made. The IPv6 function calls it for mapped peers, and speaks for both then.
#[fexit(function = "tcp_v4_syn_recv_sock")]
fn syn_recv_v4(ctx: FExitContext) -> i32 {
    if returned(&ctx, &ARGS_SYN_RECV_V4) == Some(0)
        && BRACKETS.get(0).is_some_and(|cpu| cpu.in_v6 == 0)
    {
        count_failed(ctx.arg(0));
    }
    0
}

#[kprobe]
fn k_syn_recv_v4_enter(ctx: ProbeContext) -> i32 {
    let sock = ctx.arg(0).unwrap_or(0);
    on_this_cpu(|cpu| {
        if cpu.in_v6 == 0 {
            cpu.handshake = sock;
        }
    });
    0
}

#[kretprobe]
fn k_syn_recv_v4(ctx: RetProbeContext) -> i32 {
    if ctx.ret::<u64>() == 0
        && let Some(cpu) = BRACKETS.get(0)
        && cpu.in_v6 == 0
    {
        count_failed(cpu.handshake as Address);
    }
    0
}

/// Marks that the IPv4 function, if it runs now, runs for the IPv6 one.
#[fentry(function = "tcp_v6_syn_recv_sock")]
fn syn_recv_v6_enter(_ctx: FEntryContext) -> i32 {
    on_this_cpu(|cpu| cpu.in_v6 = 1);
    0
}

#[kprobe]
fn k_syn_recv_v6_enter(ctx: ProbeContext) -> i32 {
    let sock = ctx.arg(0).unwrap_or(0);
    on_this_cpu(|cpu| {
        cpu.in_v6 = 1;
        cpu.handshake = sock;
    });
    0
}

/// The same as for IPv4, for the outermost call.
#[fexit(function = "tcp_v6_syn_recv_sock")]
fn syn_recv_v6(ctx: FExitContext) -> i32 {
    on_this_cpu(|cpu| cpu.in_v6 = 0);
    if returned(&ctx, &ARGS_SYN_RECV_V6) == Some(0) {
        count_failed(ctx.arg(0));
    }
    0
}

#[kretprobe]
fn k_syn_recv_v6(ctx: RetProbeContext) -> i32 {
    on_this_cpu(|cpu| cpu.in_v6 = 0);
    if ctx.ret::<u64>() == 0
        && let Some(cpu) = BRACKETS.get(0)
    {
        count_failed(cpu.handshake as Address);
    }
    0
}
