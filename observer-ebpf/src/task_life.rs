//! Births and deaths of the tasks and processes that use listeners.

use aya_ebpf::{
    EbpfContext as _, bindings::BPF_ANY, macros::btf_tracepoint, programs::BtfTracePointContext,
};

use observer_common::room::Room;

use crate::{
    accept_signal,
    globals::{PID_NAMESPACE, TASK_TID},
    kernel::{Address, field},
    maps::PID_TREE,
    no_room::count_no_room,
    room::{calls, freed, is_full, is_made},
    task, worker,
};

/// `sched_process_exit(task)`: its open wakeup ends without an accept, and its thread id may be
/// given to another task.
#[btf_tracepoint(function = "sched_process_exit")]
fn task_exit(ctx: BtfTracePointContext) -> i32 {
    let gone: Address = ctx.arg(0);
    // SAFETY: `gone` is the program's argument.
    let ((pid, tid), last) = unsafe { (task::ids(gone), task::ends_last(gone)) };
    // The main thread may end before others, which go on as the same process.
    if last && PID_TREE.remove(pid).is_ok() {
        freed(Room::Tree);
    }
    // Nor does an accept call outlive its task.
    calls::forget(tid);
    accept_signal::task_ends(&ctx, gone, tid);
    worker::ends(&ctx, tid);
    0
}

/// `sched_process_exec(task, old_pid, bprm)`: where it was not the main thread that called execve, the
/// task goes on under the main thread's id (`de_thread`), and its own has ended without an exit.
#[btf_tracepoint(function = "sched_process_exec")]
fn process_exec(ctx: BtfTracePointContext) -> i32 {
    let before: u32 = ctx.arg(1);
    // SAFETY: the program's argument, and the id is 32 bits wide.
    let tid = unsafe { field::<u32>(ctx.arg(0), &TASK_TID) };
    // What it was called in another namespace than the initial one nothing tells any more: there the
    // entry is left, until another task gets its id, and costs a place.
    if before != tid && PID_NAMESPACE.load() == 0 {
        // Its program went on after whatever call a signal had ended.
        let _settled = accept_signal::went_on(ctx.as_ptr(), before);
        worker::ends(&ctx, before);
    }
    0
}

/// `sched_process_fork(parent, child)`: the children of the processes that `--pid` names are of
/// the family. Attached only where there is a `--pid`.
#[btf_tracepoint(function = "sched_process_fork")]
fn process_fork(ctx: BtfTracePointContext) -> i32 {
    let parent: Address = ctx.arg(0);
    let child: Address = ctx.arg(1);
    // SAFETY: both are the program's arguments.
    let ((parent, _), (child, _)) = unsafe { (task::ids(parent), task::ids(child)) };
    if parent != child
        && PID_TREE.get_ptr(parent).is_some()
        && (is_full(Room::Tree)
            || !is_made(Room::Tree, PID_TREE.insert(child, 1, u64::from(BPF_ANY))))
    {
        // SAFETY: only takes the address of a field of a live map value.
        count_no_room(|full| unsafe { &raw mut (*full).processes });
    }
    0
}
