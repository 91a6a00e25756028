//! What to observe, and how.

use std::{path::PathBuf, time::Duration};

pub use observer_common::event::EventKind;

pub use crate::probes::Provider;

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

impl Filters {
    /// Whether they ask who holds a listener.
    #[must_use]
    pub fn ask_for_processes(&self) -> bool {
        let Self { pid, comm, cgroup, port: _ } = self;
        !(pid.is_empty() && comm.is_empty() && cgroup.is_empty())
    }
}

/// How a window is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Which listeners.
    pub filters: Filters,
    /// When reports are made, beside the total at the end.
    pub reports: Reports,
    /// Kinds of events that are told. The kernel programs send no other.
    pub events: Vec<EventKind>,
    /// The only provider that may be used; `None` for the best that each signal can have.
    pub provider: Option<Provider>,
    /// Room for so many listeners in the kernel maps; `None` for as many as this host may come to have.
    pub max_listeners: Option<u32>,
    /// Whether the CPU time of wakeups in vain is measured: a program more, at every switch between tasks.
    pub cost: bool,
    /// Kernel memory for all maps together, in MiB; `None` for [`crate::plan::BUDGET`].
    pub map_memory: Option<u32>,
    /// Whether every map is as small as it may be, to see what happens where they are full.
    pub least_maps: bool,
    /// Whether reports repeat idle listeners instead of counting them. The total at the end always has all.
    pub idle: bool,
    /// Whether closed listeners are forgotten once the report of an interval has told of them, so that a window can be open
    /// for ever: the total at the end lacks them. Otherwise thousands of them are kept, and read for each report.
    pub forget_closed: bool,
    /// Whether the kernel programs are loaded with their debug lines.
    pub debug_lines: bool,
}

/// When reports are made, beside the total at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reports {
    /// Never.
    #[default]
    AtTheEnd,
    /// With this period, each about the time since the one before.
    Intervals(Duration),
    /// With this period, each about everything since the window opened.
    SoFar(Duration),
}
