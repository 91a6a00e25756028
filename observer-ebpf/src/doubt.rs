//! Wakeups that found their task on the run queue: whether it went to sleep is known a little later.

use core::ffi::c_void;

use aya_ebpf::EbpfContext;
use observer_common::counters::{Bracket, Doubt};

use crate::{
    globals::{TASK_ON_QUEUE, TASK_SLEPT},
    ids,
    kernel::{Address, field, read},
    maps::this_cpu,
    no_room::misc,
    task, woken,
};

/// Notes that a wakeup found its task on the run queue, and how often it had slept until then. `listener`
/// is [`woken::with_kind`].
///
/// A task goes to sleep with its run queue locked, and counts the sleep before it unlocks it
/// (`__schedule`). `try_to_wake_up` takes the same lock after `sched_waking`, so whether the task had
/// passed the point of return is known as soon as the wakeup is done, and not before.
#[inline(always)]
pub(crate) fn doubt(listener: u64, woken: Address) {
    if let Some(cpu) = this_cpu() {
        // SAFETY: `woken` is the program's argument.
        let slept = unsafe { field::<u64>(woken, &TASK_SLEPT) };
        let waker = task::current() as u64;
        leave_doubt(cpu);
        cpu.doubt = Doubt { task: woken as u64, slept, listener, waker };
    }
}

/// Gives a wakeup in doubt up that nobody settled, if there is one: a scan has gone on elsewhere since, or
/// was interrupted.
#[inline(always)]
pub(crate) fn leave_doubt(cpu: &mut Bracket) {
    if cpu.doubt.task != 0 {
        cpu.doubt.task = 0;
        // SAFETY: only takes the address of a field of a live map value.
        misc(|misc| unsafe { &raw mut (*misc).in_doubt });
    }
}

/// Counts the wakeup in doubt, if there is one and its task did go to sleep.
#[inline(always)]
pub(crate) fn settle_doubt<C: EbpfContext>(ctx: &C, cpu: &Bracket) {
    if cpu.doubt.task != 0 {
        settle(ctx.as_ptr());
    }
}

/// A function of its own, as is [`woken::count`]: the verifier would otherwise follow what comes after for
/// each of the ways through it.
#[inline(never)]
fn settle(ctx: *mut c_void) -> i32 {
    let Some(cpu) = this_cpu() else { return 0 };
    let Doubt { task, slept, listener, waker } = cpu.doubt;
    // A scan may have gone on elsewhere, and left its doubt here.
    if waker != task::current() as u64 {
        leave_doubt(cpu);
        return 0;
    }
    cpu.doubt.task = 0;
    let woken = task as Address;
    if has_slept(woken, slept)
        && let Some((pid, tid)) = task::ids_by_address(woken)
    {
        return woken::count(ctx, listener, woken, ids::pack(pid, tid));
    }
    0
}

/// Whether a task that was on the run queue when a wakeup began, and had slept so often, went to sleep before
/// the wakeup took hold.
///
/// Off the queue it sleeps, though it may not have counted that yet: a waker that finds it off leaves it to
/// the task's own CPU, which is still in `__schedule`, without that lock (`ttwu_queue_wakelist`). So the
/// queue is asked first: by the time that CPU puts the task back, it has counted.
#[inline(always)]
fn has_slept(woken: Address, slept: u64) -> bool {
    read::<u8>(woken, &TASK_ON_QUEUE) == Some(0)
        || read::<u64>(woken, &TASK_SLEPT).is_some_and(|now| now != slept)
}
