//! A program that does nothing for each of observer's, under the same name and of the same kind: what
//! is left of the cost when observer does no work at all. `observer noop` attaches them to the hooks
//! that observer itself would take, and `cargo xtask bench` sets them beside observer.
#![no_std]
#![no_main]

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe},
    programs::{BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};

macro_rules! empty {
    ($kind:ident $context:ident: $($program:ident)*) => {
        $(
            #[$kind]
            fn $program(_ctx: $context) -> i32 {
                0
            }
        )*
    };
}

empty!(btf_tracepoint BtfTracePointContext:
    synack_again data_ready napi_done packet_dropped process_exec process_fork ring_completed ring_submitted ring_woken set_state
    signal_delivered switched syscall_exit task_exit waking
);
empty!(fentry FEntryContext:
    child_forgotten hashdance_enter installed listen_enter listen_stop queue_add readable_enter syn_enter request_error
    request_rwin scan_enter sock_destroyed syn_recv_v4_enter syn_recv_v6_enter
);
empty!(fexit FExitContext:
    accept_exit child_made listen_start peer_proven readable_exit request_alloc syn_exit ring_exit
    route_v6 scan_exit syn_recv_v4 syn_recv_v6 sys_accept_exit
);
empty!(kprobe ProbeContext:
    k_accept_enter k_grafted k_hashdance_enter k_installed k_listen_enter k_put_unused k_queue_add
    k_queue_enter k_readable_enter k_syn_enter k_request_error k_request_rwin k_ring_enter
    k_scan_enter k_syn_recv_v4_enter k_syn_recv_v6_enter
);
empty!(kretprobe RetProbeContext:
    k_child_made k_no_descriptor k_no_descriptor_below k_peer_proven k_readable_exit k_accept_denied
    k_request_alloc k_syn_exit k_ring_exit k_route_v6 k_scan_exit k_syn_recv_v4
    k_syn_recv_v6
);

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

// Tracing programs are for GPL-compatible ones.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
