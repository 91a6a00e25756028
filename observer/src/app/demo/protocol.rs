//! What a workload tells its parent, one JSON object per line.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// The first line: every worker sleeps and waits for a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ready {
    /// Always true.
    pub(super) ready: bool,
    /// The coordinator: parent of the workers, or their process with `--threads`.
    pub(super) pid: u32,
    /// Inode number of the network namespace.
    pub(super) netns: u64,
    /// The listeners.
    pub(super) listeners: Vec<ListenerAt>,
    /// The workers, in the order of the tally.
    pub(super) workers: Vec<WorkerId>,
}

/// One listener of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ListenerAt {
    /// Local address.
    pub(super) address: String,
    /// Local port.
    pub(super) port: u16,
    /// Inode number of the socket.
    pub(super) inode: u64,
}

/// One worker of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WorkerId {
    /// Process id.
    pub(super) pid: u32,
    /// Thread id.
    pub(super) tid: u32,
}

/// The line after each round: what the workers counted in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Connections that the client made and saw closed by the server.
    pub(super) connections: u64,
    /// Length of the round, pauses included.
    pub(super) seconds: f64,
    /// Time from connect to the server's close, added up over the connections: no pauses.
    pub(super) connection_seconds: f64,
    /// Each worker's counts.
    pub(super) workers: Vec<WorkerTally>,
    /// The workers' counts added up.
    pub(super) sum: Counts,
}

/// One worker's counts of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WorkerTally {
    /// Which worker.
    #[serde(flatten)]
    pub(super) worker: WorkerId,
    /// Its counts.
    #[serde(flatten)]
    pub(super) counts: Counts,
}

/// What a worker counts, and what the kernel counts about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Accept calls that returned a connection.
    pub(super) accepted: u64,
    /// Accept calls that said EAGAIN.
    pub(super) eagain: u64,
    /// Returns of the wait call (of accept, where that is what waits).
    pub(super) wait_returns: u64,
    /// Sleeps, by the kernel's count: wakeups that never left the wait call included.
    pub(super) voluntary_switches: u64,
    /// Those of the sleeps that were for a lock: for the accept mutex, for the kernel's own lock of the listener, or for
    /// that of an epoll instance that all share. `voluntary_switches - lock_sleeps` is the wakeups.
    pub(super) lock_sleeps: u64,
}

impl Counts {
    /// Wakeups by what the tasks waited for, as the kernel's count of their sleeps has them.
    pub(super) fn wakeups(self) -> u64 {
        self.voluntary_switches.saturating_sub(self.lock_sleeps)
    }

    /// What was counted since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            accepted: self.accepted - earlier.accepted,
            eagain: self.eagain - earlier.eagain,
            wait_returns: self.wait_returns - earlier.wait_returns,
            voluntary_switches: self.voluntary_switches - earlier.voluntary_switches,
            lock_sleeps: self.lock_sleeps - earlier.lock_sleeps,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.eagain += other.eagain;
        self.wait_returns += other.wait_returns;
        self.voluntary_switches += other.voluntary_switches;
        self.lock_sleeps += other.lock_sleeps;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_names_that_scripts_read() {
        let worker = WorkerId { pid: 2, tid: 3 };
        let counts = Counts {
            accepted: 1,
            eagain: 2,
            wait_returns: 3,
            voluntary_switches: 4,
            lock_sleeps: 0,
        };
        let tally = Tally {
            connections: 1,
            seconds: 0.5,
            connection_seconds: 0.25,
            workers: vec![WorkerTally { worker, counts }],
            sum: counts,
        };
        assert_eq!(
            serde_json::to_string(&tally).expect("plain data"),
            r#"{"connections":1,"seconds":0.5,"connection_seconds":0.25,"#.to_owned()
                + r#""workers":[{"pid":2,"tid":3,"accepted":1,"eagain":2,"wait_returns":3,"#
                + r#""voluntary_switches":4,"lock_sleeps":0}],"#
                + r#""sum":{"accepted":1,"eagain":2,"wait_returns":3,"#
                + r#""voluntary_switches":4,"lock_sleeps":0}}"#
        );
        let ready = Ready {
            ready: true,
            pid: 1,
            netns: 4026531840,
            listeners: vec![ListenerAt { address: "::1".into(), port: 80, inode: 9 }],
            workers: vec![worker],
        };
        assert_eq!(
            serde_json::to_string(&ready).expect("plain data"),
            r#"{"ready":true,"pid":1,"netns":4026531840,"#.to_owned()
                + r#""listeners":[{"address":"::1","port":80,"inode":9}],"#
                + r#""workers":[{"pid":2,"tid":3}]}"#
        );
    }

    #[test]
    fn a_round_counts_from_its_own_beginning() {
        let earlier = Counts { accepted: 5, voluntary_switches: 7, ..Counts::default() };
        let later = Counts { accepted: 9, voluntary_switches: 8, ..Counts::default() };
        let mut sum = later.since(earlier);
        sum += Counts { eagain: 1, ..Counts::default() };
        assert_eq!((sum.accepted, sum.voluntary_switches, sum.eagain), (4, 1, 1));
    }
}
