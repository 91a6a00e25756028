//! Which listener a connection request belongs to.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr},
};

use crate::host::inet_diag::{Request, Socket};

const EVERY_IPV4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The requests that wait at each listener, as far as somebody looked.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    /// Of each network namespace that was looked at: its listeners by inode number, each with how many wait there where
    /// that is not 0, and `None` where it cannot be told.
    seen: BTreeMap<u64, HashMap<u64, Option<u64>>>,
}

impl Waiting {
    /// Puts what was seen in a network namespace in place of what was known of it.
    pub fn add(&mut self, netns: u64, sockets: &[Socket], requests: &[Request]) {
        let counts = sockets.iter().zip(count(sockets, requests));
        let some = counts.filter(|(_, count)| *count != Some(0));
        let some = some.map(|(socket, count)| (socket.inode, count)).collect();
        self.seen.insert(netns, some);
    }

    /// Forgets what was seen in the network namespaces that are not to be kept.
    pub fn keep(&mut self, is_kept: impl Fn(u64) -> bool) {
        self.seen.retain(|netns, _| is_kept(*netns));
    }

    /// Whether no request waited in a network namespace; `None` where nobody looked.
    #[must_use]
    pub fn is_idle(&self, netns: u64) -> Option<bool> {
        self.seen.get(&netns).map(HashMap::is_empty)
    }

    /// The requests that wait at a listener; `None` where that is not known.
    #[must_use]
    pub fn at(&self, netns: u64, inode: u64) -> Option<u64> {
        self.seen.get(&netns)?.get(&inode).copied().unwrap_or(Some(0))
    }
}

/// How many requests wait at each of `sockets`, in their order; `None` for a socket of which it
/// cannot be told: one of several at one place (SO_REUSEPORT), when any request is for that place.
///
/// A request has its listener's family and interface, so that what is left to decide is what
/// `inet_lookup_listener` decides: a listener on the very address comes before one on every address.
/// One that began to listen there while older requests of the other were under way is taken for
/// their listener.
#[must_use]
pub fn count(sockets: &[Socket], requests: &[Request]) -> Vec<Option<u64>> {
    let mut counts = vec![Some(0); sockets.len()];
    if requests.is_empty() {
        return counts;
    }
    let mut places = HashMap::<Place, Vec<usize>>::new();
    for (index, socket) in sockets.iter().enumerate() {
        places.entry(Place::of(socket)).or_default().push(index);
    }
    for request in requests {
        let Some(at) = Place::candidates(request).find_map(|place| places.get(&place)) else {
            // Its listener closed between the two parts of the dump.
            continue;
        };
        match at[..] {
            [only] => counts[only] = counts[only].map(|count| count + 1),
            ref several => several.iter().for_each(|index| counts[*index] = None),
        }
    }
    counts
}

/// Where a socket listens: all that the kernel compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    v6: bool,
    /// `None` for every address.
    address: Option<IpAddr>,
    port: u16,
    interface: u32,
}

impl Place {
    fn of(socket: &Socket) -> Self {
        let address = socket.address;
        Self {
            v6: socket.v6,
            // ::ffff:0.0.0.0 is every IPv4 address, and not every address.
            address: (!address.is_unspecified()).then_some(address.to_canonical()),
            port: socket.port,
            interface: socket.interface.unwrap_or(0),
        }
    }

    /// Where a request's listener can be, the place that the kernel prefers first.
    fn candidates(request: &Request) -> impl Iterator<Item = Self> {
        let Request { v6, address, port, interface } = *request;
        let every_v4 = if v6 && address.is_ipv4() { EVERY_IPV4 } else { address };
        // The interface is the listener's; of a link-local address also where the listener has none
        // (`tcp_v6_init_req`).
        [interface, 0].into_iter().flat_map(move |interface| {
            [Some(address), Some(every_v4), None].map(|address| Self {
                v6,
                address,
                port,
                interface,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::count;
    use crate::host::inet_diag::{Request, Socket};

    fn socket(v6: bool, address: &str, interface: u32) -> Socket {
        Socket {
            v6,
            v6only: v6.then_some(false),
            interface: Some(interface),
            uid: 0,
            inode: 1,
            cookie: Some(1),
            address: address.parse().expect("an address"),
            port: 80,
            queue: 0,
            limit: Some(1),
            drops: Some(0),
        }
    }

    fn request(v6: bool, address: &str, interface: u32) -> Request {
        Request { v6, address: address.parse().expect("an address"), port: 80, interface }
    }

    #[test]
    fn the_very_address_comes_before_every_address() {
        let sockets = [socket(false, "0.0.0.0", 0), socket(false, "10.0.0.1", 0)];
        let requests = [request(false, "10.0.0.1", 0), request(false, "10.0.0.2", 0)];
        assert_eq!(count(&sockets, &requests), [Some(1), Some(1)]);
        assert_eq!(count(&sockets[..1], &requests), [Some(2)]);
        assert_eq!(count(&sockets[1..], &requests), [Some(1)]);
    }

    #[test]
    fn families_and_ports_do_not_mix() {
        let sockets = [socket(false, "0.0.0.0", 0), socket(true, "::", 0)];
        // An IPv4 client of an IPv6 listener.
        let mapped = request(true, "10.0.0.1", 0);
        assert_eq!(count(&sockets, &[mapped]), [Some(0), Some(1)]);
        let on_mapped = [socket(true, "::", 0), socket(true, "::ffff:10.0.0.1", 0)];
        assert_eq!(count(&on_mapped, &[mapped]), [Some(0), Some(1)]);
        let on_every_v4 = [socket(true, "::", 0), socket(true, "::ffff:0.0.0.0", 0)];
        assert_eq!(count(&on_every_v4, &[mapped]), [Some(0), Some(1)]);
        let elsewhere = Request { port: 81, ..mapped };
        assert_eq!(count(&sockets, &[elsewhere]), [Some(0), Some(0)]);
    }

    #[test]
    fn interfaces_come_first() {
        let sockets = [socket(true, "fe80::1", 0), socket(true, "::", 2)];
        assert_eq!(count(&sockets, &[request(true, "fe80::1", 2)]), [Some(0), Some(1)]);
        assert_eq!(count(&sockets, &[request(true, "fe80::1", 3)]), [Some(1), Some(0)]);
        assert_eq!(count(&sockets, &[request(true, "2001:db8::1", 0)]), [Some(0), Some(0)]);
    }

    #[test]
    fn of_a_reuseport_group_only_an_empty_queue_is_known() {
        let sockets = [socket(false, "0.0.0.0", 0), socket(false, "0.0.0.0", 0)];
        assert_eq!(count(&sockets, &[]), [Some(0), Some(0)]);
        assert_eq!(count(&sockets, &[request(false, "10.0.0.1", 0)]), [None, None]);
    }
}
