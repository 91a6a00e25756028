//! Where listeners are: their addresses and reuseport groups.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use observer_common::counters::ListenerInfo;

use crate::{listener::diag::Socket, report::one::One};

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
    /// Of listeners in their order: those of one port come one after the other.
    pub(super) fn of(all: &[One<'_>]) -> Self {
        let mut groups = HashSet::new();
        for of_port in all.chunk_by(|one, next| (one.netns, one.port) == (next.netns, next.port)) {
            if of_port.len() < 2 {
                continue;
            }
            let mut there = HashSet::new();
            let places = of_port.iter().filter_map(|one| Some(place(one.netns, one.socket?)));
            groups.extend(places.filter(|place| !there.insert(*place)));
        }
        Self(groups)
    }

    pub(super) fn contains(&self, netns: u64, socket: &Socket) -> bool {
        !self.0.is_empty() && self.0.contains(&place(netns, socket))
    }
}

fn place(netns: u64, socket: &Socket) -> Place {
    (netns, socket.address, socket.port, socket.interface)
}
