//! How many entries each kernel map has.

/// Sizes of the kernel maps, in entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Listeners that something is counted on: the only rows of which each possible CPU has a copy.
    pub listeners: u32,
    /// Listeners that began or ended, and that nothing was counted on.
    pub quiet: u32,
    /// Pairs of a listener and a task.
    pub workers: u32,
    /// Tasks that a listener woke, beside those that have a slot.
    pub tasks: u32,
    /// Connections in accept queues whose time of entering is known.
    pub enqueued: u32,
    /// Pairs of a listener and a bucket of accept waits.
    pub waits: u32,
    /// Processes below those that `--pid` names.
    pub tree: u32,
    /// Accept calls that are under way when the window opens.
    pub in_flight: u32,
    /// Accept calls that a signal ended, until it is known how.
    pub interrupted: u32,
    /// Pairs of a task and an accept error on a listener.
    pub errors: u32,
    /// Clients whose connection attempts were dropped.
    pub clients: u32,
    /// Pairs of a listener and a process that was woken out of an unknown call.
    pub unrecognised: u32,
    /// Tasks of which it is known when they were woken, where accepts are told as events.
    pub woken: u32,
    /// Listeners of which no event is sent, where some only are told of; else 1.
    pub muted: u32,
    /// Tasks whose time is measured since they were woken, where it is asked what wakeups in vain cost.
    pub runs: u32,
    /// Listeners of which that is measured.
    pub wasted: u32,
}

impl Sizes {
    /// The least that each map has, whatever the budget.
    pub const LEAST: Self = Self {
        listeners: 16,
        quiet: 1_024,
        workers: 1_024,
        tasks: 1_024,
        enqueued: 4_096,
        waits: 1_024,
        tree: 1,
        in_flight: 1_024,
        interrupted: 256,
        errors: 256,
        clients: 1_024,
        unrecognised: 256,
        woken: 1,
        muted: 1,
        runs: 1,
        wasted: 1,
    };
}
