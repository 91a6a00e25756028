//! The list of listeners: every one as it is at one moment, with nothing attached.
//!
//! It uses the names of the report where it has the same to say. What is not known is `null`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    AcceptQueue, AcceptWait, Audit, Backlog, Drops, Family, Finding, Holder, HolderState, Host,
    Listener, Provider, Providers, Report, ReportLine, ReuseportGroup, SCHEMA_VERSION, Server,
    SynQueue, Tool, Via, Window, WindowKind,
};

/// Listeners at one moment, with nothing attached: what `observer listeners --format json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ListenerList {
    /// Version of this format. Fields are added within a version; none is renamed, dropped or given another
    /// meaning.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Program that made the list.
    pub tool: Tool,
    /// Host that the list was made on.
    pub host: Host,
    /// Listeners that the filters chose (all without filters), ordered by network namespace, port and
    /// address.
    pub listeners: Vec<ListedListener>,
    /// Namespaces and processes that could not be looked at.
    pub left_out: LeftOut,
}

impl ListenerList {
    /// These listeners, in their order, in a report that no hook contributed to: its counts are not
    /// observed, and what the queues hold was read exactly.
    #[must_use]
    pub fn unobserved(&self) -> Report {
        let none = |exact| Provider { via: Via::None, exact, inferred: None, uncounted: None };
        Report {
            schema_version: self.schema_version,
            line: ReportLine::Report,
            tool: self.tool.clone(),
            host: self.host.clone(),
            window: Window { start: String::new(), seconds: 0.0, kind: WindowKind::Total },
            providers: Providers {
                wakeups: none(false),
                accepts: none(false),
                handshakes: none(true),
                drops: none(false),
            },
            listeners: self.listeners.iter().map(ListedListener::unobserved).collect(),
            idle_listeners: 0,
            audit: Audit::default(),
        }
    }
}

/// Namespaces and processes that could not be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LeftOut {
    /// Inode numbers of network namespaces that could not be entered.
    pub netns: Vec<u64>,
    /// Number of processes whose descriptors could not be seen.
    pub processes: usize,
    /// Whether there may be processes that could not be seen at all: of other users (`hidepid`), or outside
    /// of the PID namespace.
    pub hidden_processes: bool,
    /// Inode number of the PID namespace whose processes are seen; `null` where that is the initial one.
    pub pid_namespace: Option<u32>,
}

impl LeftOut {
    /// Whether there can be holders that were not seen.
    #[must_use]
    pub fn holders(&self) -> bool {
        self.processes > 0 || self.hidden_processes
    }
}

