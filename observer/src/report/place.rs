//! Where listeners are: their addresses and reuseport groups.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use observer_common::counters::ListenerInfo;

use crate::{
    host::{inet_diag::Socket, netns::NetnsId},
    report::join::Joined,
};

/// Local address of a listener that a kernel program saw.
#[must_use]
pub fn address(info: &ListenerInfo) -> IpAddr {
    let [a, b, c, d, ..] = info.address;
    if i32::from(info.family) == libc::AF_INET6 {
        IpAddr::V6(Ipv6Addr::from(info.address))
    } else {
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    }
}

/// The places at which several sockets listen: one address, port and interface of one namespace. They
/// can only be there with SO_REUSEPORT, which settles it for those that no program has seen. Each with its
/// listeners.
pub(super) struct Groups(HashMap<Place, Vec<u64>>);

type Place = (NetnsId, IpAddr, u16, Option<u32>);

impl Groups {
    /// Of listeners in their order: those of one port come one after the other.
    pub(super) fn of(all: &[Joined<'_>]) -> Self {
        let mut groups = HashMap::<_, Vec<u64>>::new();
        for of_port in all.chunk_by(|one, next| (one.netns, one.port) == (next.netns, next.port)) {
            if of_port.len() < 2 {
                continue;
            }
            let places = || of_port.iter().filter_map(|one| Some(place(one.netns, one.socket?)));
            let mut there = HashSet::new();
            let several: HashSet<_> = places().filter(|place| !there.insert(*place)).collect();
            for (place, one) in places().zip(of_port.iter().filter(|one| one.socket.is_some())) {
                if several.contains(&place) {
                    groups.entry(place).or_default().push(one.id);
                }
            }
        }
        Self(groups)
    }

    /// The listeners at the place of one, where there are several.
    pub(super) fn at(&self, netns: NetnsId, socket: &Socket) -> Option<&[u64]> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&place(netns, socket)).map(Vec::as_slice)
    }
}

fn place(netns: NetnsId, socket: &Socket) -> Place {
    (netns, socket.address, socket.port, socket.interface)
}
