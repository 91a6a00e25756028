//! Every listener that there is or was in the window, with what inet_diag and the kernel programs know of it.

use std::collections::{HashMap, HashSet};

use observer_common::counters::ListenerInfo;

use crate::{
    bpf::snapshot::Snapshot,
    host::{
        inet_diag::Socket,
        netns::{Namespaces, NetnsId},
    },
};

/// Network namespace, port and inode number.
pub(super) type Key = (NetnsId, u16, u64);

/// What inet_diag and the kernel programs know of one listener.
#[derive(Clone, Copy)]
pub(super) struct Joined<'a> {
    pub(super) netns: NetnsId,
    pub(super) port: u16,
    pub(super) id: u64,
    /// What it is now; `None` where it does not listen any more.
    pub(super) socket: Option<&'a Socket>,
    /// What it was when the window began.
    pub(super) earlier: Option<&'a Socket>,
    pub(super) info: Option<&'a ListenerInfo>,
}

impl Joined<'_> {
    /// What listeners are ordered by; no other listener has the same.
    pub(super) fn key(&self) -> Key {
        (self.netns, self.port, self.id)
    }
}

/// All listeners, ordered by network namespace and port.
pub(super) fn join<'a>(
    now: &'a Namespaces,
    before: &'a Namespaces,
    counted: &'a Snapshot,
) -> Vec<Joined<'a>> {
    let sockets = before.values().flat_map(|namespace| &namespace.sockets);
    let earlier: HashMap<_, _> = sockets.map(|socket| (socket.inode, socket)).collect();
    let mut open = HashSet::new();
    let mut all = Vec::with_capacity(now.values().map(|one| one.sockets.len()).sum());
    for (netns, namespace) in now {
        for socket in &namespace.sockets {
            // A socket that belongs to no file has no identity.
            if socket.inode == 0 {
                continue;
            }
            let info = counted.listeners.get(&socket.inode);
            if info.is_some() {
                open.insert(socket.inode);
            }
            all.push(Joined {
                netns: NetnsId { inode: *netns, cookie: namespace.cookie },
                port: socket.port,
                id: socket.inode,
                socket: Some(socket),
                earlier: earlier.get(&socket.inode).copied(),
                info,
            });
        }
    }
    let closed = counted.listeners.iter().filter(|(id, _)| !open.contains(*id));
    for (id, info) in closed {
        all.push(Joined {
            netns: of_closed(info, now),
            port: info.port,
            id: *id,
            socket: None,
            earlier: earlier.get(id).copied(),
            info: Some(info),
        });
    }
    all.sort_unstable_by_key(Joined::key);
    // A dump that takes several calls can tell one twice.
    all.dedup_by_key(|one| one.key());
    all
}

/// The namespace of a listener that closed: it may be gone, and another one have its inode number.
fn of_closed(info: &ListenerInfo, now: &Namespaces) -> NetnsId {
    let inode = u64::from(info.netns);
    let own = Some(info.netns_cookie).filter(|cookie| *cookie != 0);
    let cookie = match now.get(&inode) {
        // What is not known of one is not known of the other.
        Some(now) => now.cookie.and_then(|now| own.or(Some(now))),
        None => own,
    };
    NetnsId { inode, cookie }
}

#[cfg(test)]
mod tests {

    use observer_common::counters::ListenerInfo;

    use super::join;
    use crate::{
        bpf::snapshot::Snapshot,
        host::{
            inet_diag::Socket,
            netns::{Namespace, Namespaces},
        },
    };

    fn socket(inode: u64, port: u16, queue: u32) -> Socket {
        Socket {
            v6: false,
            v6only: None,
            interface: None,
            uid: 0,
            inode,
            cookie: None,
            address: [127, 0, 0, 1].into(),
            port,
            queue,
            limit: None,
            drops: None,
        }
    }

    fn world(netns: u64, sockets: Vec<Socket>) -> Namespaces {
        let namespace = Namespace { sockets, ..Namespace::default() };
        Namespaces::from([(netns, namespace.into())])
    }

    #[test]
    fn each_is_there_once_with_what_it_was() {
        let before = world(5, vec![socket(1, 80, 10), socket(2, 70, 20), socket(3, 60, 30)]);
        // One came, one went, one is told twice, and one belongs to no file.
        let sockets =
            vec![socket(1, 80, 11), socket(4, 50, 41), socket(2, 70, 21), socket(2, 70, 22)];
        let now = world(5, [sockets, vec![socket(0, 40, 0)]].concat());
        let mut counted = Snapshot::default();
        let info = ListenerInfo { netns: 5, port: 60, ..ListenerInfo::default() };
        counted.listeners.insert(3, info);
        counted.listeners.insert(1, ListenerInfo { port: 80, ..info });
        let told: Vec<_> = join(&now, &before, &counted)
            .into_iter()
            .map(|one| {
                let earlier = one.earlier.map(|socket| socket.queue);
                (one.id, one.socket.is_some(), earlier, one.info.is_some())
            })
            .collect();
        assert_eq!(
            told,
            [
                (4, true, None, false),
                (3, false, Some(30), true),
                (2, true, Some(20), false),
                (1, true, Some(10), true),
            ]
        );
    }

    #[test]
    fn they_are_in_order_whatever_the_kernels_order_is() {
        let none = Snapshot::default();
        let ids = |ports: &[u16]| -> Vec<u64> {
            let sockets = ports.iter().map(|port| socket(u64::from(*port), *port, 0)).collect();
            let now = world(5, sockets);
            join(&now, &now, &none).iter().map(|one| one.id).collect()
        };
        assert_eq!(ids(&[3, 1, 2]), [1, 2, 3]);
        assert_eq!(ids(&[30, 10, 20]), [10, 20, 30]);
        assert_eq!(ids(&[2, 3, 1]), [1, 2, 3]);
        assert_eq!(ids(&[2, 3, 1, 9, 4]), [1, 2, 3, 4, 9]);
        assert_eq!(ids(&[2, 1]), [1, 2]);
        assert!(ids(&[]).is_empty());
    }

    #[test]
    fn one_that_closed_is_not_of_the_namespace_that_has_its_number_since() {
        let of = |cookie| Namespace { cookie, ..Namespace::default() };
        let netns = |own, now: Option<Option<u64>>| {
            let info = ListenerInfo { netns: 5, netns_cookie: own, ..ListenerInfo::default() };
            let now = now.map(|cookie| (5, of(cookie).into())).into_iter().collect();
            super::of_closed(&info, &now).cookie
        };
        assert_eq!(netns(7, Some(Some(7))), Some(7));
        assert_eq!(netns(7, Some(Some(8))), Some(7));
        assert_eq!(netns(7, None), Some(7));
        assert_eq!(netns(7, Some(None)), None);
        assert_eq!(netns(0, Some(Some(8))), Some(8));
        assert_eq!(netns(0, None), None);
    }
}
