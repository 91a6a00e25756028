//! Tasks, each with its latest wakeup.

use super::{ListenerId, WorkerStats};
use crate::assert_layout;

/// The latest wakeup of one task, and what it did with the listener that it dealt with first.
///
/// Most tasks deal with one listener, so that one look-up finds all that an event of theirs changes.
/// What a task does with other listeners has rows of its own, and so has all that it did once it is
/// gone.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskState {
    /// The listener that woke it last.
    pub listener: ListenerId,
    /// Thread group id.
    pub pid: u32,
    /// 1 while the wakeup's outcome is open, 0 once it is settled.
    pub pending: u16,
    /// How it waited when that listener woke it last, by [`crate::calls::kind`]; 0 where that is not told.
    pub wait: u16,
    /// Address of the epoll instance whose ready list the task is putting in order, where a probe
    /// sees that; 0 otherwise.
    pub scanning: u64,
    /// 1 from the exit of `inet_csk_accept` that counted a connection to the end of its system call.
    pub counted: u32,
    /// How a signal ended an accept call ([`crate::signals`]), until it is known what became of it; 0
    /// elsewhere.
    pub interrupted: u32,
    /// The listener that `stats` are about.
    pub stats_listener: ListenerId,
    /// What it did with that one.
    pub stats: WorkerStats,
}
assert_layout!(TaskState, 40 + 72);

impl TaskState {
    /// Of no task.
    pub const NONE: Self = Self {
        listener: 0,
        pid: 0,
        pending: 0,
        wait: 0,
        scanning: 0,
        counted: 0,
        interrupted: 0,
        stats_listener: 0,
        stats: WorkerStats::ZERO,
    };
}

/// The time that a task has run since a listener woke it, where somebody asks what wakeups in vain cost.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunSinceWoken {
    /// The listener.
    pub listener: ListenerId,
    /// When the task was put on a CPU last, in nanoseconds of `bpf_ktime_get_ns`; 0 while it is on none.
    pub since: u64,
    /// How long it has run before, in nanoseconds.
    pub ran: u64,
    /// 1 once its accept has said EAGAIN.
    pub in_vain: u64,
}
assert_layout!(RunSinceWoken, 32);

/// Beside the thread id in a slot that is taken: the idle tasks have the thread id 0.
pub const SLOT_TAKEN: u64 = 1 << 32;

/// A slot for a task, found by the lower bits of its thread id.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskSlot {
    /// Thread id of the task that has it, with [`SLOT_TAKEN`]; 0 while nobody has.
    pub tid: u64,
    /// Tasks that would have it too, and have an entry elsewhere.
    pub elsewhere: u64,
    /// The task's entry.
    pub state: TaskState,
}
assert_layout!(TaskSlot, 128);
