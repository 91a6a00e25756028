//! The report: what one window looked like, in the words of schema version 1.
//!
//! Field names, meanings and units are the public contract that scripts read. Times are
//! nanoseconds unless a name says otherwise, counts are unsigned, and what is not known is `null`
//! (`None`), never 0.
//!
//! The doc comments here are the descriptions in docs/schema.json and the text of docs/json.md
//! ([`crate::schema`]): plain Markdown, readable alone, without links to Rust items.

mod audit;
mod comparison;
mod connection;
mod event;
mod holder_state;
mod providers;
mod queues;
mod recording;
mod reuseport_group;
mod server;
mod sockets;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    audit::{Audit, AuditCounter, NetnsAudit, NoRoom},
    comparison::{
        Change, ComparedListener, ComparedNumber, ComparedRecording, Comparison, ComparisonLine,
        Course,
    },
    connection::{AcceptedBy, Connection, ConnectionLine, Unfinished, WakeupOutcome, WokenTask},
    event::{Event, EventLine, LostReason, Task, What},
    holder_state::HolderState,
    providers::{Provider, Providers, Via, Worth},
    queues::{AcceptQueue, AcceptWait, Backlog, Bucket, ByReason, Drops, SynQueue},
    recording::{RecordingHeader, RecordingLine},
    reuseport_group::ReuseportGroup,
    server::{Container, Server},
    sockets::{LeftOut, ListedAcceptQueue, ListedListener, ListedSynQueue, ListenerList},
};

/// Kind of line that a report is among the lines of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReportLine {
    /// A report.
    #[default]
    Report,
}

/// The version of the report's schema.
pub const SCHEMA_VERSION: u32 = 1;

/// Report of one window: what was attached, and what happened on each listener that was chosen.
///
/// `observer --format json` prints one per line, for each interval and for the whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Version of this format. Fields are added within a version; none is renamed, dropped or given another
    /// meaning.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Kind of line among the lines of a recording: always `report`.
    #[serde(rename = "type", default)]
    pub line: ReportLine,
    /// Program that made the report.
    pub tool: Tool,
    /// Host that the report was made on.
    pub host: Host,
    /// Span of time that the counts belong to.
    pub window: Window,
    /// Hooks that each signal came from, and whether they see every event.
    pub providers: Providers,
    /// Listeners that the filters chose (all without filters), ordered by network namespace, port and
    /// address. Without `--idle`, an interval report leaves out those that `idle_listeners` counts.
    pub listeners: Vec<Listener>,
    /// Number of chosen listeners that are not in `listeners`, because nothing happened on them and their
    /// gauges, limits and holders are those of the report before. 0 in a total.
    #[serde(default)]
    pub idle_listeners: u64,
    /// Comparison of what observer saw with the kernel's own counters, and what observer had no room for.
    pub audit: Audit,
}

/// Program that made a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// Name of the program, `observer`.
    pub name: String,
    /// Version of the program.
    pub version: String,
}

/// Host that a report was made on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// Release of the kernel, as `uname -r` prints it.
    pub kernel: String,
    /// Architecture of the machine, as `uname -m` prints it.
    pub arch: String,
    /// Number of CPUs that are online.
    pub cpus: usize,
}

/// Span of time that a report's counts belong to. It begins when the last kernel program is attached, or
/// where the interval before ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Time of the beginning: RFC 3339, UTC, with milliseconds.
    pub start: String,
    /// Length, in seconds.
    pub seconds: f64,
    /// Whether the window is one interval or everything since the last kernel program was attached.
    pub kind: WindowKind,
}

/// Kind of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WindowKind {
    /// One `--interval`, or one second where no time was given and nothing is redrawn.
    Interval,
    /// Everything since the last kernel program was attached: the last report, and each redraw of the live table.
    Total,
}

