//! Which network namespaces are looked at for a report, where listeners are in many. Pure.
//!
//! To enter one and to read it takes some 0.2 ms. One in which no kernel program saw anything of a listener since the last
//! look, and in which no connection waits, is as it was then: but for what only its counters tell (a SYN queue that
//! overflows where no hook sees SYNs) and for its sysctls. These may be told so much later.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::{
    bpf::snapshot::Snapshot,
    host::netns::{Namespace, Namespaces},
};

/// So many namespaces are all looked at for each report.
const FEW: usize = 32;

/// How long one in which nothing happened is left as it was.
const REST: Duration = Duration::from_secs(5);

/// When each namespace was looked at.
#[derive(Debug, Default)]
pub(super) struct Turns(BTreeMap<u64, Instant>);

impl Turns {
    /// Namespaces that need no look: they are as they were when the last one was taken.
    pub(super) fn resting(
        &self,
        last: (&Namespaces, &Snapshot),
        counted: &Snapshot,
        now: Instant,
    ) -> BTreeSet<u64> {
        let (namespaces, before) = last;
        if namespaces.len() <= FEW {
            return BTreeSet::new();
        }
        let active = active(before, counted);
        let is_fresh = |netns: &u64| {
            self.0.get(netns).is_some_and(|at| now.saturating_duration_since(*at) < REST)
        };
        let rests = |(netns, one): &(&u64, &std::sync::Arc<Namespace>)| {
            let is_still = |inode| counted.asked.get(&inode) == before.asked.get(&inode);
            is_fresh(netns)
                && !active.contains(*netns)
                && one.sockets.iter().all(|socket| socket.queue == 0 && is_still(socket.inode))
        };
        namespaces.iter().filter(rests).map(|(netns, _)| *netns).collect()
    }

    /// Notes which were looked at; the others that were are forgotten, but for those that rest.
    pub(super) fn looked(&mut self, looked: &Namespaces, resting: &BTreeSet<u64>, now: Instant) {
        self.0.retain(|netns, _| resting.contains(netns));
        self.0.extend(looked.keys().map(|netns| (*netns, now)));
    }
}

/// Namespaces in which a kernel program saw anything of a listener.
fn active(before: &Snapshot, counted: &Snapshot) -> BTreeSet<u64> {
    let changed = counted.listeners.iter().filter(|(id, info)| {
        before.listeners.get(*id) != Some(*info)
            || before.queues.get(*id) != counted.queues.get(*id)
    });
    changed.map(|(_, info)| info.netns.into()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use observer_common::counters::{ListenerInfo, QueueStats};

    use super::{FEW, REST, Turns};
    use crate::{
        bpf::snapshot::Snapshot,
        host::{
            inet_diag::Socket,
            netns::{Namespace, Namespaces},
        },
    };

    fn socket(inode: u64, queue: u32) -> Socket {
        Socket {
            v6: false,
            v6only: None,
            interface: Some(0),
            uid: 0,
            inode,
            cookie: Some(inode),
            address: [127, 0, 0, 1].into(),
            port: 80,
            queue,
            limit: Some(128),
            drops: Some(0),
        }
    }

    fn namespaces(count: usize) -> Namespaces {
        let of = |netns: u64| {
            let one = Namespace { sockets: vec![socket(netns, 0)], ..Namespace::default() };
            (netns, one.into())
        };
        (1..).take(count).map(of).collect()
    }

    fn listener(closed: u64) -> ListenerInfo {
        ListenerInfo { netns: 7, closed, ..ListenerInfo::default() }
    }

    fn snapshot(queued: u64) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.listeners.insert(7, listener(0));
        snapshot.queues.insert(7, QueueStats { queued, ..QueueStats::ZERO });
        snapshot
    }

    struct Told {
        turns: Turns,
        last: Namespaces,
        now: Instant,
    }

    fn looked_at(count: usize) -> Told {
        let (last, now) = (namespaces(count), Instant::now());
        let mut turns = Turns::default();
        turns.looked(&last, &[].into(), now);
        Told { turns, last, now }
    }

    #[test]
    fn few_are_looked_at_each_time() {
        let Told { turns, last, now } = looked_at(FEW);
        assert!(turns.resting((&last, &snapshot(1)), &snapshot(1), now).is_empty());
        let Told { turns, last, now } = looked_at(FEW + 1);
        assert_eq!(turns.resting((&last, &snapshot(1)), &snapshot(1), now).len(), FEW + 1);
    }

    #[test]
    fn nothing_rests_where_something_was_seen() {
        let Told { turns, last, now } = looked_at(100);
        let rests =
            |counted: &Snapshot| turns.resting((&last, &snapshot(1)), counted, now).contains(&7);
        assert!(rests(&snapshot(1)));
        assert!(!rests(&snapshot(2)));
        let mut ended = snapshot(1);
        ended.listeners.insert(7, listener(1));
        assert!(!rests(&ended));
        let mut born = snapshot(1);
        born.listeners.insert(8, listener(0));
        assert!(!rests(&born));
        let mut asked = snapshot(1);
        asked.asked.insert(7, 5);
        assert!(!rests(&asked), "listen() was called again");
    }

    #[test]
    fn nothing_rests_where_connections_wait() {
        let Told { turns, mut last, now } = looked_at(100);
        let full = Namespace { sockets: vec![socket(9, 1)], ..Namespace::default() };
        last.insert(9, full.into());
        let resting = turns.resting((&last, &snapshot(1)), &snapshot(1), now);
        assert!(!resting.contains(&9) && resting.len() == 99);
    }

    #[test]
    fn each_is_looked_at_after_its_rest() {
        let Told { mut turns, last, now } = looked_at(100);
        let of = |turns: &Turns, at| turns.resting((&last, &snapshot(1)), &snapshot(1), at);
        let resting = of(&turns, now + REST / 2);
        assert_eq!(resting.len(), 100);
        // They rest, and were not looked at again.
        turns.looked(&Namespaces::new(), &resting, now + REST / 2);
        assert!(of(&turns, now + REST).is_empty());
        turns.looked(&last, &[].into(), now + REST);
        assert_eq!(of(&turns, now + REST).len(), 100);
    }
}
