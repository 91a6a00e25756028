//! Final ACKs that make no connection: `tcp_v4_syn_recv_sock` and `tcp_v6_syn_recv_sock` return NULL.
//!
//! Whether `tcp_create_openreq_child` was called in between tells an accept queue that was full from
//! everything that can go wrong later.

use aya_ebpf::{
    EbpfContext,
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use observer_common::{
    counters::{Bracket, CHILD_NONE, Call},
    drops::DropReason,
};

use crate::{
    drops::{self, Source},
    globals::{
        ARGS_CREATE_CHILD, ARGS_ROUTE_V6, ARGS_SYN_RECV_V4, ARGS_SYN_RECV_V6, SOCK_STATE,
        STATE_CLOSE,
    },
    kernel::{Address, read, returned},
    maps::this_cpu,
    queue,
};

/// What was noted within a call, taken for its end.
#[inline(always)]
fn take(cpu: &mut Bracket) -> (u64, bool) {
    let noted = (cpu.made, cpu.no_route != 0);
    // Volatile, because LLVM would make a call of stores side by side.
    for word in [&raw mut cpu.made, &raw mut cpu.no_route] {
        // SAFETY: fields of a live map value.
        unsafe { word.write_volatile(0) };
    }
    noted
}

/// The outermost call is over, without a connection if `child` is 0.
#[inline(always)]
fn over<C: EbpfContext>(ctx: &C, cpu: &mut Bracket, child: u64, call: Call) {
    let (made, no_route) = take(cpu);
    if child != 0 {
        return;
    }
    let reason = match made {
        0 if no_route => DropReason::PolicyOrRoute,
        0 => DropReason::AcceptQueueFullAck,
        CHILD_NONE => DropReason::NoMemory,
        // Two final ACKs with the same cookie: the connection is there, and the kernel counts
        // nothing. Any other child that fails is closed (`tcp_done`). Its memory is still that of a
        // sock, and nobody else's before this CPU has left the receive path.
        _ if call.request == 0 && !was_closed(made as Address) => return,
        _ => DropReason::Other,
    };
    let packet = call.packet as Address;
    drops::count(ctx, call.sock as Address, Source::Packet(packet), reason);
}

#[inline(always)]
fn was_closed(child: Address) -> bool {
    read::<u8>(child, &SOCK_STATE).map(u32::from) == Some(STATE_CLOSE.load())
}

/// `tcp_v4_syn_recv_sock(sk, skb, req, dst, req_unhash, own_req, …)`. The IPv6 function calls it for
/// mapped peers, and speaks for both then.
#[fexit(function = "tcp_v4_syn_recv_sock")]
fn syn_recv_v4(ctx: FExitContext) -> i32 {
    if let Some(child) = returned(&ctx, &ARGS_SYN_RECV_V4)
        && let Some(cpu) = this_cpu()
        && cpu.in_v6 == 0
    {
        over(&ctx, cpu, child, arguments(&ctx));
    }
    0
}

/// Forgets what an IPv6 handshake noted, where no program sees its end.
#[fentry(function = "tcp_v4_syn_recv_sock")]
fn syn_recv_v4_enter(_ctx: FEntryContext) -> i32 {
    if let Some(cpu) = this_cpu() {
        let _of_before = take(cpu);
    }
    0
}

#[inline(always)]
fn arguments(ctx: &FExitContext) -> Call {
    Call { sock: ctx.arg(0), packet: ctx.arg(1), request: ctx.arg(4) }
}

#[inline(always)]
fn k_arguments(ctx: &ProbeContext) -> Call {
    Call {
        sock: ctx.arg(0).unwrap_or(0),
        packet: ctx.arg(1).unwrap_or(0),
        request: ctx.arg(4).unwrap_or(0),
    }
}

#[kprobe]
fn k_syn_recv_v4_enter(ctx: ProbeContext) -> i32 {
    if let Some(cpu) = this_cpu()
        && cpu.in_v6 == 0
    {
        let _of_before = take(cpu);
        cpu.final_ack = k_arguments(&ctx);
    }
    0
}

#[kretprobe]
fn k_syn_recv_v4(ctx: RetProbeContext) -> i32 {
    if let Some(cpu) = this_cpu()
        && cpu.in_v6 == 0
    {
        let call = cpu.final_ack;
        over(&ctx, cpu, ctx.ret(), call);
    }
    0
}

/// Marks that the IPv4 function, if it runs now, runs for the IPv6 one.
#[fentry(function = "tcp_v6_syn_recv_sock")]
fn syn_recv_v6_enter(_ctx: FEntryContext) -> i32 {
    if let Some(cpu) = this_cpu() {
        let _of_before = take(cpu);
        cpu.in_v6 = 1;
    }
    0
}

#[kprobe]
fn k_syn_recv_v6_enter(ctx: ProbeContext) -> i32 {
    if let Some(cpu) = this_cpu() {
        let _of_before = take(cpu);
        cpu.in_v6 = 1;
        cpu.final_ack = k_arguments(&ctx);
    }
    0
}

/// `tcp_v6_syn_recv_sock`, which has the arguments of the IPv4 function: the outermost call of the two.
#[fexit(function = "tcp_v6_syn_recv_sock")]
fn syn_recv_v6(ctx: FExitContext) -> i32 {
    if let Some(child) = returned(&ctx, &ARGS_SYN_RECV_V6)
        && let Some(cpu) = this_cpu()
    {
        cpu.in_v6 = 0;
        over(&ctx, cpu, child, arguments(&ctx));
    }
    0
}

#[kretprobe]
fn k_syn_recv_v6(ctx: RetProbeContext) -> i32 {
    if let Some(cpu) = this_cpu() {
        cpu.in_v6 = 0;
        let call = cpu.final_ack;
        over(&ctx, cpu, ctx.ret(), call);
    }
    0
}

/// `tcp_create_openreq_child(sk, req, skb)`: there was room in the accept queue.
#[inline(always)]
fn made(child: u64) {
    if let Some(cpu) = this_cpu() {
        cpu.made = if child == 0 { CHILD_NONE } else { child };
        queue::child_is_made(cpu);
    }
}

#[fexit(function = "tcp_create_openreq_child")]
fn child_made(ctx: FExitContext) -> i32 {
    if let Some(child) = returned(&ctx, &ARGS_CREATE_CHILD) {
        made(child);
    }
    0
}

#[kretprobe]
fn k_child_made(ctx: RetProbeContext) -> i32 {
    made(ctx.ret());
    0
}

/// `inet6_csk_route_req(sk, …)`: NULL when there is no way back to the client.
#[inline(always)]
fn routed(way: u64) {
    if way == 0
        && let Some(cpu) = this_cpu()
    {
        cpu.no_route = 1;
    }
}

#[fexit(function = "inet6_csk_route_req")]
fn route_v6(ctx: FExitContext) -> i32 {
    if let Some(way) = returned(&ctx, &ARGS_ROUTE_V6) {
        routed(way);
    }
    0
}

#[kretprobe]
fn k_route_v6(ctx: RetProbeContext) -> i32 {
    routed(ctx.ret());
    0
}