/// One listener in one window: a TCP socket in LISTEN, whoever holds it. Its identity is `netns` with
/// `cookie` or `inode`, never its port alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Listener {
    /// Inode number of the network namespace, as `lsns -t net` shows it.
    pub netns: u64,
    /// Socket cookie (`sock_gen_cookie`), which no other socket of the host ever has; `null` where the
    /// listener closed before the kernel was asked for it.
    pub cookie: Option<u64>,
    /// Inode number of the socket, as `ss -e` and `/proc/PID/fd` show it. Another socket can get it once
    /// this one is gone.
    pub inode: u64,
    /// Address family.
    pub family: Family,
    /// Local address, without brackets and without the port.
    pub address: String,
    /// Local port.
    pub port: u16,
    /// Whether SO_REUSEPORT is set; `null` where it was not seen.
    pub reuseport: Option<bool>,
    /// Listeners that share connections with this one by SO_REUSEPORT; `null` where it shares them with none,
    /// and where it is not known.
    #[serde(default)]
    pub reuseport_group: Option<ReuseportGroup>,
    /// Whether the listener stopped listening before the window closed.
    pub closed: bool,
    /// Whether something of the listener had no room in a kernel map: its numbers are too low, or `null` where it had
    /// none at all, and `accept_errors` and `workers` lack what was not counted.
    #[serde(default)]
    pub incomplete: bool,
    /// Processes that hold a descriptor to the listener. `null` where none was found and some processes
    /// could not be looked into; `[]` where all were looked at and none holds it.
    pub holders: Option<Vec<Holder>>,
    /// What tasks of the holders were doing when the report was made. `null` where nobody looked: it is looked
    /// only where connections wait, were dropped or waited long, or where accept failed for want of
    /// descriptors, and at some hundreds of tasks at most.
    #[serde(default)]
    pub holder_states: Option<Vec<HolderState>>,
    /// Connections that completed their handshake and entered the accept queue in the window; `null` where none of
    /// the listener's counts had room (`incomplete`).
    pub queued: Option<u64>,
    /// Connections that an accept call (accept, accept4, io_uring) returned to a program in the window; `null` as
    /// `queued`.
    pub accepted: Option<u64>,
    /// Connections that were in the accept queue when the listener closed (`inet_csk_listen_stop`): their
    /// clients got a reset, unless the kernel moved them to another listener (`net.ipv4.tcp_migrate_req`); `null`
    /// as `queued`.
    #[serde(default)]
    pub discarded: Option<u64>,
    /// Tasks made runnable because the listener became ready, by what became of each; `null` as `queued`.
    pub wakeups: Option<Wakeups>,
    /// Wakeups for each accepted connection, `wakeups.total / accepted`: 1 is best, n is a herd of n.
    /// `null` where nothing was accepted, or that is not known.
    pub herd_ratio: Option<f64>,
    /// CPU time of the tasks that the listener woke in vain, nanoseconds, each from when it was put on a CPU to when it
    /// slept again (`sched_switch`): those whose accept said EAGAIN and those that did not call accept. `null` where it
    /// was not measured (`--cost`).
    #[serde(default)]
    pub wasted_cpu: Option<u64>,
    /// Failed accept calls, by the name of the errno, such as `EAGAIN` or `EMFILE`.
    pub accept_errors: BTreeMap<String, u64>,
    /// Accept queue: connections that completed their handshake and wait to be accepted.
    pub accept_queue: AcceptQueue,
    /// SYN queue: requests that wait for the final ACK of their handshake.
    pub syn_queue: SynQueue,
    /// Limits on both queues, and where they come from.
    pub backlog: Backlog,
    /// Time that connections waited in the accept queue.
    pub accept_wait: AcceptWait,
    /// Connection attempts that the kernel dropped because of this listener.
    pub drops: Drops,
    /// Jain's fairness index over the workers' `accepted`, processes that hold the listener without being
    /// seen to wait for it included: 1 is even, 1/n is one of n taking all. `null` below two workers,
    /// where nothing was accepted, and where workers were folded into the row `(others)`.
    pub fairness: Option<f64>,
    /// Tasks that the listener woke, that called accept on it, or that wait for it. Their counts add up
    /// to those of the listener.
    pub workers: Vec<Worker>,
    /// Server that the listener belongs to. `null` where nobody looked, as for listeners without a finding,
    /// and where no holder is known.
    #[serde(default)]
    pub server: Option<Server>,
    /// Problems of this listener in the window, and what to do about each.
    pub findings: Vec<Finding>,
}

