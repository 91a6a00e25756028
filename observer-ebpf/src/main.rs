//! observer's kernel programs.
//!
//! One file per subject; each holds the body of its signal and thin entry points, one per hook.
//! Nothing here knows an offset or an enum value: userspace resolves them from the running kernel's
//! BTF and writes them into [`globals`].
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod accept;
mod accept_errors;
mod accept_file;
mod accept_kprobe;
mod accept_ring;
mod accept_ring_trace;
mod accept_signal;
mod accept_wait;
mod control;
mod cost;
mod counter;
mod doubt;
mod drops;
mod endpoint;
mod epoll_chain;
mod events;
mod final_ack;
mod full_queues;
mod globals;
mod ids;
mod kernel;
mod listen;
mod listener;
mod listener_life;
mod listener_rows;
mod maps;
mod no_room;
mod numbers;
mod queue;
mod queue_stats;
mod room;
mod switch;
mod syn;
mod task;
mod task_life;
mod wakeup;
mod watches;
mod woken;
mod worker;
mod worker_counters;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses programs that can get here, so that this is never run.
    loop {}
}

// GPL-compatible: the kernel reserves the helpers that read its memory for such programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
