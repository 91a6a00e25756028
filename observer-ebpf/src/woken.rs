//! One task that a listener woke.

use core::ffi::c_void;

use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;
use observer_common::{
    counters::{ListenerId, WorkerKey},
    event::EventKind,
};

use crate::{cost, events, kernel::Address, worker, worker_counters};

/// Where the kind of a wait lies beside a listener, whose inode number is no more than 32 bits wide
/// (`get_next_ino`): functions of their own return one word.
const KIND: u32 = 56;

/// A listener with how somebody waits for it, by [`observer_common::calls::kind`].
#[inline(always)]
pub(crate) fn with_kind(listener: ListenerId, kind: u8) -> u64 {
    listener | u64::from(kind) << KIND
}

/// Counts a task as woken by `listener`, which is [`with_kind`].
#[inline(never)]
pub(crate) fn count(ctx: *mut c_void, listener: u64, woken: Address, ids: u64) -> i32 {
    let (listener, kind) = (listener & !(u64::MAX << KIND), listener >> KIND);
    let key = worker::key(listener, ids);
    let WorkerKey { pid, tid, .. } = key;
    let mut state = worker::task(key, woken);
    // The listener of a wakeup before this one that was in vain; 0 where there is none.
    let mut in_vain = 0;
    if let Some(state) = &mut state {
        // Nobody else changes these now: `try_to_wake_up` holds the task's `pi_lock` here, and the
        // task itself sleeps, or has hardly begun to run where its wakeup was in doubt.
        let last = (state.pending != 0).then_some(state.listener);
        state.listener = listener;
        state.pending = 1;
        state.wait = kind as u16;
        if let Some(last) = last {
            in_vain = last;
            let key = WorkerKey { listener: last, pid, tid };
            worker::count(Some(state), key, woken, worker_counters::SILENT);
            if events::asked(EventKind::Silent) {
                let _sent = events::silent(ctx, last, ids, woken);
            }
        }
    }
    cost::is_woken(listener, tid, in_vain);
    worker::count(state, key, woken, worker_counters::WAKEUPS);
    events::note_woken(tid);
    if events::asked(EventKind::Woken) {
        let _sent = events::woken(ctx, listener, ids, woken);
    }
    debug!(&BtfTracePointContext::new(ctx), "listener {} woke task {}", listener, tid);
    0
}
