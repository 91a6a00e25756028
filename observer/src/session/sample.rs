//! The ends of a window: what is taken off what is read later.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Instant, SystemTime},
};

use nix::time::{ClockId, clock_gettime};

use crate::{
    bpf::snapshot::Snapshot,
    host::{
        netns::{self, Namespace, Namespaces, NetnsCounters},
        netns_handles::Places,
    },
    model::WindowKind,
    report::audit::{Reading, Readings},
};

/// Where a window begins or ends.
#[derive(Clone)]
pub(super) struct Sample {
    pub(super) wall: SystemTime,
    pub(super) clock: Instant,
    /// `CLOCK_MONOTONIC` in nanoseconds, which is what `bpf_ktime_get_ns` gives.
    pub(super) monotonic: u64,
    pub(super) counted: Snapshot,
    pub(super) namespaces: Namespaces,
    /// The namespaces' counters before `counted` was read.
    pub(super) before: Counters,
    /// And after that, where they were read anew; else they are those of `namespaces`.
    pub(super) after: Option<Counters>,
    pub(super) missed_runs: u64,
}

/// What a report is about.
pub(super) struct Span<'a> {
    pub(super) from: &'a Sample,
    pub(super) to: &'a Sample,
    /// What was counted between them.
    pub(super) counted: &'a Snapshot,
    pub(super) kind: WindowKind,
    /// See [`Input::most`](crate::report::input::Input::most).
    pub(super) most: usize,
}

/// Counters of namespaces at one moment.
#[derive(Clone)]
pub(super) enum Counters {
    /// As they were when the namespaces were looked at.
    Looked(Namespaces),
    /// Read anew, by the inode numbers of the namespaces.
    Read(BTreeMap<u64, NetnsCounters>),
}

impl Counters {
    /// Of these namespaces, read anew.
    pub(super) fn read(places: &Places, namespaces: &Namespaces) -> Self {
        let wanted: BTreeSet<u64> = namespaces.keys().copied().collect();
        Self::Read(netns::counters_of(places, &wanted))
    }

    /// Adds a namespace that was left alone, and counted nothing meanwhile.
    pub(super) fn keep(&mut self, netns: u64, one: &Arc<Namespace>) {
        if let Self::Looked(namespaces) = self {
            namespaces.entry(netns).or_insert_with(|| one.clone());
        }
    }

    fn of(&self, netns: u64) -> Option<NetnsCounters> {
        match self {
            Self::Looked(namespaces) => looked(namespaces, netns),
            Self::Read(counters) => counters.get(&netns).cloned(),
        }
    }
}

impl Sample {
    /// What was counted, between two looks at the namespaces' counters.
    pub(super) fn new(
        counted: Snapshot,
        before: Counters,
        namespaces: Namespaces,
        missed_runs: u64,
    ) -> Self {
        Self {
            wall: SystemTime::now(),
            clock: Instant::now(),
            monotonic: monotonic(),
            counted,
            before,
            after: None,
            namespaces,
            missed_runs,
        }
    }

    /// The namespaces in which listeners are or were: nothing is reported of others.
    pub(super) fn inhabited(&self) -> BTreeSet<u64> {
        let there = self.namespaces.iter().filter(|(_, one)| !one.sockets.is_empty());
        let counted = self.counted.listeners.values().map(|info| u64::from(info.netns));
        there.map(|(netns, _)| *netns).chain(counted).collect()
    }

    /// The counters of these namespaces, before and after `counted` was read.
    pub(super) fn readings(&self, of: &BTreeSet<u64>) -> Readings {
        let reading = |netns: &u64| {
            let after = match &self.after {
                Some(after) => after.of(*netns),
                None => looked(&self.namespaces, *netns),
            }?;
            Some((*netns, Reading::new(self.before.of(*netns).as_ref(), &after)))
        };
        of.iter().filter_map(reading).collect()
    }

    /// Whether no namespace came or went and no counter changed since those were looked at.
    pub(super) fn agrees_with(&self, before: &Namespaces) -> bool {
        let same = |(one, other): (&Arc<Namespace>, &Arc<Namespace>)| {
            Arc::ptr_eq(one, other) || one.cookie == other.cookie && one.counters == other.counters
        };
        self.namespaces.keys().eq(before.keys())
            && self.namespaces.values().zip(before.values()).all(same)
    }
}

/// The counters of a namespace when it was looked at.
fn looked(namespaces: &Namespaces, netns: u64) -> Option<NetnsCounters> {
    let Namespace { cookie, counters, .. } = namespaces.get(&netns)?.as_ref();
    Some(NetnsCounters { cookie: *cookie, values: counters.clone() })
}

pub(super) fn monotonic() -> u64 {
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return 0 };
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(now.tv_sec()) * 1_000_000_000 + part(now.tv_nsec())
}

#[cfg(test)]
mod tests {
    use super::{Counters, Sample};
    use crate::{
        bpf::snapshot::Snapshot,
        host::netns::{Namespace, Namespaces},
    };

    fn namespace(drops: u64) -> Namespace {
        let counters = [("ListenDrops".to_owned(), drops)].into();
        Namespace { counters: std::sync::Arc::new(counters), ..Namespace::default() }
    }

    /// What it had counted before is no part of the window in which it is looked at again.
    #[test]
    fn a_namespace_that_was_left_alone_has_the_counters_that_it_had() {
        let none = || Counters::Looked(Namespaces::new());
        let mut last = Sample::new(Snapshot::default(), none(), Namespaces::new(), 0);
        let quiet = namespace(7).into();
        let mut before = none();
        before.keep(5, &quiet);
        last.namespaces.insert(5, quiet);
        let now = Namespaces::from([(5, namespace(9).into())]);
        let now = Sample::new(Snapshot::default(), before, now, 0);
        let of = [5].into();
        let (start, end) = (last.readings(&of), now.readings(&of));
        assert_eq!(start[&5].after.get("ListenDrops"), Some(&7));
        assert_eq!(end[&5].before.get("ListenDrops"), Some(&7));
        assert_eq!(end[&5].after.get("ListenDrops"), Some(&9));
    }
}
