//! A listener's queues: what was in them, how long it waited, and what was refused.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

/// A listener's accept queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AcceptQueue {
    /// Connections in it when the report was made; `null` for a closed listener.
    pub now: Option<u64>,
    /// The most connections in it at any time that one was added, that one included.
    pub max: u64,
    /// Its limit; it is full when there are more than this in it.
    pub limit: Option<u64>,
    /// `max` as a percentage of what it holds at most, which is one more than the limit.
    #[serde(default)]
    pub used_percent: Option<f64>,
    /// Depth each time that a connection was added, that connection included.
    pub histogram: Vec<Bucket>,
}

/// One bucket of a histogram: what is above the previous bucket's `le` and at most its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Upper bound, inclusive.
    pub le: u64,
    /// How many fell into the bucket.
    pub count: u64,
}

/// A listener's SYN queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SynQueue {
    /// Requests in it when the report was made; `null` for a closed listener, and where the kernel
    /// does not tell, or not of which listener of a reuseport group.
    pub now: Option<u64>,
    /// The most requests in it after any SYN, that one included; `null` where nobody looked.
    pub max: Option<u64>,
    /// Whether `max` is the most of samples, because no hook sees SYNs: it may have been more in between.
    #[serde(default)]
    pub sampled: bool,
    /// `max` as a percentage of what it holds at most, which is one more than the listener's limit.
    #[serde(default)]
    pub used_percent: Option<f64>,
    /// SYNs that were answered with a cookie instead of a place in it: no drops. `null` where no
    /// hook sees SYNs.
    #[serde(default)]
    pub cookies_sent: Option<u64>,
}

/// The limits on a listener's queues, and where they come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// The limit in force (`sk_max_ack_backlog`).
    pub limit: Option<u64>,
    /// `net.core.somaxconn` of its network namespace.
    pub somaxconn: Option<u64>,
    /// `net.ipv4.tcp_max_syn_backlog` of its network namespace.
    pub tcp_max_syn_backlog: Option<u64>,
    /// `net.ipv4.tcp_syncookies` of its network namespace.
    pub syncookies: Option<u64>,
    /// `net.ipv4.tcp_abort_on_overflow` of its network namespace.
    pub abort_on_overflow: Option<u64>,
    /// The backlog that `listen()` was asked for; `null` where that was not seen, because it was
    /// before the window.
    #[serde(default)]
    pub requested: Option<u64>,
    /// Whether `listen()` cut the requested backlog down to somaxconn; `null` where that backlog was
    /// not seen.
    pub clamped: Option<bool>,
    /// Whether somaxconn was raised since, so that another `listen()` with the same backlog would get
    /// more; `null` where the limit is below somaxconn and the requested backlog was not seen.
    #[serde(default)]
    pub stale: Option<bool>,
    /// Whether the limit is at somaxconn or above, so that `listen()` cannot raise it before
    /// somaxconn is raised.
    #[serde(default)]
    pub at_somaxconn: Option<bool>,
    /// Whether the limit may have been clamped to a somaxconn of an earlier time, where `clamped` is
    /// not known: it is below somaxconn, and equals what that was when the window began, or one of
    /// the kernel's defaults.
    #[serde(default)]
    pub maybe_clamped: bool,
}

/// How long connections waited between entering the accept queue and accept's return.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptWait {
    /// Connections measured: those that entered the queue in the window and were accepted in it.
    pub count: u64,
    /// Median.
    pub p50: Option<u64>,
    /// 90th percentile.
    pub p90: Option<u64>,
    /// 99th percentile.
    pub p99: Option<u64>,
    /// The longest wait.
    pub max: Option<u64>,
    /// How long the oldest connection in the queue has waited; `null` when none waits, and for
    /// connections of before the window.
    #[serde(default)]
    pub oldest: Option<u64>,
    /// Waits by length.
    pub histogram: Vec<Bucket>,
}

/// Counts by the name of a reason; one for all listeners that refused nothing.
pub type ByReason = BTreeMap<Cow<'static, str>, u64>;

/// Connection attempts refused because of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drops {
    /// All of them; where `at_most` is there, the least that they were; `null` where nothing is known of them.
    pub total: Option<u64>,
    /// The most that they can have been, where hooks do not see them and the kernel's counters leave a
    /// choice between listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
    /// By reason, adding up to `total`; `null` where nothing tells reasons apart.
    pub by_reason: Option<Arc<ByReason>>,
    /// Distinct clients among them, by address and port: a client that retries is one. `null` where
    /// no hook sees them all.
    #[serde(default)]
    pub clients: Option<u64>,
    /// Whether there were more clients than could be remembered, so that `clients` is too low.
    #[serde(default)]
    pub clients_overflowed: bool,
}
