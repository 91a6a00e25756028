//! The report: what one window looked like, in the words of schema version 1.
//!
//! Field names, meanings and units are the public contract that scripts read. Times are
//! nanoseconds unless a name says otherwise, counts are unsigned, and what is not known is `null`
//! (`None`), never 0.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::report::told::Told;

/// The version of the report's schema.
pub const SCHEMA_VERSION: u32 = 1;

/// One report: a window, what was attached, and each listener that was chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Always [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Which program made the report.
    pub tool: Tool,
    /// Where it was made.
    pub host: Host,
    /// When, and for how long.
    pub window: Window,
    /// Which hooks each signal came from, and whether they see every event.
    pub providers: Providers,
    /// The listeners that the filters chose, or all of them.
    pub listeners: Vec<Told>,
    /// What observer saw, against the kernel's own counters and against its own limits.
    pub audit: Audit,
}

/// The program that made a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// `observer`.
    pub name: String,
    /// The package's version.
    pub version: String,
}

/// The host of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The machine's architecture, as `uname -m` prints it.
    pub arch: String,
    /// CPUs that are online.
    pub cpus: usize,
}

/// The span of time that a report's counts belong to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// When it began: RFC 3339, UTC.
    pub start: String,
    /// How long it lasted, in seconds.
    pub seconds: f64,
    /// One interval, or everything since every program was attached.
    pub kind: WindowKind,
}

/// What a window stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowKind {
    /// The counts of one `--interval`.
    Interval,
    /// The counts since observing began.
    Total,
}

/// The hooks behind each signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Providers {
    /// Wakeups of tasks by a listener.
    pub wakeups: Provider,
    /// Accept calls and their outcome.
    pub accepts: Provider,
    /// Connections that entered an accept queue.
    pub handshakes: Provider,
    /// Refused connection attempts.
    pub drops: Provider,
}

impl Providers {
    /// Each signal by name, with how it was had and what its numbers are worth.
    #[must_use]
    pub fn signals(&self) -> [(&'static str, &Provider, Worth); 4] {
        let of_hooks = |provider: &Provider| match (provider.exact, provider.via) {
            (true, _) => Worth::Exact,
            (false, Via::None) => Worth::Nothing,
            (false, _) => Worth::Estimate,
        };
        // Without a hook there is still the socket's own counter (`sk_drops`), which also counts
        // what was no refusal, and some refusals twice.
        let of_drops = match of_hooks(&self.drops) {
            Worth::Nothing => Worth::Estimate,
            worth => worth,
        };
        [
            ("wakeups", &self.wakeups, of_hooks(&self.wakeups)),
            ("accepts", &self.accepts, of_hooks(&self.accepts)),
            ("handshakes", &self.handshakes, of_hooks(&self.handshakes)),
            ("drops", &self.drops, of_drops),
        ]
    }
}

/// What a signal's numbers are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// They are right.
    Exact,
    /// They are near.
    Estimate,
    /// Nothing observes the signal: a zero is no zero.
    Nothing,
}

/// How one signal was had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// The kind of hook.
    pub via: Via,
    /// Whether these hooks see every event; otherwise the numbers are estimates.
    pub exact: bool,
    /// How many of the counted events were inferred from what a task was doing, not bracketed by
    /// the listener's own notification: the most by which an inexact number can be too high.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inferred: Option<u64>,
}

/// A kind of hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// fentry and fexit programs.
    Fentry,
    /// kprobes and kretprobes.
    Kprobe,
    /// Tracepoints, classic or BTF-typed.
    Tracepoint,
    /// No hook: a counter that the kernel keeps by itself, or nothing at all.
    None,
}

/// One listener's window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Inode number of its network namespace.
    pub netns: u64,
    /// The kernel's socket cookie; `null` when it closed before the kernel was asked for it.
    pub cookie: Option<u64>,
    /// Inode number of its socket.
    pub inode: u64,
    /// Address family.
    pub family: Family,
    /// Local address, without brackets.
    pub address: String,
    /// Local port.
    pub port: u16,
    /// Whether SO_REUSEPORT is set.
    pub reuseport: Option<bool>,
    /// Whether it stopped listening before the window closed.
    pub closed: bool,
    /// Which processes hold a descriptor to it, and how they wait.
    pub holders: Vec<Holder>,
    /// Connections that completed their handshake and entered its accept queue.
    pub queued: u64,
    /// Connections that an accept call returned to a program.
    pub accepted: u64,
    /// Tasks made runnable because it became ready.
    pub wakeups: Wakeups,
    /// `wakeups.total / accepted`; `null` when nothing was accepted.
    pub herd_ratio: Option<f64>,
    /// Accept calls that failed, by the name of their errno.
    pub accept_errors: BTreeMap<String, u64>,
    /// The accept queue.
    pub accept_queue: AcceptQueue,
    /// The SYN queue.
    pub syn_queue: SynQueue,
    /// The limits on its queues.
    pub backlog: Backlog,
    /// How long connections waited to be accepted.
    pub accept_wait: AcceptWait,
    /// Connection attempts refused because of this listener.
    pub drops: Drops,
    /// Jain's index over the workers' accepted counts; `null` below two workers.
    pub fairness: Option<f64>,
    /// Tasks that were woken by it, called accept on it, or wait for it.
    pub workers: Vec<Worker>,
    /// What is wrong, and what to do.
    pub findings: Vec<Finding>,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// AF_INET.
    Ipv4,
    /// AF_INET6.
    Ipv6,
}

