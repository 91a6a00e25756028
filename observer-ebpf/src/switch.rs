//! Switches between tasks, where somebody asks what wakeups in vain cost.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    cost,
    globals::{TASK_STATE, TASK_STATE_OLD},
    kernel::{Address, field},
    task,
    worker::tasks_known,
};

/// `sched_switch(preempt, prev, next)`: a CPU goes from one task to another.
#[btf_tracepoint(function = "sched_switch")]
fn switched(ctx: BtfTracePointContext) -> i32 {
    if !tasks_known() {
        return 0;
    }
    let (before, after): (Address, Address) = (ctx.arg(1), ctx.arg(2));
    // SAFETY: both are the program's arguments, and the state is an int or a long, of which every state is in the
    // lower half.
    let (leaves, comes, state) = unsafe {
        let state = if TASK_STATE.load() == u32::MAX {
            field::<u32>(before, &TASK_STATE_OLD)
        } else {
            field::<u32>(before, &TASK_STATE)
        };
        (task::ids(before).1, task::ids(after).1, state)
    };
    if leaves != 0 {
        let _left = cost::goes(leaves, state);
    }
    if comes != 0 {
        cost::comes(comes);
    }
    0
}
