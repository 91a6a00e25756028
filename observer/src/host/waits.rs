//! Who waits for which listeners at one moment, and how.

use std::collections::{BTreeMap, HashMap, HashSet};

use observer_common::watch::{EPOLLEXCLUSIVE, SELECT_KEY, WatchKind, WatchRecord};

use crate::{host::way::Way, model::Wait};

/// A task that waits for a listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waiter {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// The task's name.
    pub comm: String,
    /// How it waits.
    pub way: Way,
}

/// Who waits for which listeners at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Tasks that wait, by listener: in accept, poll or select on it, or on an epoll instance that watches it.
    pub tasks: HashMap<u64, Vec<Waiter>>,
    /// Processes that have epoll instances which watch a listener, and whether all of these do so with
    /// EPOLLEXCLUSIVE.
    pub(super) exclusive: HashMap<(u64, u32), bool>,
    /// Whether all epoll instances were looked at.
    pub(super) knows_epolls: bool,
    /// Listeners of which not all waiters are known, and epoll instances, by their names in records.
    pub cut: HashSet<u64>,
}

impl Waits {
    /// What the kernel's iterator over files told, of the listeners that are `wanted`.
    #[must_use]
    pub fn of_records(records: &[WatchRecord], wanted: impl Fn(u64) -> bool) -> Self {
        let mut waits = Self { knows_epolls: true, ..Self::default() };
        let (mut having, mut on) = (HashMap::<u64, Vec<u32>>::new(), HashMap::new());
        let mut items = Vec::new();
        for record in records {
            let wanted = wanted(record.listener);
            match WatchKind::of(record) {
                Some(WatchKind::Epoll) => having.entry(record.epoll).or_default().push(record.pid),
                Some(WatchKind::OnEpoll) => {
                    on.entry(record.epoll).or_insert_with(Vec::new).push(record);
                }
                Some(WatchKind::Item) if wanted => items.push(record),
                Some(WatchKind::Polls) if wanted => {
                    let selects = record.events & SELECT_KEY == SELECT_KEY;
                    let way = if selects { Way::Select } else { Way::Poll };
                    waits.add(record.listener, waiter(record, way));
                }
                Some(WatchKind::Accepts) if wanted => {
                    waits.add(record.listener, waiter(record, Way::Accept));
                }
                Some(WatchKind::Cut | WatchKind::Lost) => drop(waits.cut.insert(record.listener)),
                Some(_) | None => {}
            }
        }
        for item in items {
            let exclusive = item.events & EPOLLEXCLUSIVE != 0;
            // Each pass tells of all that have it.
            for pid in having.get(&item.epoll).into_iter().flatten() {
                waits.watch(item.listener, *pid, exclusive);
            }
            for record in on.get(&item.epoll).into_iter().flatten() {
                waits.add(item.listener, waiter(record, Way::Epoll));
            }
        }
        waits.sort();
        waits
    }

    /// How a process waits for a listener whose tasks wait on epoll instances; `None` where that was not looked at.
    #[must_use]
    pub fn by_epoll(&self, listener: u64, pid: u32) -> Option<Wait> {
        match self.exclusive.get(&(listener, pid)) {
            Some(true) => Some(Wait::EpollExclusive),
            Some(false) => Some(Wait::Epoll),
            // An instance that is watched by another one, which is what the process waits on.
            None if self.knows_epolls && !self.cut.contains(&listener) => Some(Wait::Epoll),
            None => None,
        }
    }

    /// The tasks that are in accept, with the listener of each.
    pub fn in_accept(&self) -> impl Iterator<Item = (u64, &Waiter)> {
        let all = self.tasks.iter();
        let all = all.flat_map(|(listener, tasks)| tasks.iter().map(move |one| (*listener, one)));
        all.filter(|(_, waiter)| waiter.way == Way::Accept)
    }

    pub(super) fn add(&mut self, listener: u64, waiter: Waiter) {
        self.tasks.entry(listener).or_default().push(waiter);
    }

    pub(super) fn watch(&mut self, listener: u64, pid: u32, exclusive: bool) {
        *self.exclusive.entry((listener, pid)).or_insert(true) &= exclusive;
    }

    /// Each task once for each listener, also where several descriptors of it are in one epoll instance.
    pub(super) fn sort(&mut self) {
        for waiters in self.tasks.values_mut() {
            waiters.sort_unstable();
            waiters.dedup();
        }
    }
}

fn waiter(record: &WatchRecord, way: Way) -> Waiter {
    let end = record.comm.iter().position(|byte| *byte == 0).unwrap_or(record.comm.len());
    let comm = String::from_utf8_lossy(record.comm.get(..end).unwrap_or_default()).into_owned();
    Waiter { pid: record.pid, tid: record.number, comm, way }
}

