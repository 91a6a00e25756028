//! Connections that enter an accept queue, and the notification that follows.
//!
//! `tcp_child_process` calls the listener's `sk_data_ready` once for each child that completed its
//! handshake, after the child entered the queue; `tcp_conn_request` does the same for a Fast Open
//! child. So the tracepoint at the head of `sock_def_readable` is both: one more connection queued,
//! and the beginning of the wakeups that it causes.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use aya_log_ebpf::debug;
use observer_common::hist::{DEPTH_BUCKETS, depth_bucket};

use crate::{
    kernel::{Address, SOCK_BACKLOG, SOCK_STATE, STATE_LISTEN, field, read},
    listener::Listener,
    maps::{QUEUES, count_map_full, increment, interval},
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
    if let Some(interval) = interval()
        && let Some(listener) = Listener::of_listening(sock)
        && listener.ensure_rows()
    {
        if listener.has_queue {
            count_queued(&listener, interval);
        }
        wakeup::open_bracket(listener.id);
        debug!(&ctx, "listener {} became ready", listener.id);
    }
    0
}

/// Counts one connection, and the depth of the queue with it.
#[inline(always)]
fn count_queued(listener: &Listener, interval: u32) {
    let Some(queue) = QUEUES.get_ptr_mut(listener.id) else {
        count_map_full();
        return;
    };
    // Another CPU may have accepted the connection already; it was in the queue all the same.
    let depth = read::<u32>(listener.sock, &SOCK_BACKLOG).unwrap_or(1).max(1);
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
