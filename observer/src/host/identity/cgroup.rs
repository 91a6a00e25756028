//! Container and unit of a process, by the names of its cgroups.

use crate::model::Container;

/// Digits of the id that the runtimes of containers give.
const ID: usize = 64;

/// Digits of it that their commands take, and that `ps` of them shows.
const SHORT_ID: usize = 12;

/// Digits of a pod's id.
const UID: usize = 32;

/// Prefixes of the scopes that systemd makes for runtimes (`docker-ID.scope`), and the runtimes.
const SCOPES: &[(&str, &str)] = &[
    ("docker-", "docker"),
    ("libpod-", "podman"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "cri-o"),
];

/// Groups in which runtimes make one for each container, named by its id alone, and the runtimes.
const GROUPS: &[(&str, &str)] = &[("docker", "docker"), ("cri-containerd", "containerd")];

/// Container and pod that a process runs in, by the names of its cgroups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Whole id or name of the container, as the runtime's programming interface has it.
    pub container_id: Option<String>,
    /// Pod's `metadata.uid` in Kubernetes, or the hash of its configuration where the node itself keeps it.
    pub pod_uid: Option<String>,
}

/// Where a process in these cgroups runs.
pub(super) fn scope(cgroups: &str) -> Scope {
    let paths: Vec<Path<'_>> = paths(cgroups).map(Path::of).collect();
    Scope {
        container_id: paths.iter().find_map(|path| Some(path.innermost()?.1.to_owned())),
        pod_uid: paths.iter().find_map(Path::pod_uid),
    }
}

/// Unit and container of a process in these cgroups (`/proc/PID/cgroup`: a hierarchy, controllers and a path in
/// each line).
pub(super) fn place(cgroups: &str) -> (Option<String>, Option<Container>) {
    if let Some(container) = paths(cgroups).find_map(|path| Path::of(path).container()) {
        return (None, Some(container));
    }
    // The one hierarchy of version 2, or that of systemd.
    let of_systemd = cgroups.lines().filter_map(|line| {
        line.strip_prefix("0::").or_else(|| line.split_once(":name=systemd:").map(|(_, path)| path))
    });
    (of_systemd.filter_map(|path| Path::of(path).unit()).next_back(), None)
}

fn paths(cgroups: &str) -> impl Iterator<Item = &str> {
    cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2))
}

/// Path of a cgroup, by its names.
struct Path<'a> {
    /// Whether it begins outside of the cgroup namespace that this is looked at from, as those of other pods do for a pod
    /// that has one of its own (`/../../kubepods-besteffort-podUID.slice/…`): then the names above are not known.
    outside: bool,
    /// The names, the outermost first.
    names: Vec<&'a str>,
}

impl<'a> Path<'a> {
    fn of(path: &'a str) -> Self {
        // One that was removed with a process in it.
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        // A runtime that was told a slice of systemd and makes its groups itself joins slice, prefix and id by colons.
        let apart = |name: &'a str| name.split(if name.contains(".slice:") { ':' } else { '/' });
        let names = || path.split('/').flat_map(apart).filter(|name| !name.is_empty());
        Self {
            outside: names().next() == Some(".."),
            names: names().skip_while(|name| *name == "..").collect(),
        }
    }

    /// The pod that it lies in: `kubepods-burstable-podUID.slice` of systemd, in which dashes of the id are underscores
    /// (`escapeSystemdCgroupName` of the kubelet), or a group `podUID` below `kubepods`.
    fn pod_uid(&self) -> Option<String> {
        let mut below = false;
        // The innermost, as with containers: nodes run in pods.
        let mut found = None;
        for name in &self.names {
            if let Some(slice) = name.strip_suffix(".slice")
                && slice.contains("kubepods")
                && let Some((_, uid)) = slice.rsplit_once("-pod")
                && !uid.is_empty()
            {
                found = Some(uid.replace('_', "-"));
            } else if let Some(uid) = name.strip_prefix("pod")
                // Seen from another pod, `kubepods` may be above what is shown.
                && (below && !uid.is_empty() || self.outside && is_uid(uid))
            {
                found = Some(uid.to_owned());
            }
            below |= *name == "kubepods";
        }
        found
    }

    /// The service of the system that it lies in.
    fn unit(&self) -> Option<String> {
        let mut names = self.names.iter();
        let first = names.next()?;
        let found = if *first == "system.slice" {
            names.find(|name| name.ends_with(".service"))
        } else {
            // Seen from another group of `system.slice`, which is not shown then.
            Some(first).filter(|name| self.outside && name.ends_with(".service"))
        };
        found.map(|name| unescaped(name))
    }

    fn container(&self) -> Option<Container> {
        let (runtime, id) = self.innermost()?;
        Some(Container {
            runtime: runtime.map(str::to_owned),
            id: if is_id(id) { id[..SHORT_ID].to_owned() } else { id.to_owned() },
            kubernetes: self.pod_uid().is_some()
                || self.names.iter().any(|name| name.contains("kubepods")),
        })
    }

    /// The innermost container that it lies in: its runtime and its whole id.
    fn innermost(&self) -> Option<(Option<&'static str>, &'a str)> {
        // The innermost: containers run in containers.
        for (at, part) in self.names.iter().enumerate().rev() {
            let name = part.strip_suffix(".scope").unwrap_or(part);
            for (prefix, runtime) in SCOPES {
                if let Some(id) = name.strip_prefix(prefix).filter(|id| is_id(id)) {
                    return Some((Some(*runtime), id));
                }
            }
            let above = at.checked_sub(1).and_then(|above| self.names.get(above)).copied();
            if let Some(name) = name.strip_prefix("lxc.payload.") {
                return Some((Some("lxc"), name));
            }
            if above == Some("lxc") {
                return Some((Some("lxc"), name));
            }
            if let Some(name) = name.strip_prefix("systemd-nspawn@") {
                let name = name.strip_suffix(".service").unwrap_or(name);
                return Some((Some("systemd-nspawn"), name));
            }
            if is_id(name) {
                let runtime = GROUPS.iter().find(|(group, _)| above == Some(*group));
                return Some((runtime.map(|(_, runtime)| *runtime), name));
            }
        }
        None
    }
}

/// Names of cgroups that a file of the kernel could have begin with `_` (`cg_escape` of systemd).
fn unescaped(name: &str) -> String {
    name.strip_prefix('_').unwrap_or(name).to_owned()
}

fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether this is an id of a pod: a UUID, or the hash of a configuration that the node itself keeps.
fn is_uid(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    let dashes = text.bytes().filter(|byte| *byte == b'-').count();
    digits == UID && digits + dashes == text.len() && [0, 4].contains(&dashes)
}

#[cfg(test)]
mod tests;