/// The way of most of the tasks of each process, by listener and process id.
pub(super) fn most(ways: impl Iterator<Item = (u64, u32, Way)>) -> HashMap<(u64, u32), Way> {
    let mut counts = BTreeMap::<(u64, u32, Way), u64>::new();
    for way in ways {
        *counts.entry(way).or_insert(0) += 1;
    }
    let mut most = HashMap::new();
    for ((listener, pid, way), count) in counts {
        let known = most.entry((listener, pid)).or_insert((count, way));
        if known.0 < count {
            *known = (count, way);
        }
    }
    most.into_iter().map(|(key, (_, way))| (key, way)).collect()
}

#[cfg(test)]
mod tests {
    use observer_common::watch::{EPOLLEXCLUSIVE, SELECT_KEY, WatchKind, WatchRecord};

    use super::Waits;
    use crate::{host::way::Way, model::Wait};

    fn record(kind: WatchKind, pid: u32, number: u32) -> WatchRecord {
        let comm = *b"server\0\0\0\0\0\0\0\0\0\0";
        let kind = kind as u32;
        WatchRecord { kind, pid, number, events: 0, listener: 0, epoll: 0, comm }
    }

    fn item(listener: u64, epoll: u64, events: u32) -> WatchRecord {
        WatchRecord { listener, epoll, events, ..record(WatchKind::Item, 0, 0) }
    }

    fn of_epoll(kind: WatchKind, pid: u32, number: u32, epoll: u64) -> WatchRecord {
        WatchRecord { epoll, ..record(kind, pid, number) }
    }

    #[test]
    fn tasks_are_told_by_the_instances_that_they_wait_on_and_processes_by_those_that_they_have() {
        let records = [
            of_epoll(WatchKind::Epoll, 10, 4, 0xa),
            of_epoll(WatchKind::OnEpoll, 10, 11, 0xa),
            item(1, 0xa, 1 | EPOLLEXCLUSIVE),
            // The same instance, held by a child that does not wait.
            of_epoll(WatchKind::Epoll, 12, 4, 0xa),
            of_epoll(WatchKind::Epoll, 13, 5, 0xb),
            item(1, 0xb, 1),
            item(1, 0xb, 1),
            of_epoll(WatchKind::OnEpoll, 13, 14, 0xb),
            // One that watches something else.
            of_epoll(WatchKind::Epoll, 15, 5, 0xc),
            of_epoll(WatchKind::OnEpoll, 15, 16, 0xc),
        ];
        let waits = Waits::of_records(&records, |_| true);
        let tasks: Vec<_> = waits.tasks[&1].iter().map(|one| (one.pid, one.tid, one.way)).collect();
        assert_eq!(tasks, [(10, 11, Way::Epoll), (13, 14, Way::Epoll)]);
        assert_eq!(waits.tasks[&1][0].comm, "server");
        assert_eq!(waits.by_epoll(1, 10), Some(Wait::EpollExclusive));
        assert_eq!(waits.by_epoll(1, 12), Some(Wait::EpollExclusive));
        assert_eq!(waits.by_epoll(1, 13), Some(Wait::Epoll));
        assert!(Waits::of_records(&records, |listener| listener == 2).tasks.is_empty());
    }

    #[test]
    fn accept_poll_and_select_are_told_apart() {
        let of = |kind, tid, events| WatchRecord { listener: 1, events, ..record(kind, 10, tid) };
        let records = [
            of(WatchKind::Accepts, 11, 0),
            of(WatchKind::Polls, 12, 0x19),
            of(WatchKind::Polls, 13, SELECT_KEY | 0x18),
        ];
        let waits = Waits::of_records(&records, |_| true);
        let ways: Vec<_> = waits.tasks[&1].iter().map(|one| (one.tid, one.way)).collect();
        assert_eq!(ways, [(11, Way::Accept), (12, Way::Poll), (13, Way::Select)]);
        let in_accept: Vec<_> = waits.in_accept().map(|(id, one)| (id, one.tid)).collect();
        assert_eq!(in_accept, [(1, 11)]);
    }

    #[test]
    fn what_was_not_looked_at_is_not_known() {
        assert_eq!(Waits::default().by_epoll(1, 10), None);
        let cut = WatchRecord { listener: 1, ..record(WatchKind::Cut, 0, 0) };
        let waits = Waits::of_records(&[cut, record(WatchKind::Cut, 0, 0)], |_| true);
        assert_eq!(waits.by_epoll(1, 10), None);
        assert_eq!(waits.by_epoll(2, 10), Some(Wait::Epoll), "one that another one watches");
    }
}
