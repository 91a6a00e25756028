//! Where listeners are: their sockets, addresses and reuseport groups.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use observer_common::counters::ListenerInfo;

use crate::{
    listener::{diag::Socket, namespaces::Namespace},
    report::model::Listener,
};

/// Sockets with the network namespace that they are in.
pub(super) fn by_inode(namespaces: &BTreeMap<u64, Namespace>) -> HashMap<u64, (u64, &Socket)> {
    namespaces
        .iter()
        .flat_map(|(netns, namespace)| {
            namespace.sockets.iter().map(|socket| (socket.inode, (*netns, socket)))
        })
        .filter(|(inode, _)| *inode != 0)
        .collect()
}

pub(super) fn address(info: &ListenerInfo) -> IpAddr {
    let [a, b, c, d, ..] = info.address;
    if i32::from(info.family) == libc::AF_INET6 {
        IpAddr::V6(Ipv6Addr::from(info.address))
    } else {
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    }
}

/// Listeners on one address and port of one namespace can only be there with SO_REUSEPORT, which
/// settles it for those that no program has seen.
pub(super) fn mark_reuseport_groups(listeners: &mut [Listener]) {
    let mut places = HashMap::<_, u32>::new();
    let place = |one: &Listener| (one.netns, one.family, one.address.clone(), one.port);
    for one in listeners.iter().filter(|one| !one.closed) {
        *places.entry(place(one)).or_default() += 1;
    }
    for one in listeners.iter_mut().filter(|one| one.reuseport.is_none()) {
        if places.get(&place(one)).is_some_and(|count| *count > 1) {
            one.reuseport = Some(true);
        }
    }
}
