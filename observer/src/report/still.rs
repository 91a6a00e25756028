//! The still picture: every listener as it is at one moment, without any kernel program.
//!
//! It uses the names of the report where it has the same to say. What is not known is `null`.

use std::{collections::HashMap, net::IpAddr};

use serde::Serialize;

use crate::{
    listener::{
        diag::Socket, holders::Holdings, namespaces::Namespace, options::Options, places::Looks,
        requests,
    },
    report::{
        model::{Backlog, Drops, Family, Holder, Host, SCHEMA_VERSION, Tool},
        queues,
    },
};

/// Every listener that was chosen, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Still {
    /// Always [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Which program took it.
    pub tool: Tool,
    /// Where.
    pub host: Host,
    /// The listeners that the filters chose, or all of them.
    pub listeners: Vec<StillListener>,
    /// What could not be looked at.
    pub left_out: LeftOut,
}

/// What could not be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Inode numbers of network namespaces that could not be entered.
    pub netns: Vec<u64>,
    /// Processes whose descriptors could not be seen.
    pub processes: usize,
    /// Whether there are processes that could not be seen at all: of other users (`hidepid`), or outside
    /// of a PID namespace.
    pub hidden_processes: bool,
    /// Inode number of that namespace.
    pub pid_namespace: Option<u32>,
}

impl LeftOut {
    /// Whether there can be holders that were not seen.
    #[must_use]
    pub fn holders(&self) -> bool {
        self.processes > 0 || self.hidden_processes
    }
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StillListener {
    /// Inode number of its network namespace.
    pub netns: u64,
    /// The kernel's socket cookie; /proc has none.
    pub cookie: Option<u64>,
    /// Inode number of its socket.
    pub inode: u64,
    /// Address family.
    pub family: Family,
    /// Local address, without brackets.
    pub address: String,
    /// Local port.
    pub port: u16,
    /// Index of the interface that it is bound to, 0 for none.
    pub interface: Option<u32>,
    /// Whether it takes IPv6 connections only; `null` for IPv4.
    pub v6only: Option<bool>,
    /// User id of its owner.
    pub uid: u32,
    /// Whether SO_REUSEPORT is set.
    pub reuseport: Option<bool>,
    /// The listeners that share its connections with it by SO_REUSEPORT.
    pub reuseport_group: Option<Group>,
    /// TCP_DEFER_ACCEPT in seconds, 0 for off.
    pub defer_accept: Option<u32>,
    /// TCP_FASTOPEN, the limit on its queue, 0 for off.
    pub fastopen: Option<u32>,
    /// Who holds a descriptor to it; `null` where none was found and some could not be looked for.
    pub holders: Option<Vec<Holder>>,
    /// The accept queue.
    pub accept_queue: StillQueue,
    /// The SYN queue.
    pub syn_queue: StillSynQueue,
    /// The limits on its queues.
    pub backlog: Backlog,
    /// Refusals since its birth, by the socket's own counter (`sk_drops`): an estimate, since that
    /// counts a full accept queue at the final ACK twice, and also what was no refusal: where `defer_accept` is
    /// not 0, each bare ACK that is set aside until data comes.
    pub drops: Drops,
}

/// An accept queue at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StillQueue {
    /// Connections in it.
    pub now: u64,
    /// Its limit; it is full when there are more than this in it.
    pub limit: Option<u64>,
}

/// A SYN queue at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StillSynQueue {
    /// Requests in it; `null` where the kernel does not tell, or not which listener of a reuseport
    /// group they belong to.
    pub now: Option<u64>,
}

/// A reuseport group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The smallest inode number among its listeners: what they have in common.
    pub id: u64,
    /// How many listeners it has.
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
        accept_queue: StillQueue { now: u64::from(socket.queue), limit },
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
