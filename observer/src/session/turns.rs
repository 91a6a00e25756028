//! Which network namespaces are looked at for a report, where listeners are in many. Pure.
//!
//! To enter one and to read it takes 0.1 ms or more. One in which no kernel program saw anything of a listener since the
//! last look, and in which no connection waits, is as it was then: but for what only its counters tell (a SYN queue that
//! overflows where no hook sees SYNs) and for its sysctls. These may be told so much later, and how much a report says
//! (`audit.oldest_look`). The more namespaces there are and the longer a look takes, the longer they rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::{
    bpf::snapshot::Snapshot,
    host::netns::{Namespace, Namespaces},
};

/// So many namespaces are all looked at for each report.
pub(super) const FEW: usize = 32;

/// How long one in which nothing happened is left as it was, at least and at most.
const LEAST_REST: Duration = Duration::from_secs(5);
const MOST_REST: Duration = Duration::from_secs(120);

/// Part of the time that looks at those may take in which nothing happened: one in this many, where that is not more
/// often than [`LEAST_REST`] and not less often than [`MOST_REST`].
const SHARE: u32 = 2000;

/// When each namespace was looked at.
#[derive(Debug)]
pub(super) struct Turns {
    looked: BTreeMap<u64, Instant>,
    rest: Duration,
}

impl Default for Turns {
    fn default() -> Self {
        Self { looked: BTreeMap::new(), rest: LEAST_REST }
    }
}

impl Turns {
    /// Namespaces that need no look: they are as they were when the last one was taken.
    pub(super) fn resting(
        &self,
        last: (&Namespaces, &Snapshot),
        counted: &Snapshot,
        now: Instant,
    ) -> BTreeSet<u64> {
        let (namespaces, before) = last;
        if namespaces.len() <= FEW || is_in_doubt(before, counted) {
            return BTreeSet::new();
        }
        let active = active(before, counted);
        let is_fresh = |netns: &u64| {
            self.looked.get(netns).is_some_and(|at| now.saturating_duration_since(*at) < self.rest)
        };
        let rests = |(netns, one): &(&u64, &std::sync::Arc<Namespace>)| {
            let is_still = |inode| counted.asked.get(&inode) == before.asked.get(&inode);
            is_fresh(netns)
                && !active.contains(*netns)
                && one.sockets.iter().all(|socket| socket.queue == 0 && is_still(socket.inode))
        };
        namespaces.iter().filter(rests).map(|(netns, _)| *netns).collect()
    }

    /// Notes which were looked at, from then on and for so long; the others that were are forgotten, but for those that
    /// rest.
    pub(super) fn looked(
        &mut self,
        looked: &Namespaces,
        resting: &BTreeSet<u64>,
        (began, took): (Instant, Duration),
    ) {
        self.looked.retain(|netns, _| resting.contains(netns));
        self.looked.extend(looked.keys().map(|netns| (*netns, began)));
        // Of few it says little how long they took.
        if looked.len() > FEW
            && let Ok(each) = u32::try_from(looked.len())
        {
            let all = u32::try_from(self.looked.len()).unwrap_or(u32::MAX);
            let round = (took / each).saturating_mul(all);
            self.rest = round.saturating_mul(SHARE).clamp(LEAST_REST, MOST_REST);
        }
    }

    /// How long ago the one was looked at that was not for the longest.
    pub(super) fn oldest(&self, now: Instant) -> Option<Duration> {
        self.looked.values().min().map(|at| now.saturating_duration_since(*at))
    }
}

/// Whether something was seen since, of which no trace is left: what found no room may have been the only sign of a
/// listener.
fn is_in_doubt(before: &Snapshot, counted: &Snapshot) -> bool {
    let gone = |snapshot: &Snapshot| (snapshot.misc.no_room.total(), snapshot.forgotten);
    gone(before) != gone(counted)
}

/// Namespaces in which a kernel program saw anything of a listener.
pub(super) fn active(before: &Snapshot, counted: &Snapshot) -> BTreeSet<u64> {
    let changed = counted.listeners.iter().filter(|(id, info)| {
        before.listeners.get(*id) != Some(*info)
            || before.queues.get(*id) != counted.queues.get(*id)
    });
    changed.map(|(_, info)| info.netns.into()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use observer_common::counters::{ListenerInfo, QueueStats};

    use super::{FEW, LEAST_REST, MOST_REST, SHARE, Turns};
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
        turns.looked(&last, &[].into(), (now, Duration::ZERO));
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
    fn nothing_rests_while_something_finds_no_room() {
        let Told { turns, last, now } = looked_at(100);
        let resting = |counted: &Snapshot| turns.resting((&last, &snapshot(1)), counted, now).len();
        assert_eq!(resting(&snapshot(1)), 100);
        let mut full = snapshot(1);
        full.misc.no_room.listeners = 1;
        assert_eq!(resting(&full), 0);
        let mut forgotten = snapshot(1);
        forgotten.forgotten = 1;
        assert_eq!(resting(&forgotten), 0);
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
        let resting = of(&turns, now + LEAST_REST / 2);
        assert_eq!(resting.len(), 100);
        // They rest, and were not looked at again.
        let later = now + LEAST_REST / 2;
        turns.looked(&Namespaces::new(), &resting, (later, Duration::ZERO));
        assert_eq!(turns.oldest(later), Some(LEAST_REST / 2));
        assert!(of(&turns, now + LEAST_REST).is_empty());
        turns.looked(&last, &[].into(), (now + LEAST_REST, Duration::ZERO));
        assert_eq!(of(&turns, now + LEAST_REST).len(), 100);
        assert_eq!(turns.oldest(now + LEAST_REST), Some(Duration::ZERO));
    }

    /// What looks at idle namespaces take is bounded, until they are too old.
    #[test]
    fn they_rest_the_longer_the_longer_looks_take() {
        let rest = |took: Duration| {
            let Told { mut turns, last, now } = looked_at(100);
            turns.looked(&last, &[].into(), (now, took));
            turns.rest
        };
        let millisecond = Duration::from_millis(1);
        assert_eq!(rest(millisecond), LEAST_REST);
        assert_eq!(rest(20 * millisecond), 20 * millisecond * SHARE);
        assert_eq!(rest(1000 * millisecond), MOST_REST);
        // Of those that rest, each would take as long.
        let Told { mut turns, last, now } = looked_at(100);
        let some: Namespaces = last.iter().take(50).map(|(id, one)| (*id, one.clone())).collect();
        let others = last.keys().skip(50).copied().collect();
        turns.looked(&some, &others, (now, 10 * millisecond));
        assert_eq!(turns.rest, 20 * millisecond * SHARE);
        // One that was busy and slow says nothing of the others.
        let one: Namespaces = last.iter().take(1).map(|(id, one)| (*id, one.clone())).collect();
        let others = last.keys().skip(1).copied().collect();
        turns.looked(&one, &others, (now, 1000 * millisecond));
        assert_eq!(turns.rest, 20 * millisecond * SHARE);
    }
}
