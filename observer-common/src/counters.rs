//! Keys and values of the kernel maps that counts live in.

mod brackets;
mod listeners;
mod room;
mod socks;
mod tasks;

use crate::{assert_layout, drops::DROP_REASONS, hist::DEPTH_BUCKETS};

pub use self::{
    brackets::{
        Bracket, CHILD_NONE, Call, Connection, Doubt, IN_FLIGHT_FLAGS, REACHED_QUEUE, RING_SLOTS,
        RingKey, UNTIL_EXIT, VIA_RING,
    },
    listeners::{FLAG_OF_TREE, FLAG_REUSEPORT, ListenerId, ListenerInfo},
    room::{INCOMPLETE_SLOTS, NoRoom, incomplete_slot},
    socks::{ClientKey, KnownSock, SockSlot, Stamp, WaitKey},
    tasks::{RunSinceWoken, SLOT_TAKEN, TaskSlot, TaskState},
};

/// A listener's queues, per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// Connections that entered the accept queue.
    pub queued: u64,
    /// Connections that were in the accept queue when the listener closed, those that the kernel moved to
    /// another listener included (`inet_csk_listen_stop`).
    pub discarded: u64,
    /// Wakeups attributed by what waker and woken were doing, not by a bracket: those that one
    /// waiter of a shared epoll instance passes on.
    pub inferred: u64,
    /// Number of the interval that the maxima of one interval belong to.
    pub interval: u64,
    /// Greatest depth of the accept queue at an enqueue, the new connection included.
    pub depth_max: u64,
    /// Greatest depth of the accept queue in that interval.
    pub interval_depth_max: u64,
    /// Greatest depth of the SYN queue after a SYN, its request included.
    pub syn_max: u64,
    /// Greatest depth of the SYN queue in that interval.
    pub interval_syn_max: u64,
    /// SYNs answered with a cookie and without a place in the SYN queue.
    pub cookies_sent: u64,
    /// SYNs for which the kernel decided on a cookie (`tcp_syn_flood_action`), also those that it
    /// dropped afterwards.
    pub cookies_wanted: u64,
    /// Connections accepted with a known time of entering the queue.
    pub waits: u64,
    /// Longest accept wait, in nanoseconds.
    pub wait_max: u64,
    /// Number of the interval that `interval_wait_max` belongs to. Not the one above: accept runs in
    /// process context, and a softirq may interrupt it there.
    pub wait_interval: u64,
    /// Longest accept wait of that interval, in nanoseconds.
    pub interval_wait_max: u64,
    /// Distinct clients among the drops, as far as there was room to remember them.
    pub clients: u64,
    /// Drops whose client may be a new one or not: there was no room to remember it.
    pub clients_unknown: u64,
    /// Drops by [`crate::drops::DropReason`].
    pub drops: [u64; DROP_REASONS],
    /// Depth of the accept queue at each enqueue, by the buckets of [`crate::hist`].
    pub depth: [u64; DEPTH_BUCKETS],
}
assert_layout!(QueueStats, 8 * (16 + DROP_REASONS + DEPTH_BUCKETS));

impl QueueStats {
    /// Nothing counted.
    pub const ZERO: Self = Self {
        queued: 0,
        discarded: 0,
        inferred: 0,
        interval: 0,
        depth_max: 0,
        interval_depth_max: 0,
        syn_max: 0,
        interval_syn_max: 0,
        cookies_sent: 0,
        cookies_wanted: 0,
        waits: 0,
        wait_max: 0,
        wait_interval: 0,
        interval_wait_max: 0,
        clients: 0,
        clients_unknown: 0,
        drops: [0; DROP_REASONS],
        depth: [0; DEPTH_BUCKETS],
    };
}

/// One task's dealings with one listener.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerKey {
    /// The listener.
    pub listener: ListenerId,
    /// Thread group id: what userspace calls the process id. 0 for the row that takes what had no
    /// room of its own.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
}
assert_layout!(WorkerKey, 16);

/// What one task did with one listener.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerStats {
    /// Wakeups by the listener, whatever became of them.
    pub wakeups: u64,
    /// Wakeups after which it accepted from the listener.
    pub won: u64,
    /// Wakeups after which its accept said EAGAIN.
    pub lost: u64,
    /// Wakeups after which its accept failed otherwise.
    pub failed: u64,
    /// Wakeups after which it waited again without having called accept.
    pub silent: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Accept calls that said EAGAIN.
    pub eagain: u64,
    /// The task's name when the row was made.
    pub comm: [u8; 16],
}
assert_layout!(WorkerStats, 72);

impl WorkerStats {
    /// Nothing counted.
    pub const ZERO: Self = Self {
        wakeups: 0,
        won: 0,
        lost: 0,
        failed: 0,
        silent: 0,
        accepted: 0,
        eagain: 0,
        comm: [0; 16],
    };
}

/// An errno other than EAGAIN that accept returned to one task on one listener.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorKey {
    /// The task and the listener.
    pub worker: WorkerKey,
    /// The errno, positive.
    pub errno: u32,
    /// Keeps the key free of implicit padding; always 0.
    pub zero: u32,
}
assert_layout!(ErrorKey, 24);

/// A process of which a listener's notification woke tasks that were in a call which is not known to wait for
/// listeners.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnrecognisedKey {
    /// The listener.
    pub listener: ListenerId,
    /// Thread group id; that of a kernel thread is its own id.
    pub pid: u32,
    /// Keeps the key free of implicit padding; always 0.
    pub zero: u32,
}
assert_layout!(UnrecognisedKey, 16);

/// How often that was. Most of these are strangers that an interrupt woke within the notification: whether
/// the process has to do with the listener is told when a report is made.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unrecognised {
    /// Wakeups that were not counted.
    pub wakeups: u64,
    /// Name of the task that was the first.
    pub comm: [u8; 16],
}
assert_layout!(Unrecognised, 24);

/// What could not be counted, and what was counted by inference; per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misc {
    /// Counts that found a map full.
    pub no_room: NoRoom,
    /// Perf events that found their buffer full.
    pub events_lost: u64,
    /// Rows of workers that were made.
    pub workers: u64,
    /// Accepts whose own program was skipped, and which the end of the system call counted.
    pub recovered: u64,
    /// Tasks whose counts began to move from their own entry to rows.
    pub moves_begun: u64,
    /// Tasks whose counts have moved. Whoever reads both maps while counts move may see them twice or not at all.
    pub moves_done: u64,
    /// Wakeups that one waiter of a shared epoll instance passed on.
    pub chained: u64,
    /// Rows of listeners that were made.
    pub listeners: u64,
    /// Rows of accept waits that were made.
    pub waits: u64,
    /// Rows of accept errors that were made.
    pub errors: u64,
    /// Rows of listeners on which nothing was counted that were made.
    pub quiet: u64,
    /// Wakeups that were not counted because their tasks were on the run queue, where nothing tells
    /// whether they had passed the point of return to sleep.
    pub in_doubt: u64,
}
assert_layout!(Misc, 80 + 88);
