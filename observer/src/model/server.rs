//! The program that listens: which server it is, and where it runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Program that holds a listener, as far as its executable, arguments, title and task names tell, and where
/// it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Server {
    /// Name of the server, such as `nginx`; `null` where it was not recognised.
    pub name: Option<String>,
    /// Reason why it may be another server; `null` where there is none, and where `name` is `null`.
    pub doubt: Option<String>,
    /// Id of the process that was looked at, as /proc shows it: of several holders, one that accepts.
    pub pid: u32,
    /// Unit of systemd that the process belongs to, such as `nginx.service`, by its cgroup; `null` where it
    /// belongs to none or that is not known.
    pub unit: Option<String>,
    /// Container that the process runs in, by its cgroup; `null` where it runs in none or that is not known.
    pub container: Option<Container>,
    /// Whether the listener is in the network namespace that observer runs in, so that `sysctl` typed there
    /// sets its limits; `null` where that is not known.
    pub own_netns: Option<bool>,
    /// Soft limit on the process's open files (RLIMIT_NOFILE); `null` where it is unlimited or not known.
    pub open_files_limit: Option<u64>,
    /// Hard limit on them, up to which anybody may raise the soft one; `null` where it is unlimited or not known.
    pub open_files_hard_limit: Option<u64>,
}

/// Container that a process runs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Container {
    /// What runs it: `docker`, `podman`, `containerd`, `cri-o`, `lxc`, `systemd-nspawn`; `null` where only
    /// the form of the id tells that it is one.
    pub runtime: Option<String>,
    /// Its id or name, as the runtime's commands take it.
    pub id: String,
    /// Whether it belongs to a pod of Kubernetes.
    pub kubernetes: bool,
}
