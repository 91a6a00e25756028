//! What tasks that a listener woke in vain cost: the CPU time from when they are put on a CPU to when they sleep
//! again. Only where somebody asks for it: every switch between tasks of the host comes here.

use aya_ebpf::{bindings::BPF_ANY, helpers::generated::bpf_ktime_get_ns};
use observer_common::counters::{ListenerId, RunSinceWoken};

use crate::{
    counter::add,
    globals::COST_ASKED,
    maps::{RUNS, WASTED},
    no_room::mark_incomplete,
};

#[inline(always)]
fn asked() -> bool {
    COST_ASKED.load() != 0
}

/// A listener woke a task, which has not answered for a wakeup by `last` before; 0 where it has.
#[inline(always)]
pub(crate) fn is_woken(listener: ListenerId, tid: u32, last: ListenerId) {
    if asked() {
        let _begins = begins(listener, tid, last);
    }
}

#[inline(never)]
fn begins(listener: ListenerId, tid: u32, last: ListenerId) -> i32 {
    if last != 0
        && let Some(run) = RUNS.get_ptr(tid)
    {
        // SAFETY: copies of integers in a live map value.
        let (of, ran) = unsafe { ((*run).listener, (*run).ran) };
        if of == last {
            wasted(last, ran);
        }
    }
    let run = RunSinceWoken { listener, since: 0, ran: 0, in_vain: 0 };
    if RUNS.insert(tid, run, u64::from(BPF_ANY)).is_err() {
        mark_incomplete(listener);
    }
    0
}

/// The outcome of a wakeup of the current task: in vain, or not.
#[inline(always)]
pub(crate) fn is_settled(tid: u32, in_vain: bool) {
    if !asked() {
        return;
    }
    if in_vain {
        if let Some(run) = RUNS.get_ptr_mut(tid) {
            // SAFETY: a live map value, which only this task changes while it runs.
            unsafe { (*run).in_vain = 1 };
        }
    } else {
        let _was_not = RUNS.remove(tid);
    }
}

/// A task ended, whose wakeup by `last` is open; 0 where none is.
#[inline(always)]
pub(crate) fn ends(tid: u32, last: ListenerId) {
    if asked() {
        let _ended = ended(tid, last);
    }
}

#[inline(never)]
fn ended(tid: u32, last: ListenerId) -> i32 {
    if let Some(run) = RUNS.get_ptr(tid) {
        // SAFETY: copies of integers in a live map value.
        let (of, ran, in_vain) = unsafe { ((*run).listener, (*run).ran, (*run).in_vain) };
        if of == last || in_vain != 0 {
            wasted(of, ran);
        }
        let _was = RUNS.remove(tid);
    }
    0
}

#[inline(always)]
fn wasted(listener: ListenerId, time: u64) {
    if let Some(sum) = WASTED.get_ptr_mut(listener) {
        // SAFETY: a live map value.
        unsafe { add(sum, time) };
    } else if WASTED.insert(listener, time, u64::from(BPF_ANY)).is_err() {
        mark_incomplete(listener);
    }
}

/// A task is put on a CPU.
#[inline(always)]
pub(crate) fn comes(tid: u32) {
    if let Some(run) = RUNS.get_ptr_mut(tid) {
        // SAFETY: a live map value; the helper takes nothing and always succeeds.
        unsafe { (*run).since = bpf_ktime_get_ns() };
    }
}

/// A task leaves a CPU, in that state: 0 where it does not sleep.
#[inline(never)]
pub(crate) fn goes(tid: u32, state: u32) -> i32 {
    let Some(run) = RUNS.get_ptr_mut(tid) else { return 0 };
    // SAFETY: a live map value, of a task that is being switched; the helper takes nothing and always succeeds.
    let run = unsafe { &mut *run };
    if run.since == 0 {
        return 0;
    }
    // SAFETY: as above.
    run.ran += unsafe { bpf_ktime_get_ns() } - run.since;
    run.since = 0;
    if state != 0 && run.in_vain != 0 {
        wasted(run.listener, run.ran);
        let _was = RUNS.remove(tid);
    }
    0
}
