//! The ends of a window: what is taken off what is read later.

use std::{
    collections::{BTreeMap, BTreeSet},
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
    /// The namespaces' counters, before and after `counted` was read.
    pub(super) readings: Readings,
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

/// Namespaces' counters, by the inode numbers of the namespaces.
pub(super) type Counters = BTreeMap<u64, NetnsCounters>;

impl Sample {
    /// What was counted, between two looks at the namespaces' counters.
    pub(super) fn new(
        counted: Snapshot,
        before: &Counters,
        namespaces: Namespaces,
        missed_runs: u64,
    ) -> Self {
        let after = counters(&namespaces);
        Self {
            wall: SystemTime::now(),
            clock: Instant::now(),
            monotonic: monotonic(),
            counted,
            readings: readings(before, &after),
            namespaces,
            missed_runs,
        }
    }
}

/// The counters that were read with the namespaces.
pub(super) fn counters(namespaces: &Namespaces) -> Counters {
    let of = |one: &Namespace| NetnsCounters { cookie: one.cookie, values: one.counters.clone() };
    namespaces.iter().map(|(netns, one)| (*netns, of(one))).collect()
}

/// Counters of these namespaces, read anew.
pub(super) fn read_again(places: &Places, namespaces: &Namespaces) -> Counters {
    let wanted: BTreeSet<u64> = namespaces.keys().copied().collect();
    netns::counters_of(places, &wanted)
}

pub(super) fn readings(before: &Counters, after: &Counters) -> Readings {
    let reading =
        |(netns, after): (&u64, &NetnsCounters)| (*netns, Reading::new(before.get(netns), after));
    after.iter().map(reading).collect()
}

pub(super) fn monotonic() -> u64 {
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return 0 };
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(now.tv_sec()) * 1_000_000_000 + part(now.tv_nsec())
}
