//! Where listeners are: their sockets, addresses and reuseport groups.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use observer_common::counters::ListenerInfo;

use crate::listener::{diag::Socket, namespaces::Namespace};

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

/// The places at which several sockets listen: one address, port and interface of one namespace. They
/// can only be there with SO_REUSEPORT, which settles it for those that no program has seen.
pub(super) struct Groups(HashSet<Place>);

type Place = (u64, IpAddr, u16, Option<u32>);

impl Groups {
    pub(super) fn of<'a>(sockets: impl Iterator<Item = (u64, &'a Socket)>) -> Self {
        let mut places: Vec<_> = sockets.map(|(netns, socket)| place(netns, socket)).collect();
        places.sort_unstable();
        let several = places.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]);
        Self(several.collect())
    }

    pub(super) fn contains(&self, netns: u64, socket: &Socket) -> bool {
        !self.0.is_empty() && self.0.contains(&place(netns, socket))
    }
}

fn place(netns: u64, socket: &Socket) -> Place {
    (netns, socket.address, socket.port, socket.interface)
}
