//! What each map takes of the kernel's memory: the arithmetic of `htab_map_mem_usage` and `array_map_mem_usage`. Pure.

use observer_common::{
    config::{Control, PortSet, SOCK_SLOT_COUNT, TASK_SLOT_COUNT},
    counters::{
        Bracket, ClientKey, ErrorKey, INCOMPLETE_SLOTS, KnownSock, ListenerId, ListenerInfo, Misc,
        QueueStats, RingKey, RunSinceWoken, SockSlot, Stamp, TaskSlot, TaskState, Unrecognised,
        UnrecognisedKey, WaitKey, WorkerKey, WorkerStats,
    },
    event::DropScratch,
    watch::Walk,
};
use serde::Serialize;

use super::sizes::Sizes;

/// One map, or several small ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MapBytes {
    /// Its name.
    pub map: &'static str,
    /// Number of entries.
    pub entries: u32,
    /// Bytes of kernel memory.
    pub bytes: u64,
}

/// Entries of maps whose size does not depend on the host.
const LISTEN_BACKLOGS: u32 = 4_096;
const RINGS: u32 = 4_096;
const WALKED: u32 = 4_096;

/// `struct htab_elem` before its key, and `struct bucket` (kernel/bpf/hashtab.c).
const ELEMENT: u64 = 48;
const BUCKET: u64 = 16;
/// Of each map and each possible CPU: counters of locks that are held (`HASHTAB_MAP_LOCK_COUNT`), a list of free
/// entries, and for LRU maps another (`struct bpf_lru_locallist`).
const OF_CPU: u64 = 8 * 4 + 64;
/// `struct bpf_htab` and `struct bpf_array`, with what each allocation wastes.
const OF_MAP: u64 = 1_024;
const PAGE: u64 = 4_096;
/// The rest: constants of the programs and words that they share.
const REST: u64 = 16 * PAGE;

/// Every map with what it takes at so many possible CPUs.
#[must_use]
pub fn table(sizes: &Sizes, cpus: usize) -> Vec<MapBytes> {
    let of = Arithmetic { cpus: cpus as u64 };
    // An MPTCP listener is two socks.
    let socks = sizes.listeners.saturating_mul(2);
    vec![
        of.per_cpu::<ListenerId, QueueStats>("QUEUES", sizes.listeners),
        of.hash::<ListenerId, ListenerInfo>("LISTENERS", sizes.listeners),
        of.hash::<u64, KnownSock>("SOCKS", socks),
        of.hash::<ListenerId, ListenerInfo>("QUIET", sizes.quiet),
        of.array::<TaskSlot>("TASK_SLOTS", TASK_SLOT_COUNT),
        of.hash::<u32, u32>("SLOT_OWNER", TASK_SLOT_COUNT),
        of.hash::<u32, TaskState>("TASKS", sizes.tasks),
        of.hash::<WorkerKey, WorkerStats>("WORKERS", sizes.workers),
        of.hash::<u64, Stamp>("ENQUEUED_AT", sizes.enqueued),
        of.hash::<WaitKey, u64>("WAITS", sizes.waits),
        of.hash::<u32, ListenerId>("IN_FLIGHT", sizes.in_flight),
        of.hash::<u32, u32>("PID_TREE", sizes.tree),
        of.hash::<ClientKey, u8>("CLIENTS", sizes.clients),
        of.hash::<ErrorKey, u64>("ERRORS", sizes.errors),
        of.hash::<UnrecognisedKey, Unrecognised>("UNRECOGNISED", sizes.unrecognised),
        of.hash::<u32, ListenerId>("INTERRUPTED", sizes.interrupted),
        of.hash::<ListenerId, u32>("LISTEN_BACKLOG", LISTEN_BACKLOGS),
        of.hash::<RingKey, ListenerId>("RINGS", RINGS),
        of.hash::<u32, u64>("WOKEN_AT", sizes.woken),
        of.hash::<ListenerId, u8>("MUTED", sizes.muted),
        of.hash::<u32, RunSinceWoken>("RUNS", sizes.runs),
        of.hash::<ListenerId, u64>("WASTED", sizes.wasted),
        of.hash::<ListenerId, Walk>("WALKED", WALKED),
        of.array::<SockSlot>("SOCK_CACHE", SOCK_SLOT_COUNT),
        of.others(),
    ]
}

/// All of them together.
#[must_use]
pub fn total(sizes: &Sizes, cpus: usize) -> u64 {
    table(sizes, cpus).iter().fold(0, |sum, one| sum.saturating_add(one.bytes))
}

struct Arithmetic {
    cpus: u64,
}

impl Arithmetic {
    fn hash<K, V>(&self, map: &'static str, entries: u32) -> MapBytes {
        let element = ELEMENT + round(size_of::<K>()) + round(size_of::<V>());
        // One more element for each possible CPU, with which an entry is replaced.
        self.row(map, entries, (u64::from(entries) + self.cpus) * element)
    }

    fn per_cpu<K, V>(&self, map: &'static str, entries: u32) -> MapBytes {
        let element = ELEMENT + round(size_of::<K>()) + 8 + round(size_of::<V>()) * self.cpus;
        self.row(map, entries, u64::from(entries) * element)
    }

    fn row(&self, map: &'static str, entries: u32, elements: u64) -> MapBytes {
        let buckets = u64::from(entries).next_power_of_two() * BUCKET;
        let bytes = OF_MAP + elements + buckets + OF_CPU * self.cpus;
        MapBytes { map, entries, bytes }
    }

    fn array<V>(&self, map: &'static str, entries: u32) -> MapBytes {
        let bytes = OF_MAP + round(size_of::<V>()) * u64::from(entries);
        MapBytes { map, entries, bytes: bytes.next_multiple_of(PAGE) }
    }

    /// Arrays of one entry for each possible CPU, the array of event buffers, and what is shared as variables.
    fn others(&self) -> MapBytes {
        let of_cpu = [
            size_of::<Bracket>(),
            size_of::<DropScratch>(),
            size_of::<Misc>(),
            size_of::<u64>(),
            size_of::<u64>(),
        ];
        let of_cpu: u64 = of_cpu.into_iter().map(round).sum();
        let shared = round(INCOMPLETE_SLOTS + size_of::<PortSet>() + size_of::<Control>());
        let bytes = of_cpu * self.cpus + shared + REST;
        MapBytes { map: "(others)", entries: 1, bytes: bytes.next_multiple_of(PAGE) }
    }
}

/// Kernel maps keep keys and values in multiples of eight bytes.
fn round(bytes: usize) -> u64 {
    (bytes as u64).next_multiple_of(8)
}
