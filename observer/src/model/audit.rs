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
    /// Counts without room, by what had none.
    #[serde(default)]
    pub no_room: NoRoom,
    /// Shown listeners of which something had no room, so that their numbers are too low.
    #[serde(default)]
    pub incomplete: u64,
    /// Tasks whose counts moved within the maps while these were read, in each try: what they did may be
    /// missing, or be there twice. Always 0 in the last report of a window.
    #[serde(default)]
    pub unsettled: u64,
    /// Program runs that the kernel skipped.
    pub missed_runs: u64,
    /// Each network namespace that a shown listener is in.
    pub netns: Vec<NetnsAudit>,
}

/// Counts that had no room in a kernel map, by what had none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoRoom {
    /// Listeners without rows of their own: nothing was counted of them.
    pub listeners: u64,
    /// Tasks without an entry: what came of their wakeups is not known.
    pub tasks: u64,
    /// Tasks without a row: what they did is in the listener's row for the others.
    pub workers: u64,
    /// Wakeups out of calls that are not known to wait: who was woken is not known.
    pub wakeups: u64,
    /// Accept errors, which were not counted.
    pub errors: u64,
    /// Accept waits, which were not measured.
    pub waits: u64,
    /// Accept calls under way, whose end was not seen.
    pub calls: u64,
    /// Backlogs that `listen()` was asked for.
    pub backlogs: u64,
    /// Processes below those that `--pid` names, which were not followed.
    pub processes: u64,
    /// Listeners that closed, and are missing in the total.
    pub closed: u64,
}

impl NoRoom {
    /// Counts of listeners that are missing in their numbers.
    #[must_use]
    pub fn of_listeners(&self) -> u64 {
        [self.tasks, self.wakeups, self.errors, self.calls]
            .into_iter()
            .fold(self.listeners, u64::saturating_add)
    }
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
