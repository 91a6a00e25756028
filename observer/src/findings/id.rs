//! Names of findings. Scripts outside the repository read them: add to them, rename none.

/// More tasks are woken than connections come.
pub const THUNDERING_HERD: &str = "thundering-herd";
/// One of several workers accepts nearly every connection.
pub const ONE_WORKER_TAKES_ALL: &str = "one-worker-takes-all";
/// Connections are dropped because the accept queue is full.
pub const ACCEPT_QUEUE_OVERFLOW: &str = "accept-queue-overflow";
/// The accept queue is full or nearly so, and nothing was dropped for that.
pub const ACCEPT_QUEUE_NEAR_LIMIT: &str = "accept-queue-near-limit";
/// SYNs found the SYN queue full.
pub const SYN_QUEUE_OVERFLOW: &str = "syn-queue-overflow";
/// `listen()` got less than it asked for.
pub const BACKLOG_CLAMPED: &str = "backlog-clamped";
/// Accept fails for want of file descriptors.
pub const FD_EXHAUSTED: &str = "fd-exhausted";
/// Connections wait long before they are accepted.
pub const SLOW_ACCEPT: &str = "slow-accept";
/// Clients are connected as far as they can tell, and nobody serves them.
pub const SILENT_CLIENTS: &str = "silent-clients";
