//! From what was seen of sockets to the list of listeners.

use std::{collections::HashMap, net::IpAddr};

use crate::{
    findings,
    host::{
        holders::Holdings,
        inet_diag::Socket,
        netns::Namespace,
        netns_handles::Looks,
        patience::Patience,
        sockopts::Options,
        syn_requests,
        task_state::{self, FirstCounts},
    },
    model::{
        Drops, Family, Host, LeftOut, ListedAcceptQueue, ListedListener, ListedSynQueue,
        ListenerList, ReuseportGroup, SCHEMA_VERSION, Tool,
    },
    report::queues,
};

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

/// Makes the list. `keep` says which listeners are chosen.
#[must_use]
pub fn list(seen: Seen<'_>, keep: impl Fn(&Socket) -> bool) -> ListenerList {
    let mut listeners = Vec::new();
    for (netns, namespace) in &seen.looks.seen {
        let sockets = &namespace.sockets;
        let waiting = match &namespace.requests {
            Some(requests) => syn_requests::count(sockets, requests),
            None => vec![None; sockets.len()],
        };
        let places = places(sockets);
        let kept = sockets.iter().zip(waiting).filter(|(socket, _)| keep(socket));
        listeners.extend(kept.map(|(socket, waiting)| {
            let place = Bound::of(socket).and_then(|place| places.get(&place)).copied();
            listener(&seen, *netns, namespace, socket, waiting, place)
        }));
    }
    listeners.sort_by(|a, b| {
        let key = |one: &ListedListener| (one.netns, one.port, one.family);
        key(a).cmp(&key(b)).then_with(|| (&a.address, a.inode).cmp(&(&b.address, b.inode)))
    });
    ListenerList {
        schema_version: SCHEMA_VERSION,
        tool: Tool { name: "observer".into(), version: env!("CARGO_PKG_VERSION").into() },
        host: seen.host,
        listeners,
        left_out: seen.left_out,
    }
}

/// Looks at what the holders do, and notes in the list what is wrong with each listener.
pub fn judge(list: &mut ListenerList, patience: &Patience) {
    let mut report = list.unobserved();
    let mut first = FirstCounts::default();
    task_state::look_at_all(report.listeners.iter_mut(), &mut first, patience);
    findings::judge(&mut report);
    for (listed, judged) in list.listeners.iter_mut().zip(report.listeners) {
        listed.holder_states = judged.holder_states;
        listed.findings = judged.findings;
    }
}

fn listener(
    seen: &Seen<'_>,
    netns: u64,
    namespace: &Namespace,
    socket: &Socket,
    waiting: Option<u64>,
    place: Option<ReuseportGroup>,
) -> ListedListener {
    let limit = socket.limit.map(u64::from);
    let held = seen.holdings.get(&socket.inode).map(Vec::as_slice).unwrap_or_default();
    let told = seen.options.get(&socket.inode).copied().unwrap_or_default();
    // Several can only be at one place with SO_REUSEPORT, which settles it for those that nobody
    // could be asked about.
    let reuseport = told.reuseport.or_else(|| place.filter(|one| one.size > 1).map(|_| true));
    ListedListener {
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
        server: None,
        accept_queue: ListedAcceptQueue {
            now: u64::from(socket.queue),
            limit,
            used_percent: queues::used(u64::from(socket.queue), limit),
        },
        syn_queue: ListedSynQueue { now: waiting },
        backlog: queues::backlog(limit, None, Some(namespace), None),
        drops: Drops { total: socket.drops.map(u64::from), ..Drops::default() },
        holder_states: None,
        findings: Vec::new(),
    }
}

/// How many are bound to each place of a network namespace, chosen or not.
fn places(sockets: &[Socket]) -> HashMap<Bound, ReuseportGroup> {
    let mut places = HashMap::<Bound, ReuseportGroup>::new();
    for (socket, place) in sockets.iter().filter_map(|one| Some((one, Bound::of(one)?))) {
        let group = places.entry(place).or_insert(ReuseportGroup { id: socket.inode, size: 0 });
        group.id = group.id.min(socket.inode);
        group.size += 1;
    }
    places
}

/// What the listeners of one reuseport group have in common (`inet_reuseport_add_sock`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Bound {
    v6: bool,
    v6only: Option<bool>,
    address: IpAddr,
    port: u16,
    interface: u32,
    uid: u32,
}

impl Bound {
    /// `None` where the interface is not known: two on one port may be on two interfaces then.
    fn of(socket: &Socket) -> Option<Self> {
        let Socket { v6, v6only, address, port, uid, .. } = *socket;
        Some(Self { v6, v6only, address, port, uid, interface: socket.interface? })
    }
}

#[cfg(test)]
mod tests;
