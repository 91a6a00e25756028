//! What found no room in a kernel map.

use super::ListenerId;
use crate::assert_layout;

/// Counts that found a kernel map full, by what is missing for it; per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoRoom {
    /// Of a listener that has no rows of its own (`LISTENERS`, `QUEUES`): this was not counted at all.
    pub listeners: u64,
    /// Tasks without an entry (`TASKS`): what came of their wakeups is not known.
    pub tasks: u64,
    /// Tasks without a row (`WORKERS`): counted in the listener's row for the others.
    pub workers: u64,
    /// Wakeups out of calls that are not known to wait (`UNRECOGNISED`): who was woken is not known.
    pub wakeups: u64,
    /// Accept errors (`ERRORS`), which were not counted.
    pub errors: u64,
    /// Accept waits (`ENQUEUED_AT`, `WAITS`), which were not measured.
    pub waits: u64,
    /// Accept calls under way (`IN_FLIGHT`), whose end was not seen.
    pub calls: u64,
    /// Requested backlogs (`LISTEN_BACKLOG`).
    pub backlogs: u64,
    /// Processes below those that `--pid` names (`PID_TREE`).
    pub processes: u64,
    /// Beginnings and ends of listeners on which nothing was counted (`QUIET`).
    pub lives: u64,
}
assert_layout!(NoRoom, 80);

impl NoRoom {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        let Self { listeners, tasks, workers, wakeups, errors, waits, calls, .. } = *self;
        let Self { backlogs, processes, lives, .. } = *self;
        let of_listeners = listeners + tasks + workers + wakeups + errors + waits + calls;
        of_listeners + backlogs + processes + lives
    }
}

/// Slots for listeners of which something was not counted, each by its identity; a power of two. Two
/// listeners of one slot are both taken for such.
pub const INCOMPLETE_SLOTS: usize = 16_384;

/// The slot of a listener.
#[must_use]
#[inline(always)]
pub const fn incomplete_slot(listener: ListenerId) -> usize {
    listener as usize & (INCOMPLETE_SLOTS - 1)
}