/// A process that holds a descriptor to a listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
    /// The descriptor.
    pub fd: i32,
    /// How the process waits for it, where `/proc/PID/fdinfo` tells.
    pub wait: Option<Wait>,
}

/// How a process waits for a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// Through an epoll instance, without EPOLLEXCLUSIVE.
    Epoll,
    /// Through an epoll instance, with EPOLLEXCLUSIVE.
    EpollExclusive,
    /// In accept itself. Only a still picture tells this: the next moment it may be another way.
    Accept,
}

/// Wakeups, and what became of each: the outcomes add up to the total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wakeups {
    /// All of them.
    pub total: u64,
    /// The task then accepted from this listener.
    pub won: u64,
    /// Its accept said EAGAIN.
    pub lost: u64,
    /// Its accept failed otherwise.
    pub failed: u64,
    /// It went back to sleep, or was woken by this listener again, without having called accept.
    pub silent: u64,
    /// Undecided when the window closed.
    pub pending: u64,
}

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
    /// The most requests in it after any SYN, that one included; `null` where no hook sees SYNs.
    pub max: Option<u64>,
    /// `max`, or `now` where that is not known, as a percentage of what it holds at most, which is
    /// one more than the listener's limit.
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
    /// What the program asked `listen()` for; `null` when that was before the window.
    #[serde(default)]
    pub asked: Option<u64>,
    /// Whether `listen()` cut the backlog down to somaxconn. Where what was asked for is not known,
    /// whether the limit is at somaxconn: asking for more would then change nothing.
    pub clamped: Option<bool>,
    /// Whether somaxconn was raised since, which takes another `listen()` to have an effect.
    #[serde(default)]
    pub outdated: Option<bool>,
    /// Whether the limit is at somaxconn or above, so that `listen()` cannot raise it before
    /// somaxconn is raised.
    #[serde(default)]
    pub at_somaxconn: Option<bool>,
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
    /// All of them; `null` when the listener closed before its counter was read.
    pub total: Option<u64>,
    /// By reason; `null` where nothing tells reasons apart.
    pub by_reason: Option<Arc<ByReason>>,
    /// Distinct clients among them, by address and port: a client that retries is one. `null` where
    /// no hook sees them all.
    #[serde(default)]
    pub clients: Option<u64>,
    /// Whether there were more clients than could be remembered, so that `clients` is too low.
    #[serde(default)]
    pub clients_overflowed: bool,
}

/// One task that a listener woke, that called accept on it, or that waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// The task's name.
    pub comm: String,
    /// Its wakeups by this listener.
    pub wakeups: Wakeups,
    /// Connections it accepted from this listener.
    pub accepted: u64,
    /// Its accept calls on this listener that failed, by the name of their errno.
    pub accept_errors: BTreeMap<String, u64>,
}

/// Something wrong, the evidence, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// A stable name.
    pub id: String,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence.
    pub summary: String,
    /// The numbers behind it.
    pub evidence: String,
    /// What to do.
    pub fix: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Costs something.
    Warning,
    /// Loses connections.
    Critical,
}

/// What observer saw, set against the kernel's own counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Whether observer saw what the kernel counted: every counter below that both know agrees, and
    /// no map was full. `null` where no hook observes what they count.
    #[serde(default)]
    pub closes: Option<bool>,
    /// Perf events that the buffer had no room for.
    pub events_lost: u64,
    /// Counts that had no room in a kernel map.
    pub map_full: u64,
    /// Program runs that the kernel skipped.
    pub missed_runs: u64,
    /// Each network namespace that a shown listener is in.
    pub netns: Vec<NetnsAudit>,
}

/// One network namespace's counters over the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetnsAudit {
    /// Inode number of the network namespace.
    pub netns: u64,
    /// By the kernel's name of the counter (TcpExt).
    pub counters: BTreeMap<String, AuditCounter>,
}

/// One counter, as the kernel and as observer counted it over the same window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCounter {
    /// The kernel's own count; `null` where the namespace could not be read at both ends.
    pub kernel: Option<u64>,
    /// observer's count; `null` where no hook observes it.
    pub observed: Option<u64>,
}
