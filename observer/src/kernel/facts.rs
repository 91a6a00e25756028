//! What this host is and has: gathered here, decided on elsewhere.

use std::{collections::BTreeSet, ffi::OsStr, io, path::Path};

use nix::sys::utsname::{UtsName, uname};

use crate::{
    kernel::{
        btf::{BTF_PATH, Layout, Types},
        pid_namespace,
    },
    model::Host,
};

/// What this host allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The host itself.
    pub host: Host,
    /// The capabilities that observing needs and this process lacks.
    pub missing_capabilities: Vec<&'static str>,
    /// Where the kernel's fields lie, or why that is not known.
    pub layout: Result<Layout, String>,
    /// Tracepoints that BTF-typed programs can attach to, of those that observer knows.
    pub tracepoints: BTreeSet<&'static str>,
    /// Functions with type information, of those that observer knows.
    pub functions: BTreeSet<&'static str>,
    /// Whether there is IPv6 now: in a kernel without it, and in one whose module of it is not loaded,
    /// nobody can come by it.
    pub ipv6: bool,
    /// Inode number of the PID namespace whose numbers /proc shows, where it is not the initial one.
    pub pid_namespace: Option<u32>,
}

/// What IPv6 shows while it is there (`if6_proc_net_init`).
const IPV6: &str = "/proc/net/if_inet6";

/// Bit numbers of capabilities (include/uapi/linux/capability.h).
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

impl Facts {
    /// Gathers the facts; what cannot be had is a fact too.
    pub fn gather(tracepoints: &[&'static str], functions: &[&'static str]) -> Self {
        let types =
            Types::of_kernel(functions).map_err(|error| match error.downcast_ref::<io::Error>() {
                Some(cause) if cause.kind() == io::ErrorKind::NotFound => {
                    format!("this kernel publishes no type information ({BTF_PATH} is not there)")
                }
                _ => format!("{error:#}"),
            });
        Self {
            host: host(),
            missing_capabilities: missing_capabilities(effective_capabilities()),
            tracepoints: of_those(&types, tracepoints, Types::has_tracepoint),
            functions: of_those(&types, functions, Types::has_function),
            ipv6: Path::new(IPV6).exists(),
            pid_namespace: pid_namespace::of_proc(),
            layout: types.and_then(|types| types.layout().map_err(|error| format!("{error:#}"))),
        }
    }
}

/// Which of `names` the kernel has; none where its types cannot be read.
fn of_those(
    types: &Result<Types, String>,
    names: &[&'static str],
    has: impl Fn(&Types, &str) -> bool,
) -> BTreeSet<&'static str> {
    let Ok(types) = types else { return BTreeSet::new() };
    names.iter().copied().filter(|name| has(types, name)).collect()
}

/// This process's effective capabilities; none when /proc does not tell.
fn effective_capabilities() -> u64 {
    procfs::process::Process::myself()
        .and_then(|process| process.status())
        .map_or(0, |status| status.capeff)
}

/// Which of the capabilities that observing needs are not among `effective`.
///
/// Loading takes CAP_BPF, tracing takes CAP_PERFMON, and CAP_SYS_ADMIN stands for both
/// (kernel/bpf/syscall.c, `bpf_prog_load`). Other network namespaces are entered by `setns`, which
/// takes CAP_SYS_ADMIN itself; without it they are left out, which is no reason not to start.
fn missing_capabilities(effective: u64) -> Vec<&'static str> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    if has(CAP_SYS_ADMIN) {
        return Vec::new();
    }
    [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")]
        .into_iter()
        .filter(|(bit, _)| !has(*bit))
        .map(|(_, name)| name)
        .collect()
}

/// This host: its kernel, and what that runs on.
#[must_use]
pub fn host() -> Host {
    let name = uname();
    let text = |of: fn(&UtsName) -> &OsStr| {
        name.as_ref().map_or_else(|_| "?".into(), |name| of(name).to_string_lossy().into_owned())
    };
    Host {
        kernel: text(UtsName::release),
        arch: text(UtsName::machine),
        cpus: aya::util::online_cpus().map_or(1, |cpus| cpus.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::{CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, missing_capabilities};

    #[test]
    fn each_missing_capability_is_named() {
        let bit = |number: u32| 1_u64 << number;
        assert_eq!(missing_capabilities(0), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing_capabilities(bit(CAP_BPF)), ["CAP_PERFMON"]);
        assert_eq!(missing_capabilities(bit(CAP_PERFMON)), ["CAP_BPF"]);
        assert!(missing_capabilities(bit(CAP_BPF) | bit(CAP_PERFMON)).is_empty());
        assert!(missing_capabilities(bit(CAP_SYS_ADMIN)).is_empty());
    }
}
