//! What to observe, and how.

use std::path::PathBuf;

use crate::probes::Provider;

/// Which listeners: values of one field are alternatives, and different fields must all hold. Without any
/// value these are all listeners of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Processes that hold it, or whose descendants do.
    pub pid: Vec<u32>,
    /// Local ports, host byte order.
    pub port: Vec<u16>,
    /// Names of processes that hold it (`/proc/PID/comm`).
    pub comm: Vec<String>,
    /// Control groups of processes that hold it, with the groups below them.
    pub cgroup: Vec<PathBuf>,
}

/// How a window is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Which listeners.
    pub filters: Filters,
    /// The only provider that may be used; `None` for the best that each signal can have.
    pub provider: Option<Provider>,
    /// Room for so many listeners in the kernel maps; `None` for as many as this host may come to have.
    pub max_listeners: Option<u32>,
    /// Whether interval reports repeat idle listeners instead of counting them.
    pub idle: bool,
    /// Whether the kernel programs send an event for each drop.
    pub drop_events: bool,
    /// Whether the kernel programs are loaded with their debug lines.
    pub debug_lines: bool,
}
