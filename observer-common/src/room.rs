//! Hash maps that can be full.

/// A map, or maps that are filled together.
#[repr(usize)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// `LISTENERS` and `QUEUES`.
    Listeners = 0,
    /// `QUIET`.
    Quiet = 1,
    /// `SOCKS`.
    Socks = 2,
    /// `ENQUEUED_AT`.
    Enqueued = 3,
    /// `WAITS`.
    Waits = 4,
    /// `WORKERS`.
    Workers = 5,
    /// `ERRORS`.
    Errors = 6,
    /// `TASKS`.
    Tasks = 7,
    /// `UNRECOGNISED`.
    Unrecognised = 8,
    /// `INTERRUPTED`.
    Interrupted = 9,
    /// `IN_FLIGHT`.
    InFlight = 10,
    /// `PID_TREE`.
    Tree = 11,
    /// `CLIENTS`: never emptied within a window, so that none is counted twice.
    Clients = 12,
}

/// How many there are, with some to spare.
pub const ROOMS: usize = 16;
