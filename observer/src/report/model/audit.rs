//! What observer saw, against what the kernel counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What observer saw, set against the kernel's own counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Whether observer saw what the kernel counted: every counter below that both know agrees, and
    /// no map was full. `null` where no hook observes what they count.
    #[serde(default)]
    pub closes: Option<bool>,
    /// Perf events that the buffer had no room for.
    pub events_lost: u64,
    /// Counts that had no room in a kernel map.
    pub map_full: u64,
    /// Program runs that the kernel skipped.
    pub missed_runs: u64,
    /// Each network namespace that a shown listener is in.
    pub netns: Vec<NetnsAudit>,
}

/// One network namespace's counters over the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetnsAudit {
    /// Inode number of the network namespace. One that is gone and one that has its number since are two.
    pub netns: u64,
    /// By the kernel's name of the counter (TcpExt).
    pub counters: BTreeMap<String, AuditCounter>,
    /// How many of its drops cannot be told whose they are, where no hook sees them; `null` elsewhere.
    #[serde(default)]
    pub unattributed: Option<u64>,
}

/// One counter, as the kernel and as observer counted it over the same window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCounter {
    /// The kernel's own count; `null` where the namespace could not be read at both ends.
    pub kernel: Option<u64>,
    /// observer's count; `null` where no hook observes it.
    pub observed: Option<u64>,
}
