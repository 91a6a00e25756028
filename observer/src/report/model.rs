//! The report: what one window looked like, in the words of schema version 1.
//!
//! Field names, meanings and units are the public contract that scripts read. Times are
//! nanoseconds unless a name says otherwise, counts are unsigned, and what is not known is `null`
//! (`None`), never 0.

mod audit;
mod providers;
mod queues;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{
    audit::{Audit, AuditCounter, NetnsAudit, NoRoom},
    providers::{Provider, Providers, Via, Worth},
    queues::{AcceptQueue, AcceptWait, Backlog, Bucket, ByReason, Drops, SynQueue},
};

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
    pub listeners: Vec<Listener>,
    /// Listeners that are not in `listeners`, because nothing happened on them and they are as the report
    /// before showed them.
    #[serde(default)]
    pub idle_listeners: u64,
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
    /// Whether something of it had no room in a kernel map, so that its numbers are too low.
    #[serde(default)]
    pub incomplete: bool,
    /// Which processes hold a descriptor to it, and how they wait; `null` where none was found and some
    /// could not be looked into.
    pub holders: Option<Vec<Holder>>,
    /// Connections that completed their handshake and entered its accept queue.
    pub queued: u64,
    /// Connections that an accept call returned to a program.
    pub accepted: u64,
    /// Connections that were in its accept queue when it closed: their clients got a reset, unless the
    /// kernel moved them to another listener (`net.ipv4.tcp_migrate_req`).
    #[serde(default)]
    pub discarded: u64,
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
    /// Jain's index over the workers' accepted counts, with those that hold the listener and were not
    /// seen to wait for it: 1 is even, 1/n is one taking all. `null` below two workers, where nothing was
    /// accepted, and where workers were folded into the row of the others.
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
    /// The descriptor.
    pub fd: i32,
    /// How the process waits for it: what its tasks were woken out of in the window, or else what they wait
    /// in now; `null` where neither tells.
    pub wait: Option<Wait>,
}

/// How a process waits for a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// Through an epoll instance, without EPOLLEXCLUSIVE.
    Epoll,
    /// Through an epoll instance, with EPOLLEXCLUSIVE.
    EpollExclusive,
    /// In poll.
    Poll,
    /// In select.
    Select,
    /// In accept itself.
    Accept,
    /// On a ring of io_uring.
    #[serde(rename = "io_uring")]
    IoUring,
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

/// One task that a listener woke, that called accept on it, or that waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Process id; `null` for a task outside of the PID namespace that this is observed from.
    pub pid: Option<u32>,
    /// Thread id; `null` as above.
    pub tid: Option<u32>,
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
    /// The server that `fix` and `steps` are about; `null` where they are for any.
    #[serde(default)]
    pub server: Option<String>,
    /// One line.
    pub summary: String,
    /// The numbers behind it.
    pub evidence: String,
    /// What to do: one sentence.
    pub fix: String,
    /// Lines of configuration or commands that do it.
    #[serde(default)]
    pub steps: Vec<String>,
    /// Manual page or kernel document that the advice comes from.
    #[serde(default)]
    pub source: String,
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
