//! observer's kernel programs.
//!
//! One file per subject; each holds the body of its signal and thin entry points, one per hook.
//! Nothing here knows an offset or an enum value: userspace resolves them from the running kernel's
//! BTF and writes them into the globals of [`kernel`].
// For other targets there is nothing here: `cargo check` and `cargo test --workspace` have nothing to do.
#![cfg_attr(target_arch = "bpf", no_std)]
#![cfg_attr(target_arch = "bpf", no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod accept;
#[cfg(target_arch = "bpf")]
mod accept_file;
#[cfg(target_arch = "bpf")]
mod accept_kprobe;
#[cfg(target_arch = "bpf")]
mod accept_ring;
#[cfg(target_arch = "bpf")]
mod accept_ring_trace;
#[cfg(target_arch = "bpf")]
mod accept_signal;
#[cfg(target_arch = "bpf")]
mod backlog;
#[cfg(target_arch = "bpf")]
mod chain;
#[cfg(target_arch = "bpf")]
mod drops;
#[cfg(target_arch = "bpf")]
mod full_queues;
#[cfg(target_arch = "bpf")]
mod handshake;
#[cfg(target_arch = "bpf")]
mod kernel;
#[cfg(target_arch = "bpf")]
mod lifecycle;
#[cfg(target_arch = "bpf")]
mod listener;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod numbers;
#[cfg(target_arch = "bpf")]
mod queue;
#[cfg(target_arch = "bpf")]
mod request;
#[cfg(target_arch = "bpf")]
mod task;
#[cfg(target_arch = "bpf")]
mod waits;
#[cfg(target_arch = "bpf")]
mod wakeup;
#[cfg(target_arch = "bpf")]
mod worker;
#[cfg(target_arch = "bpf")]
mod worker_counters;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses programs that can get here, so that this is never run.
    loop {}
}

// GPL-compatible: the kernel reserves the helpers that read its memory for such programs.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(target_arch = "bpf"))]
fn main() {}
