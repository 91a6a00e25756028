//! The still picture: every listener as it is at one moment, without any kernel program.
//!
//! It uses the names of the report where it has the same to say. What is not known is `null`.

use std::{collections::HashMap, net::IpAddr};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    host::{
        holders::Holdings, inet_diag::Socket, netns::Namespace, netns_handles::Looks,
        options::Options, requests,
    },
    model::{Backlog, Drops, Family, Holder, Host, SCHEMA_VERSION, Tool},
    report::queues,
};

/// Listeners at one moment, without any kernel program: what `observer listeners --format json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "ListenerList")]
pub struct Still {
    /// Version of this format. Fields are added within a version; none is renamed, dropped or given another
    /// meaning.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Program that took the picture.
    pub tool: Tool,
    /// Host that the picture was taken on.
    pub host: Host,
    /// Listeners that the filters chose (all without filters), ordered by network namespace, port and
    /// address.
    pub listeners: Vec<StillListener>,
    /// Namespaces and processes that could not be looked at.
    pub left_out: LeftOut,
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
#[schemars(rename = "ListedListener")]
pub struct StillListener {
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
    pub reuseport_group: Option<Group>,
    /// Option TCP_DEFER_ACCEPT in seconds, 0 for off; `null` where no holder could be asked.
    pub defer_accept: Option<u32>,
    /// Option TCP_FASTOPEN, the limit on the queue of Fast Open requests, 0 for off; `null` where no holder
    /// could be asked.
    pub fastopen: Option<u32>,
    /// Processes that hold a descriptor to the listener. `null` where none was found and some processes
    /// could not be looked into; `[]` where all were looked at and none holds it.
    pub holders: Option<Vec<Holder>>,
    /// Accept queue: connections that completed their handshake and wait to be accepted.
    pub accept_queue: StillQueue,
    /// SYN queue: requests that wait for the final ACK of their handshake.
    pub syn_queue: StillSynQueue,
    /// Limits on both queues, and where they come from. What `listen()` was asked for (`requested`,
    /// `clamped`) is never known here.
    pub backlog: Backlog,
    /// Drops since the socket was opened, by its own counter (`sk_drops`): an estimate, since a full accept
    /// queue at the final ACK counts twice there, and where `defer_accept` is not 0 so does each bare ACK
    /// that is set aside until data comes, which is no drop. Only `total` is known here.
    pub drops: Drops,
}

/// Accept queue at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "ListedAcceptQueue")]
pub struct StillQueue {
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
#[schemars(rename = "ListedSynQueue")]
pub struct StillSynQueue {
    /// Number of requests in the queue, as inet_diag dumps them; `null` without inet_diag, and where the dump
    /// does not tell which listener of a reuseport group they belong to.
    pub now: Option<u64>,
}

/// Listeners that share connections by SO_REUSEPORT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ReuseportGroup")]
pub struct Group {
    /// Smallest inode number among the group's listeners, which is the same for all of them.
    pub id: u64,
    /// Number of listeners in the group.
    pub size: usize,
}

/// What was seen.
pub struct Seen<'a> {
    /// Where.
    pub host: Host,
    /// The network namespaces.
    pub looks: &'a Looks<Namespace>,
    /// Who holds the listeners that are chosen.
    pub holdings: &'a Holdings,
    /// What holders were asked, by the inode number of the socket.
    pub options: &'a HashMap<u64, Options>,
    /// What could not be looked at.
    pub left_out: LeftOut,
}

/// Makes the picture. `keep` says which listeners are chosen.
#[must_use]
pub fn take(seen: Seen<'_>, keep: impl Fn(&Socket) -> bool) -> Still {
    let mut listeners = Vec::new();
    for (netns, namespace) in &seen.looks.seen {
        let sockets = &namespace.sockets;
        let waiting = match &namespace.requests {
            Some(requests) => requests::count(sockets, requests),
            None => vec![None; sockets.len()],
        };
        let places = places(sockets);
        let kept = sockets.iter().zip(waiting).filter(|(socket, _)| keep(socket));
        listeners.extend(kept.map(|(socket, waiting)| {
            let place = Place::of(socket).and_then(|place| places.get(&place)).copied();
            listener(&seen, *netns, namespace, socket, waiting, place)
        }));
    }
    listeners.sort_by(|a, b| {
        let key = |one: &StillListener| (one.netns, one.port, one.family);
        key(a).cmp(&key(b)).then_with(|| (&a.address, a.inode).cmp(&(&b.address, b.inode)))
    });
    Still {
        schema_version: SCHEMA_VERSION,
        tool: Tool { name: "observer".into(), version: env!("CARGO_PKG_VERSION").into() },
        host: seen.host,
        listeners,
        left_out: seen.left_out,
    }
}

fn listener(
    seen: &Seen<'_>,
    netns: u64,
    namespace: &Namespace,
    socket: &Socket,
    waiting: Option<u64>,
    place: Option<Group>,
) -> StillListener {
    let limit = socket.limit.map(u64::from);
    let held = seen.holdings.get(&socket.inode).map(Vec::as_slice).unwrap_or_default();
    let told = seen.options.get(&socket.inode).copied().unwrap_or_default();
    // Several can only be at one place with SO_REUSEPORT, which settles it for those that nobody
    // could be asked about.
    let reuseport = told.reuseport.or_else(|| place.filter(|one| one.size > 1).map(|_| true));
    StillListener {
        netns,
        cookie: socket.cookie,
        inode: socket.inode,
        family: if socket.v6 { Family::Ipv6 } else { Family::Ipv4 },
        address: socket.address.to_string(),
        port: socket.port,
        interface: socket.interface,
        v6only: socket.v6only,
        uid: socket.uid,
        reuseport,
        reuseport_group: place.filter(|_| reuseport == Some(true)),
        defer_accept: told.defer_accept,
        fastopen: told.fastopen,
        holders: (!held.is_empty() || !seen.left_out.holders())
            .then(|| held.iter().map(|one| one.holder.clone()).collect()),
        accept_queue: StillQueue {
            now: u64::from(socket.queue),
            limit,
            used_percent: queues::used(u64::from(socket.queue), limit),
        },
        syn_queue: StillSynQueue { now: waiting },
        backlog: queues::backlog(limit, None, Some(namespace), None),
        drops: Drops { total: socket.drops.map(u64::from), ..Drops::default() },
    }
}

/// How many listen at each place of a network namespace, chosen or not.
fn places(sockets: &[Socket]) -> HashMap<Place, Group> {
    let mut places = HashMap::<Place, Group>::new();
    for (socket, place) in sockets.iter().filter_map(|one| Some((one, Place::of(one)?))) {
        let group = places.entry(place).or_insert(Group { id: socket.inode, size: 0 });
        group.id = group.id.min(socket.inode);
        group.size += 1;
    }
    places
}

/// What the listeners of one reuseport group have in common (`inet_reuseport_add_sock`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    v6: bool,
    v6only: Option<bool>,
    address: IpAddr,
    port: u16,
    interface: u32,
    uid: u32,
}

impl Place {
    /// `None` where the interface is not known: two on one port may be on two interfaces then.
    fn of(socket: &Socket) -> Option<Self> {
        let Socket { v6, v6only, address, port, uid, .. } = *socket;
        Some(Self { v6, v6only, address, port, uid, interface: socket.interface? })
    }
}

#[cfg(test)]
mod tests;
