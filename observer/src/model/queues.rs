//! A listener's queues: what was in them, how long it waited, and what was refused.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Accept queue of a listener: connections that completed their handshake and wait to be accepted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AcceptQueue {
    /// Number of connections when the report was made (`sk_ack_backlog`); `null` for a closed listener.
    pub now: Option<u64>,
    /// Greatest number of connections in the window, looked at whenever one was added and when the report
    /// was made; `null` where none of the listener's counts had room (`incomplete`).
    pub max: Option<u64>,
    /// Limit (`sk_max_ack_backlog`); `null` where inet_diag does not tell. The queue is full when it holds
    /// more than this (`sk_acceptq_is_full`), so that it holds up to one more.
    pub limit: Option<u64>,
    /// Greatest use in the window: `max` in percent of `limit`, with one decimal. Above 100 where the queue
    /// was full, since it holds one more than its limit. `null` where the limit is 0 or not known.
    #[serde(default)]
    pub used_percent: Option<f64>,
    /// Depths whenever a connection was added, that connection included; the counts add up to `queued`.
    pub histogram: Vec<Bucket>,
}

/// Bucket of a histogram, not cumulative: it counts what is above the previous bucket's `le` and at most
/// its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bucket {
    /// Upper bound, inclusive: connections in `accept_queue`, nanoseconds in `accept_wait`.
    pub le: u64,
    /// Number of values in the bucket.
    pub count: u64,
}

/// SYN queue of a listener: requests that wait for the final ACK of their handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SynQueue {
    /// Number of requests when the report was made, as inet_diag dumps them; `null` for a closed listener,
    /// where the dump was left out, and where it does not tell which listener of a reuseport group they
    /// belong to.
    pub now: Option<u64>,
    /// Greatest number of requests in the window, looked at after each SYN and when the report was made;
    /// `null` where nobody looked.
    pub max: Option<u64>,
    /// Whether `max` is the greatest of samples, because no hook sees SYNs: there may have been more in
    /// between.
    #[serde(default)]
    pub sampled: bool,
    /// Greatest use in the window: `max` in percent of the listener's limit, with one decimal. Above 100
    /// where the queue held more than its limit, as it may by one. `null` where the limit is 0 or not
    /// known, and where `max` is `null`.
    #[serde(default)]
    pub used_percent: Option<f64>,
    /// SYNs that were answered with a cookie and got no place in the queue, which are no drops; `null`
    /// where no hook sees SYNs.
    #[serde(default)]
    pub cookies_sent: Option<u64>,
}

/// Limits on a listener's queues, and where they come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backlog {
    /// Limit in force on both queues (`sk_max_ack_backlog`), in connections; `null` where inet_diag does
    /// not tell.
    pub limit: Option<u64>,
    /// Sysctl `net.core.somaxconn` of the network namespace, to which `listen()` clamps; `null` where it
    /// could not be read, as are the other three sysctls here.
    pub somaxconn: Option<u64>,
    /// Sysctl `net.ipv4.tcp_max_syn_backlog` of the network namespace: without SYN cookies, unknown
    /// clients are refused in its last quarter (`tcp_conn_request`).
    pub tcp_max_syn_backlog: Option<u64>,
    /// Sysctl `net.ipv4.tcp_syncookies` of the network namespace: 0 never, 1 where the SYN queue is full, 2
    /// always.
    pub syncookies: Option<u64>,
    /// Sysctl `net.ipv4.tcp_abort_on_overflow` of the network namespace: 0 ignores a final ACK that finds
    /// the accept queue full, 1 answers it with a reset.
    pub abort_on_overflow: Option<u64>,
    /// Backlog that `listen()` was asked for (a negative one as the unsigned number that the kernel makes of
    /// it); `null` where the call was before the window.
    #[serde(default)]
    pub requested: Option<u64>,
    /// Whether `listen()` cut the requested backlog down to somaxconn; `null` where the call was not seen.
    pub clamped: Option<bool>,
    /// Whether somaxconn was raised since, so that another `listen()` with the same backlog would get
    /// more; `null` where the limit is below somaxconn and the call was not seen.
    #[serde(default)]
    pub stale: Option<bool>,
    /// Whether the limit is at somaxconn or above, so that `listen()` cannot raise it before somaxconn is
    /// raised; `null` where either is not known.
    #[serde(default)]
    pub at_somaxconn: Option<bool>,
    /// Whether the limit may have been clamped to an earlier somaxconn, where `clamped` is `null`: it is
    /// below somaxconn, and equals what that was when the window began, or one of the kernel's defaults
    /// (128, 4096).
    #[serde(default)]
    pub maybe_clamped: bool,
}

/// Accept waits, in nanoseconds: the time from a connection's entry into the accept queue to the return of
/// the accept call that took it. Percentiles are good to 3.2 %.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AcceptWait {
    /// Number of connections measured: those that entered the queue and were accepted since observing began,
    /// accepted in this window; `null` where none of the listener's counts had room (`incomplete`).
    pub count: Option<u64>,
    /// Median, in nanoseconds; `null` where `count` is 0.
    pub p50: Option<u64>,
    /// 90th percentile, in nanoseconds; `null` where `count` is 0.
    pub p90: Option<u64>,
    /// 99th percentile, in nanoseconds; `null` where `count` is 0.
    pub p99: Option<u64>,
    /// Longest wait, in nanoseconds; `null` where `count` is 0.
    pub max: Option<u64>,
    /// Time that the oldest connection now in the queue has waited so far, in nanoseconds; `null` where none
    /// waits, or only such as came before observing began.
    #[serde(default)]
    pub oldest: Option<u64>,
    /// Waits by length; buckets without any are left out, except those that bound another from below.
    pub histogram: Vec<Bucket>,
}

/// Counts by the name of a reason; shared by all listeners that dropped nothing.
pub type ByReason = BTreeMap<Cow<'static, str>, u64>;

/// Connection attempts that the kernel dropped because of a listener. A client that retries causes several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drops {
    /// Number of drops; the least that there were where `at_most` is present. `null` where nothing is known of
    /// them.
    pub total: Option<u64>,
    /// Greatest number of drops that there can have been, where no hook sees them and the kernel's counters
    /// leave a choice between listeners. Left out where `total` is known or nothing bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
    /// Drops by reason, adding up to `total`: `accept_queue_full_syn` and `accept_queue_full_ack` (the accept
    /// queue was full at the SYN or at the final ACK), `syn_queue_full`, `syn_queue_last_quarter` (it is kept for
    /// clients that are known, where cookies are off), `no_memory`, `policy_or_route`, `other`. `null` where nothing tells reasons apart.
    pub by_reason: Option<Arc<ByReason>>,
    /// Number of distinct clients among the drops, by address and port: a connection that is tried again is
    /// one. `null` where no hook sees drops.
    #[serde(default)]
    pub clients: Option<u64>,
    /// Whether there were more clients than could be remembered (16,384 on the host), so that `clients` is
    /// too low.
    #[serde(default)]
    pub clients_overflowed: bool,
}