/// Address family.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4 (AF_INET).
    Ipv4,
    /// IPv6 (AF_INET6), which takes IPv4 connections too unless IPV6_V6ONLY is set.
    Ipv6,
}

/// Process that holds a descriptor to a listener; one for each such descriptor.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Holder {
    /// Process id, as /proc shows it.
    pub pid: u32,
    /// Command name of the process (`/proc/PID/comm`), at most 15 bytes.
    pub comm: String,
    /// Number of the descriptor.
    pub fd: i32,
    /// Call in which the process waits for the listener: what its tasks were woken out of in the window, or
    /// else what they wait in now. `null` where neither tells.
    pub wait: Option<Wait>,
}

/// Way of waiting for a listener.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// `epoll_wait` on an instance that watches the listener without EPOLLEXCLUSIVE.
    Epoll,
    /// `epoll_wait` on an instance that watches the listener with EPOLLEXCLUSIVE.
    EpollExclusive,
    /// `poll` or `ppoll`.
    Poll,
    /// `select` or `pselect6`.
    Select,
    /// `accept` or `accept4` itself, which blocks.
    Accept,
    /// A ring of io_uring.
    #[serde(rename = "io_uring")]
    IoUring,
}

/// Wakeups by what became of each: `won`, `lost`, `failed`, `silent` and `pending` add up to `total`.
///
/// A wakeup is a task made runnable because a listener became ready: in the data-ready notification itself
/// (`sock_def_readable`), or in an epoll chain wake that follows from it (`ep_done_scan`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wakeups {
    /// All wakeups.
    pub total: u64,
    /// Wakeups after which the task accepted a connection from this listener.
    pub won: u64,
    /// Wakeups after which the task's accept found the queue empty (EAGAIN).
    pub lost: u64,
    /// Wakeups after which the task's accept failed with another error.
    pub failed: u64,
    /// Wakeups after which the task went back to sleep, ended, or was woken by this listener again, without
    /// having called accept on it.
    pub silent: u64,
    /// Wakeups that were undecided when the window closed.
    pub pending: u64,
}

/// Task that a listener woke, that called accept on it, or that waits for it. The row named `(others)`,
/// with `null` ids, holds the counts of tasks that are not told by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Worker {
    /// Process id, as /proc shows it; `null` for a task outside of the PID namespace that observer runs in,
    /// and for `(others)`.
    pub pid: Option<u32>,
    /// Thread id, as /proc shows it; `null` where `pid` is.
    pub tid: Option<u32>,
    /// Name of the task (`/proc/PID/task/TID/comm`), at most 15 bytes.
    pub comm: String,
    /// Wakeups of the task by this listener.
    pub wakeups: Wakeups,
    /// Connections that the task accepted from this listener.
    pub accepted: u64,
    /// Accept calls of the task on this listener that failed, by the name of the errno.
    pub accept_errors: BTreeMap<String, u64>,
}

/// Problem of a listener, with its evidence and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Name of the finding, which never changes, such as `thundering-herd`.
    pub id: String,
    /// Severity.
    pub severity: Severity,
    /// Server that `fix` and `steps` are about; `null` where they are for any.
    #[serde(default)]
    pub server: Option<String>,
    /// Problem in one line.
    pub summary: String,
    /// Numbers of this report that show the problem.
    pub evidence: String,
    /// Remedy in one sentence.
    pub fix: String,
    /// Lines of configuration or commands that bring it about.
    #[serde(default)]
    pub steps: Vec<String>,
    /// Manual page or kernel document that the advice comes from.
    #[serde(default)]
    pub source: String,
}

/// Severity of a finding.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is lost, but worth knowing.
    Info,
    /// CPU time or latency is lost, or connections may be soon.
    Warning,
    /// Connections are lost.
    Critical,
}
