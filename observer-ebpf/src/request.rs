//! SYNs: `tcp_conn_request` always returns 0, and what became of a SYN follows from how far it came.
//!
//! It allocates a request (`inet_reqsk_alloc`) after it has looked at both queues, and prepares the
//! answer (`tcp_openreq_init_rwin`) when nothing refuses the SYN any more.

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe},
    programs::{BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use observer_common::{
    counters::Call,
    drops::{
        DropReason,
        stage::{ALLOCATED, COOKIE, ENTERED, HANDLED, NO_MEMORY},
    },
};

use crate::{
    drops::{self, Source},
    kernel::{
        ARGS_REQUEST_ALLOC, Address, CSK_SYN_QUEUE, DROP_LISTEN_OVERFLOW, NET_MAX_SYN_BACKLOG,
        NET_SYNCOOKIES, Object, REQUEST_LISTENER, REQUEST_SEQUENCE, SOCK_BACKLOG,
        SOCK_BACKLOG_LIMIT, SOCK_NET, SOCK_STATE, STATE_LISTEN, Typed, read, returned,
    },
    listener::Listener,
    maps::{
        ABOVE_LIMIT, AT_LIMIT, control, idle, increment, learn_syn_queue_full, listens,
        syn_depth_is_known, syn_queue_full, this_cpu,
    },
    queue,
};

/// `tcp_conn_request(rsk_ops, af_ops, sk, skb)` begins. Cookies are checked by way of
/// `inet_reqsk_alloc` too, so that what that leaves behind is wiped here.
#[fentry(function = "tcp_conn_request")]
fn request_enter(_ctx: FEntryContext) -> i32 {
    if let Some(cpu) = this_cpu() {
        cpu.stage = ENTERED;
    }
    0
}

#[kprobe]
fn k_request_enter(ctx: ProbeContext) -> i32 {
    if let Some(cpu) = this_cpu() {
        cpu.stage = ENTERED;
        let (sock, packet) = (ctx.arg(2).unwrap_or(0), ctx.arg(3).unwrap_or(0));
        cpu.request = Call { sock, packet, request: 0 };
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
    listens(sock);
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

#[fexit(function = "tcp_conn_request")]
fn request_exit(ctx: FExitContext) -> i32 {
    if let Some(cpu) = this_cpu() {
        let stage = cpu.stage;
        cpu.stage = 0;
        // SAFETY: the program's argument.
        over(&ctx, stage, unsafe { Typed::new(ctx.arg(2)) }, ctx.arg(3));
    }
    0
}

#[kretprobe]
fn k_request_exit(ctx: RetProbeContext) -> i32 {
    if let Some(cpu) = this_cpu() {
        let stage = cpu.stage;
        cpu.stage = 0;
        over(&ctx, stage, cpu.request.sock as Address, cpu.request.packet as Address);
    }
    0
}

/// What decides about a SYN, as it is at the end of `tcp_conn_request`.
struct Queues {
    /// `tcp_syncookies`.
    cookies: u8,
    /// Requests in the SYN queue.
    requests: u32,
    /// Connections in the accept queue.
    connections: u32,
    /// The limit of both.
    limit: u32,
    /// `tcp_max_syn_backlog`.
    max_syn_backlog: u32,
}

impl Queues {
    #[inline(always)]
    fn of(sock: Address) -> Option<Self> {
        let net: Address = read(sock, &SOCK_NET)?;
        Some(Self {
            cookies: read(net, &NET_SYNCOOKIES)?,
            requests: read(sock, &CSK_SYN_QUEUE)?,
            connections: read(sock, &SOCK_BACKLOG)?,
            limit: read(sock, &SOCK_BACKLOG_LIMIT)?,
            max_syn_backlog: read(net, &NET_MAX_SYN_BACKLOG)?,
        })
    }

    /// `sk_acceptq_is_full`.
    #[inline(always)]
    fn no_room_to_accept(&self) -> bool {
        self.connections > self.limit
    }

    /// `inet_csk_reqsk_queue_is_full`.
    #[inline(always)]
    fn no_room_for_syn(&self, at_limit: bool) -> bool {
        self.requests > self.limit || (at_limit && self.requests == self.limit)
    }

    /// The last quarter of the SYN queue is for clients that are known to be real.
    #[inline(always)]
    fn last_quarter(&self) -> bool {
        let left = i64::from(self.max_syn_backlog) - i64::from(self.requests);
        self.cookies == 0 && left < i64::from(self.max_syn_backlog >> 2)
    }
}

/// `tcp_conn_request` is over.
#[inline(always)]
fn over<C: EbpfContext>(ctx: &C, stage: u64, sock: impl Object, packet: Address) {
    // Attached while it was under way.
    if stage & ENTERED == 0 {
        return;
    }
    let Some(control) = control() else { return };
    if stage & HANDLED != 0 {
        answered(sock, stage & COOKIE != 0, control.interval());
        return;
    }
    let sock = sock.address();
    let Some(queues) = Queues::of(sock) else { return };
    let at_limit = match syn_queue_full() {
        0 => control.full_at_limit(),
        learnt => learnt == AT_LIMIT,
    };
    let full = queues.no_room_for_syn(at_limit);
    if queues.cookies == 2 || (queues.cookies == 1 && full) {
        count_cookie(sock, false);
    }
    let reason = if stage & ALLOCATED != 0 {
        if queues.last_quarter() {
            DropReason::SynQueueLastQuarter
        } else {
            DropReason::PolicyOrRoute
        }
    } else if stage & NO_MEMORY != 0 {
        DropReason::NoMemory
    } else if queues.cookies != 0 {
        // With cookies a full SYN queue refuses nobody.
        DropReason::AcceptQueueFullSyn
    } else if !queues.no_room_to_accept() {
        if queues.requests == queues.limit {
            learn_syn_queue_full(AT_LIMIT);
        }
        DropReason::SynQueueFull
    } else if full {
        // The SYN queue is asked first.
        DropReason::SynQueueFull
    } else {
        DropReason::AcceptQueueFullSyn
    };
    drops::count(ctx, sock, Source::Packet(packet), reason);
}

/// A SYN was answered.
#[inline(always)]
fn answered(sock: impl Object, cookie: bool, interval: u32) {
    if cookie {
        count_cookie(sock.address(), true);
        if let Some(queues) = Queues::of(sock.address())
            && queues.cookies == 1
            && queues.requests == queues.limit
        {
            learn_syn_queue_full(AT_LIMIT);
        }
        return;
    }
    if idle() {
        return;
    }
    let Some(listener) = Listener::observed(sock) else { return };
    let Some(depth) = read::<u32>(sock.address(), &CSK_SYN_QUEUE) else { return };
    if syn_depth_is_known(listener.id, interval, depth) {
        return;
    }
    let Some(queue) = queue::row(listener.id) else { return };
    queue::roll(queue, interval);
    if syn_queue_full() == 0 && depth > sock.get::<u32>(&SOCK_BACKLOG_LIMIT).unwrap_or(u32::MAX) {
        learn_syn_queue_full(ABOVE_LIMIT);
    }
    let depth = u64::from(depth);
    if depth > queue.syn_max {
        queue.syn_max = depth;
    }
    if depth > queue.interval_syn_max {
        queue.interval_syn_max = depth;
    }
}

/// Counts a SYN for which the kernel decided on a cookie.
#[inline(always)]
fn count_cookie(sock: Address, sent: bool) {
    if let Some(listener) = Listener::any_listening(sock)
        && let Some(queue) = queue::row(listener.id)
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

/// `kfree_skb(skb, location, reason, rx_sk)`: with tracepoints only, the one refusal that a
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