/// One listener at one moment: a TCP socket in LISTEN, whoever holds it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ListedListener {
    /// Inode number of the network namespace, as `lsns -t net` shows it.
    pub netns: u64,
    /// Socket cookie (`sock_gen_cookie`), which no other socket of the host ever has; `null` without
    /// inet_diag, because /proc/net/tcp shows none.
    pub cookie: Option<u64>,
    /// Inode number of the socket, as `ss -e` and `/proc/PID/fd` show it.
    pub inode: u64,
    /// Address family.
    pub family: Family,
    /// Local address, without brackets and without the port.
    pub address: String,
    /// Local port.
    pub port: u16,
    /// Index of the interface that the listener is bound to (SO_BINDTODEVICE), 0 for none; `null` without
    /// inet_diag.
    pub interface: Option<u32>,
    /// Whether the listener takes IPv6 connections only (IPV6_V6ONLY); `null` for IPv4, and without
    /// inet_diag.
    pub v6only: Option<bool>,
    /// User id of the socket's owner.
    pub uid: u32,
    /// Whether SO_REUSEPORT is set; `null` where no holder could be asked and nothing else tells.
    pub reuseport: Option<bool>,
    /// Listeners that share connections with this one by SO_REUSEPORT; `null` without that option, and
    /// where it is not known.
    pub reuseport_group: Option<ReuseportGroup>,
    /// Option TCP_DEFER_ACCEPT in seconds, 0 for off; `null` where no holder could be asked.
    pub defer_accept: Option<u32>,
    /// Option TCP_FASTOPEN, the limit on the queue of Fast Open requests, 0 for off; `null` where no holder
    /// could be asked.
    pub fastopen: Option<u32>,
    /// Processes that hold a descriptor to the listener. `null` where none was found and some processes
    /// could not be looked into; `[]` where all were looked at and none holds it.
    pub holders: Option<Vec<Holder>>,
    /// Server that the listener belongs to; `null` where no holder is known.
    pub server: Option<Server>,
    /// What the main threads of the holders are doing, and how many descriptors they have left: of some
    /// hundreds of processes at most. `null` where nobody looked.
    pub holder_states: Option<Vec<HolderState>>,
    /// Accept queue: connections that completed their handshake and wait to be accepted.
    pub accept_queue: ListedAcceptQueue,
    /// SYN queue: requests that wait for the final ACK of their handshake.
    pub syn_queue: ListedSynQueue,
    /// Limits on both queues, and where they come from. What `listen()` was asked for (`requested`,
    /// `clamped`) is never known here.
    pub backlog: Backlog,
    /// Drops since the socket was opened, by its own counter (`sk_drops`): an estimate, since a full accept
    /// queue at the final ACK counts twice there, and where `defer_accept` is not 0 so does each bare ACK
    /// that is set aside until data comes, which is no drop. Only `total` is known here.
    pub drops: Drops,
    /// Problems that can be seen at one moment: a queue that is full or nearly so, a holder that is stopped or
    /// has nearly used up its descriptors, a low somaxconn.
    pub findings: Vec<Finding>,
}

impl ListedListener {
    /// Whether the option TCP_DEFER_ACCEPT is on.
    #[must_use]
    pub fn defers(&self) -> bool {
        self.defer_accept.is_some_and(|seconds| seconds > 0)
    }

    fn unobserved(&self) -> Listener {
        let ListedAcceptQueue { now, limit, used_percent } = self.accept_queue;
        let syn = self.syn_queue.now;
        // Where accepts are deferred, most of them may be what is set aside.
        let drops = if self.defers() { Drops::default() } else { self.drops.clone() };
        Listener {
            netns: self.netns,
            cookie: self.cookie,
            inode: self.inode,
            family: self.family,
            address: self.address.clone(),
            port: self.port,
            reuseport: self.reuseport,
            reuseport_group: self.reuseport_group.filter(|group| group.size > 1),
            closed: false,
            incomplete: false,
            holders: self.holders.clone(),
            holder_states: self.holder_states.clone(),
            queued: None,
            accepted: None,
            discarded: None,
            wakeups: None,
            herd_ratio: None,
            wasted_cpu: None,
            accept_errors: BTreeMap::new(),
            accept_queue: AcceptQueue {
                now: Some(now),
                max: Some(now),
                limit,
                used_percent,
                histogram: Vec::new(),
            },
            syn_queue: SynQueue { now: syn, max: syn, ..SynQueue::default() },
            backlog: self.backlog,
            accept_wait: AcceptWait::default(),
            drops,
            fairness: None,
            workers: Vec::new(),
            server: self.server.clone(),
            findings: Vec::new(),
        }
    }
}

/// Accept queue at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct ListedAcceptQueue {
    /// Number of connections in the queue (`sk_ack_backlog`).
    pub now: u64,
    /// Limit (`sk_max_ack_backlog`); `null` without inet_diag. The queue is full when it holds more than
    /// this (`sk_acceptq_is_full`), so that it holds up to one more.
    pub limit: Option<u64>,
    /// Use: `now` in percent of `limit`, with one decimal. Above 100 where the queue is full, since it holds
    /// one more than its limit. `null` where the limit is 0 or not known.
    pub used_percent: Option<f64>,
}

/// SYN queue at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ListedSynQueue {
    /// Number of requests in the queue, as inet_diag dumps them; `null` without inet_diag, and where the dump
    /// does not tell which listener of a reuseport group they belong to.
    pub now: Option<u64>,
}
