//! The audit: what observer saw, against what the kernel counts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Comparison of what observer saw with the kernel's own counters over the same window, and what it had no
/// room for. A difference is shown, never hidden.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Audit {
    /// Whether the counts agree with the kernel: every counter below that both know has the same growth,
    /// and no shown listener had numbers without room. `null` where no hook observes what the counters
    /// count.
    #[serde(default)]
    pub closes: Option<bool>,
    /// Events from the kernel programs that their buffer had no room for.
    pub events_lost: u64,
    /// Events that the kernel programs sent since the window opened, lost ones included: those that were told, and those
    /// that were left out when it was known whom they are about. `null` where none were asked for, and in all
    /// reports but the last.
    #[serde(default)]
    pub events_sent: Option<u64>,
    /// Counts that had no room in a kernel map: the sum of `no_room`.
    pub map_full: u64,
    /// Counts that had no room in a kernel map, by what had none.
    #[serde(default)]
    pub no_room: NoRoom,
    /// Number of shown listeners that are `incomplete`: their numbers are too low.
    #[serde(default)]
    pub incomplete: u64,
    /// Number of tasks that ended while the maps were read, in each of eight tries: what they did may be
    /// missing in this report or be counted twice. Always 0 in a total.
    #[serde(default)]
    pub unsettled: u64,
    /// Number of processes that did not answer when they were looked at, half a second long, and are left out
    /// until they do: a file system that does not answer keeps them in a system call.
    #[serde(default)]
    pub unanswered: u64,
    /// Age of the oldest look at a network namespace that has shown listeners, in nanoseconds. Of more than 32 namespaces,
    /// those in which no hook saw anything of a listener are looked at each five seconds to two minutes, by how long
    /// that takes: their counters and limits are as of then. `null` where this was not noted.
    #[serde(default)]
    pub oldest_look: Option<u64>,
    /// Age of the oldest count of requests in SYN queues, in nanoseconds: `syn_queue.now` of listeners on which no hook saw
    /// anything may be as of then. `null` where they were not counted.
    #[serde(default)]
    pub oldest_syn_look: Option<u64>,
    /// Runs of observer's programs that the kernel skipped, because one was already running on that CPU
    /// or, for kprobes, a map operation was under way there. Where it is not 0, no number is called exact.
    pub missed_runs: u64,
    /// Network namespaces that shown listeners are in.
    pub netns: Vec<NetnsAudit>,
}

/// Counts that had no room in a kernel map, by what had none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoRoom {
    /// Events of listeners that got no row, of which nothing was counted.
    pub listeners: u64,
    /// Events of tasks that got no entry: the outcome of their wakeups is not known.
    pub tasks: u64,
    /// Events of tasks that got no row: what they did is in the row `(others)` of the listener.
    pub workers: u64,
    /// Wakeups out of calls that are not known to wait for listeners: who was woken is not known.
    pub wakeups: u64,
    /// Accept errors that were not counted.
    pub errors: u64,
    /// Connections whose accept wait was not measured.
    pub waits: u64,
    /// Accept calls whose end was not seen.
    pub calls: u64,
    /// Calls of `listen()` whose backlog was not noted, so that `backlog.requested` is `null`.
    pub backlogs: u64,
    /// Descendants of the processes that `--pid` names which were not followed.
    pub processes: u64,
    /// Closed listeners that are missing in the total.
    pub closed: u64,
    /// Beginnings and ends of listeners on which nothing was counted, and which were not noted: who began it is not known,
    /// and one that ended is missing.
    #[serde(default)]
    pub lives: u64,
}

impl NoRoom {
    /// Counts of listeners that are missing in their numbers.
    #[must_use]
    pub fn of_listeners(&self) -> u64 {
        [self.tasks, self.wakeups, self.errors, self.waits, self.calls]
            .into_iter()
            .fold(self.listeners, u64::saturating_add)
    }
}

/// Counters of one network namespace over the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetnsAudit {
    /// Inode number of the network namespace. A namespace that is gone and another that got its number since
    /// are two rows.
    pub netns: u64,
    /// Counters by their name in `/proc/net/netstat` (TcpExt): `ListenDrops` (all drops), `ListenOverflows`
    /// (accept queue full), `TCPReqQFullDrop` (SYN queue full) and `TCPReqQFullDoCookies` (SYN cookies).
    pub counters: BTreeMap<String, AuditCounter>,
    /// Number of drops in the namespace that could not be attributed to a listener; `null` where hooks see
    /// drops, so that each has its listener.
    #[serde(default)]
    pub unattributed: Option<u64>,
}

/// Growth of one counter over the window, as the kernel and as observer counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditCounter {
    /// Count of the kernel; `null` where the namespace could not be read at both ends of the window.
    pub kernel: Option<u64>,
    /// Count of observer, over all listeners of the namespace, shown or not; `null` where no hook observes it.
    pub observed: Option<u64>,
}
