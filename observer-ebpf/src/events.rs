//! The events that userspace reads one by one.

use core::ffi::c_void;

use aya_ebpf::{EbpfContext, bindings::BPF_F_CURRENT_CPU, helpers::bpf_perf_event_output};

use crate::maps::{EVENTS, misc};

/// Sends an event; one that finds no room is counted here, where it is known.
#[inline(always)]
pub(crate) fn emit<C: EbpfContext, T>(ctx: &C, event: &T) {
    // SAFETY: the context is the program's own, the map is a perf event array, and the event is a
    // plain record on this stack.
    let result = unsafe {
        bpf_perf_event_output(
            ctx.as_ptr(),
            (&raw const EVENTS).cast_mut().cast::<c_void>(),
            u64::from(BPF_F_CURRENT_CPU as u32),
            core::ptr::from_ref(event).cast_mut().cast::<c_void>(),
            size_of::<T>() as u64,
        )
    };
    if result != 0 {
        // SAFETY: only takes the address of a field of a live map value.
        misc(|misc| unsafe { &raw mut (*misc).events_lost });
    }
}
