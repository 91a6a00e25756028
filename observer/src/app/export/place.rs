//! Places: where listeners are, in the words of labels.

use std::collections::BTreeSet;

use observer::model::Listener;

/// What the series of a listener are told apart by. Listeners that agree in all of it share their series: those of a
/// reuseport group, and one that is born again.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Inode number of the network namespace.
    pub netns: u64,
    /// Local port.
    pub port: u16,
    /// Local address.
    pub address: String,
    /// Name of the process that holds it; empty where that is not known.
    pub process: String,
    /// Container that the process runs in, by its cgroup; empty where it runs in none.
    pub container_id: String,
    /// Pod of Kubernetes that the process belongs to, by its cgroup; empty where it belongs to none.
    pub pod_uid: String,
}

impl Place {
    /// Name and value of each label, in their order.
    #[must_use]
    pub fn labels(&self) -> [(&'static str, String); 6] {
        [
            ("address", self.address.clone()),
            ("port", self.port.to_string()),
            ("netns", self.netns.to_string()),
            ("process", self.process.clone()),
            ("container_id", self.container_id.clone()),
            ("pod_uid", self.pod_uid.clone()),
        ]
    }
}

/// Names of the labels of each place, as [`Place::labels`] has them.
pub const LABELS: [&str; 6] = ["address", "port", "netns", "process", "container_id", "pod_uid"];

/// What a listener is known by while it lives: a number of a socket may be that of another one later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    netns: u64,
    inode: u64,
    cookie: Option<u64>,
}

impl Identity {
    /// Of a listener.
    #[must_use]
    pub fn of(listener: &Listener) -> Self {
        Self { netns: listener.netns, inode: listener.inode, cookie: listener.cookie }
    }
}

/// The process that stands for a listener's holders: a manager that holds the socket for others does not. `None` where
/// nobody is known.
#[must_use]
pub fn process(listener: &Listener) -> Option<(Option<u32>, String)> {
    let holders = listener.holders.as_deref().unwrap_or_default();
    let holder = holders.iter().min_by_key(|holder| (holder.pid == 1, holder.pid));
    if let Some(holder) = holder {
        return Some((Some(holder.pid), holder.comm.clone()));
    }
    let tasks = listener.workers.iter().filter(|worker| worker.pid.is_some());
    let most = tasks.max_by_key(|worker| worker.accepted)?;
    Some((most.pid, most.comm.clone()))
}

/// Processes that hold a listener.
#[must_use]
pub fn pids(listener: &Listener) -> BTreeSet<u32> {
    listener.holders.iter().flatten().map(|holder| holder.pid).collect()
}
