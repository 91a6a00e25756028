//! SYNs: `tcp_conn_request` always returns 0, and what became of a SYN follows from how far it came.
//!
//! It allocates a request (`inet_reqsk_alloc`) after it has looked at both queues, and prepares the
//! answer (`tcp_openreq_init_rwin`) when nothing drops the SYN any more.

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe},
    programs::{BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use observer_common::{
    counters::{Bracket, Call},
    drops::{
        DropReason, dropped_syn,
        stage::{ALLOCATED, COOKIE, ENTERED, HANDLED, NO_MEMORY, UNPROVEN},
    },
};

use crate::{
    control::{control, idle, notice_port},
    counter::increment,
    drops::{self, Source},
    full_queues,
    globals::{
        ARGS_PEER_PROVEN, ARGS_REQUEST_ALLOC, CSK_SYN_QUEUE, DROP_LISTEN_OVERFLOW,
        REQUEST_LISTENER, REQUEST_SEQUENCE, SOCK_STATE, STATE_LISTEN,
    },
    kernel::{Address, Object, Typed, read, returned},
    listener::Listener,
    maps::this_cpu,
    queue_stats,
};

/// `tcp_conn_request(rsk_ops, af_ops, sk, skb)` begins. Cookies are checked by way of
/// `inet_reqsk_alloc` too, so that what that leaves behind is wiped here.
#[inline(always)]
fn begins(cpu: &mut Bracket, sock: impl Object) {
    cpu.stage = 0;
    if let Some(before) = full_queues::counted(cpu, sock) {
        cpu.full_before = before;
        cpu.stage = ENTERED;
    }
}

#[fentry(function = "tcp_conn_request")]
fn syn_enter(ctx: FEntryContext) -> i32 {
    if let Some(cpu) = this_cpu() {
        // SAFETY: the program's argument.
        begins(cpu, unsafe { Typed::new(ctx.arg(2)) });
    }
    0
}

#[kprobe]
fn k_syn_enter(ctx: ProbeContext) -> i32 {
    if let Some(cpu) = this_cpu() {
        let (sock, packet) = (ctx.arg(2).unwrap_or(0), ctx.arg(3).unwrap_or(0));
        cpu.request = Call { sock, packet, request: 0 };
        begins(cpu, sock as Address);
    }
    0
}

/// `inet_reqsk_alloc(ops, sk_listener, attach_listener)`: a request without a listener is one that a cookie
/// stands for.
#[inline(always)]
fn allocated(request: u64, cookie: bool) {
    if let Some(cpu) = this_cpu() {
        let came = if request != 0 { ALLOCATED } else { NO_MEMORY };
        cpu.stage |= if cookie { came | COOKIE } else { came };
    }
}

#[fexit(function = "inet_reqsk_alloc")]
fn request_alloc(ctx: FExitContext) -> i32 {
    if let Some(request) = returned(&ctx, &ARGS_REQUEST_ALLOC) {
        // A bool: the rest of the register is not part of it.
        allocated(request, ctx.arg::<u64>(2) as u8 == 0);
    }
    0
}

#[kretprobe]
fn k_request_alloc(ctx: RetProbeContext) -> i32 {
    // Without arguments here; the next call tells of a cookie.
    allocated(ctx.ret(), false);
    0
}

/// `tcp_openreq_init_rwin(req, sk_listener, dst)`.
#[inline(always)]
fn handled(cookie: bool, sock: impl Object) {
    // Its birth is told after it can be connected to.
    notice_port(sock);
    if let Some(cpu) = this_cpu() {
        cpu.stage |= if cookie { HANDLED | COOKIE } else { HANDLED };
    }
}

#[fentry(function = "tcp_openreq_init_rwin")]
fn request_rwin(ctx: FEntryContext) -> i32 {
    // SAFETY: the program's argument. Whether a cookie stands for the request was told when it was made.
    handled(false, unsafe { Typed::new(ctx.arg(1)) });
    0
}

#[kprobe]
fn k_request_rwin(ctx: ProbeContext) -> i32 {
    if let (Some(request), Some(sock)) = (ctx.arg::<Address>(0), ctx.arg::<Address>(1)) {
        handled(read::<u64>(request, &REQUEST_LISTENER) == Some(0), sock);
    }
    0
}

/// `tcp_peer_is_proven(req, dst)`: whether a client may have a place in the last quarter of
/// `tcp_max_syn_backlog`.
#[inline(always)]
fn judged(proven: u64) {
    // A bool: the rest of the register is not part of it.
    if proven as u8 == 0
        && let Some(cpu) = this_cpu()
    {
        cpu.stage |= UNPROVEN;
    }
}

#[fexit(function = "tcp_peer_is_proven")]
fn peer_proven(ctx: FExitContext) -> i32 {
    if let Some(proven) = returned(&ctx, &ARGS_PEER_PROVEN) {
        judged(proven);
    }
    0
}

#[kretprobe]
fn k_peer_proven(ctx: RetProbeContext) -> i32 {
    judged(ctx.ret());
    0
}

#[fexit(function = "tcp_conn_request")]
fn syn_exit(ctx: FExitContext) -> i32 {
    if let Some(cpu) = this_cpu() {
        // SAFETY: the program's argument.
        over(&ctx, cpu, unsafe { Typed::new(ctx.arg(2)) }, ctx.arg(3));
    }
    0
}

#[kretprobe]
fn k_syn_exit(ctx: RetProbeContext) -> i32 {
    if let Some(cpu) = this_cpu() {
        let Call { sock, packet, .. } = cpu.request;
        over(&ctx, cpu, sock as Address, packet as Address);
    }
    0
}

/// `tcp_conn_request` is over.
#[inline(always)]
fn over<C: EbpfContext>(ctx: &C, cpu: &mut Bracket, sock: impl Object, packet: Address) {
    let stage = cpu.stage;
    cpu.stage = 0;
    // Attached while it was under way.
    if stage & ENTERED == 0 {
        return;
    }
    let Some(control) = control() else { return };
    if stage & HANDLED != 0 {
        answered(sock, stage & COOKIE != 0, control.interval());
        return;
    }
    let [cookies, drops] = cpu.full_before;
    let Some([cookies_now, drops_now]) = full_queues::counted(cpu, sock) else { return };
    let sock = sock.address();
    if cookies_now != cookies {
        count_cookie(sock, false);
    }
    let reason = dropped_syn(stage, drops_now != drops);
    drops::count(ctx, sock, Source::Packet(packet), reason);
}

/// A SYN was answered.
#[inline(always)]
fn answered(sock: impl Object, cookie: bool, interval: u32) {
    if cookie {
        return count_cookie(sock.address(), true);
    }
    if idle() {
        return;
    }
    let Some(listener) = Listener::observed(sock) else { return };
    let Some(depth) = read::<u32>(sock.address(), &CSK_SYN_QUEUE) else { return };
    queue_stats::count_requests(listener.id, interval, depth);
}

/// Counts a SYN for which the kernel decided on a cookie.
#[inline(always)]
fn count_cookie(sock: Address, sent: bool) {
    if let Some(listener) = Listener::any_listening(sock)
        && let Some(queue) = queue_stats::row(listener.id)
    {
        // SAFETY: `queue` is this CPU's map value.
        unsafe {
            increment(&raw mut queue.cookies_wanted);
            if sent {
                increment(&raw mut queue.cookies_sent);
            }
        }
    }
}

/// `tcp_req_err(sk, seq, abort)`: the network says that a client cannot be reached, and the kernel
/// counts its request as a drop when the message is about the SYN-ACK that was sent.
#[inline(always)]
fn unreachable<C: EbpfContext>(ctx: &C, request: Address, sequence: u64, abort: u64) {
    // A bool and an unsigned int: the rest of their registers is not part of them.
    if abort as u8 == 0 || read::<u32>(request, &REQUEST_SEQUENCE) != Some(sequence as u32) {
        return;
    }
    if let Some(sock) = read::<Address>(request, &REQUEST_LISTENER) {
        drops::count(ctx, sock, Source::Request(request), DropReason::Other);
    }
}

#[fentry(function = "tcp_req_err")]
fn request_error(ctx: FEntryContext) -> i32 {
    unreachable(&ctx, ctx.arg(0), ctx.arg(1), ctx.arg(2));
    0
}

#[kprobe]
fn k_request_error(ctx: ProbeContext) -> i32 {
    if let (Some(request), Some(sequence), Some(abort)) = (ctx.arg(0), ctx.arg(1), ctx.arg(2)) {
        unreachable(&ctx, request, sequence, abort);
    }
    0
}

/// `kfree_skb(skb, location, reason, rx_sk)`: with tracepoints only, the one drop that a
/// tracepoint tells: the final ACK that found the accept queue full, since Linux 6.18.
#[btf_tracepoint(function = "kfree_skb")]
fn packet_dropped(ctx: BtfTracePointContext) -> i32 {
    if ctx.arg::<i32>(2).cast_unsigned() != DROP_LISTEN_OVERFLOW.load() {
        return 0;
    }
    let (packet, sock): (Address, Address) = (ctx.arg(0), ctx.arg(3));
    if read::<u8>(sock, &SOCK_STATE).map(u32::from) == Some(STATE_LISTEN.load()) {
        drops::count(&ctx, sock, Source::Packet(packet), DropReason::AcceptQueueFullAck);
    }
    0
}

/// `tcp_retransmit_synack(sk, req)`: with tracepoints only, a moment at which the SYN queue's length is seen.
#[btf_tracepoint(function = "tcp_retransmit_synack")]
fn synack_again(ctx: BtfTracePointContext) -> i32 {
    if idle() {
        return 0;
    }
    if let Some(control) = control()
        // SAFETY: the program's argument; that of a child which Fast Open made does not listen.
        && let Some(listener) = Listener::observed(unsafe { Typed::new(ctx.arg(0)) })
        && let Some(depth) = read::<u32>(listener.sock, &CSK_SYN_QUEUE)
    {
        queue_stats::count_requests(listener.id, control.interval(), depth);
    }
    0
}
