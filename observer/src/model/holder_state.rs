//! What the tasks of a listener's holders were doing when somebody looked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Task of a process that holds a listener, as /proc shows it when the report is made: what it does instead of
/// accepting, and how many descriptors its process has left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HolderState {
    /// Process id, as /proc shows it.
    pub pid: u32,
    /// Thread id: a worker of the listener where one of the process is known, else the main thread.
    pub tid: u32,
    /// Name of the task (`/proc/PID/task/TID/comm`), at most 15 bytes.
    pub comm: String,
    /// State letter of `/proc/PID/task/TID/stat`: `R` runs or wants to, `S` sleeps, `D` sleeps
    /// uninterruptibly, `T` is stopped by a signal, `t` by a tracer, `Z` has ended; `null` where it could not
    /// be read.
    pub state: Option<char>,
    /// Whether the process's control group is frozen (`cgroup.events`, or `freezer.state` of version 1);
    /// `null` where it could not be read.
    pub frozen: Option<bool>,
    /// System call in which the task sleeps; its number where the name is not known. `null` where the task
    /// runs, sleeps outside of a call, or could not be looked at.
    pub call: Option<String>,
    /// Kernel function in which the task sleeps (`/proc/PID/task/TID/wchan`); `null` where the kernel does not
    /// tell.
    pub wchan: Option<String>,
    /// Descriptors that the process has open; `null` where they could not be counted.
    pub descriptors: Option<u64>,
    /// Descriptors that the process had open when the window began or when it was first looked at since;
    /// `null` where nobody looked before.
    pub descriptors_before: Option<u64>,
    /// Soft limit on descriptors of the process (RLIMIT_NOFILE); `null` where it could not be read, and
    /// where there is none.
    pub descriptor_limit: Option<u64>,
}
