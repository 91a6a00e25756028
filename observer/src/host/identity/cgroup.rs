//! Container and unit of a process, by the names of its cgroups.

use crate::model::Container;

/// Digits of the id that the runtimes of containers give.
const ID: usize = 64;

/// Digits of it that their commands take, and that `ps` of them shows.
const SHORT_ID: usize = 12;

/// Prefixes of the scopes that systemd makes for runtimes (`docker-ID.scope`), and the runtimes.
const SCOPES: &[(&str, &str)] = &[
    ("docker-", "docker"),
    ("libpod-", "podman"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "cri-o"),
];

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
    let paths = || cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    Scope {
        container_id: paths().find_map(|path| Some(innermost(path)?.1.to_owned())),
        pod_uid: paths().find_map(pod_uid),
    }
}

/// The pod that a path lies in: `kubepods-burstable-podUID.slice` of systemd, in which dashes of the id are underscores
/// (`escapeSystemdCgroupName` of the kubelet), or a group `podUID` below `kubepods`.
fn pod_uid(path: &str) -> Option<String> {
    let mut below = false;
    for part in path.split('/') {
        if let Some(name) = part.strip_suffix(".slice")
            && name.contains("kubepods")
            && let Some((_, uid)) = name.rsplit_once("-pod")
            && !uid.is_empty()
        {
            return Some(uid.replace('_', "-"));
        }
        if below && let Some(uid) = part.strip_prefix("pod").filter(|uid| !uid.is_empty()) {
            return Some(uid.to_owned());
        }
        below |= part == "kubepods";
    }
    None
}

/// Unit and container of a process in these cgroups (`/proc/PID/cgroup`: a hierarchy, controllers and a path in
/// each line).
pub(super) fn place(cgroups: &str) -> (Option<String>, Option<Container>) {
    let paths = || cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    if let Some(container) = paths().find_map(container) {
        return (None, Some(container));
    }
    // The one hierarchy of version 2, or that of systemd.
    let of_systemd = cgroups.lines().filter_map(|line| {
        line.strip_prefix("0::").or_else(|| line.split_once(":name=systemd:").map(|(_, path)| path))
    });
    (of_systemd.filter_map(unit).next_back(), None)
}

/// The service of the system that a path lies in.
fn unit(path: &str) -> Option<String> {
    let mut parts = path.split('/').skip(1);
    if parts.next() != Some("system.slice") {
        return None;
    }
    parts.find(|part| part.ends_with(".service")).map(unescaped)
}

/// Names of cgroups that a file of the kernel could have begin with `_` (`cg_escape` of systemd).
fn unescaped(name: &str) -> String {
    name.strip_prefix('_').unwrap_or(name).to_owned()
}

fn container(path: &str) -> Option<Container> {
    let (runtime, id) = innermost(path)?;
    Some(Container {
        runtime: runtime.map(str::to_owned),
        id: if is_id(id) { id[..SHORT_ID].to_owned() } else { id.to_owned() },
        kubernetes: path.split('/').any(|part| part.starts_with("kubepods")),
    })
}

/// The innermost container that a path lies in: its runtime and its whole id.
fn innermost(path: &str) -> Option<(Option<&'static str>, &str)> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    // The innermost: containers run in containers.
    for (at, part) in parts.iter().enumerate().rev() {
        let name = part.strip_suffix(".scope").unwrap_or(part);
        for (prefix, runtime) in SCOPES {
            if let Some(id) = name.strip_prefix(prefix).filter(|id| is_id(id)) {
                return Some((Some(*runtime), id));
            }
        }
        let above = at.checked_sub(1).and_then(|above| parts.get(above)).copied();
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
            return Some(((above == Some("docker")).then_some("docker"), name));
        }
    }
    None
}

fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn told(cgroups: &str) -> (Option<String>, Option<Container>) {
        place(&cgroups.replace("ID", LONG))
    }

    fn one(
        runtime: Option<&str>,
        id: &str,
        kubernetes: bool,
    ) -> (Option<String>, Option<Container>) {
        let runtime = runtime.map(str::to_owned);
        (None, Some(Container { runtime, id: id.to_owned(), kubernetes }))
    }

    #[test]
    fn containers_are_known_by_their_runtime() {
        for (cgroups, runtime, kubernetes) in [
            ("0::/system.slice/docker-ID.scope\n", Some("docker"), false),
            ("0::/docker/ID\n", Some("docker"), false),
            (
                "4:memory:/docker/ID\n1:name=systemd:/docker/ID\n0::/system.slice/a.service\n",
                Some("docker"),
                false,
            ),
            ("0::/machine.slice/libpod-ID.scope/container\n", Some("podman"), false),
            (
                "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/\
                 cri-containerd-ID.scope\n",
                Some("containerd"),
                true,
            ),
            ("0::/kubepods/besteffort/pod1-2/ID\n", None, true),
            ("0::/../../docker/ID\n", Some("docker"), false),
            ("0::/default/ID\n", None, false),
        ] {
            assert_eq!(told(cgroups), one(runtime, &LONG[..12], kubernetes), "{cgroups}");
        }
        for (cgroups, runtime, name) in [
            ("0::/lxc.payload.web/system.slice/nginx.service\n", "lxc", "web"),
            ("0::/lxc/web\n", "lxc", "web"),
            ("0::/machine.slice/systemd-nspawn@web.service/payload\n", "systemd-nspawn", "web"),
        ] {
            assert_eq!(told(cgroups), one(Some(runtime), name, false), "{cgroups}");
        }
    }

    #[test]
    fn pods_and_whole_ids_are_told_by_both_kinds_of_names() {
        let scope = |cgroups: &str| scope(&cgroups.replace("ID", LONG));
        let both = |id: Option<&str>, pod: Option<&str>| Scope {
            container_id: id.map(str::to_owned),
            pod_uid: pod.map(str::to_owned),
        };
        let uid = "3a6f1b2c-0d4e-4f5a-8b6c-7d8e9f0a1b2c";
        for (cgroups, pod) in [
            (
                "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-ID.scope",
                uid,
            ),
            ("0::/kubepods.slice/kubepods-podUID.slice/crio-ID.scope/container", uid),
            (
                "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/\
              kubelet-kubepods-besteffort-podUID.slice/cri-containerd-ID.scope",
                uid,
            ),
        ] {
            let cgroups = cgroups.replace("UID", &uid.replace('-', "_"));
            assert_eq!(scope(&cgroups), both(Some(LONG), Some(pod)), "{cgroups}");
        }
        let by_groups = format!("4:memory:/kubepods/besteffort/pod{uid}/ID\n0::/\n");
        assert_eq!(scope(&by_groups), both(Some(LONG), Some(uid)));
        assert_eq!(scope("0::/system.slice/docker-ID.scope\n"), both(Some(LONG), None));
        assert_eq!(scope("0::/machine.slice/libpod-ID.scope/container\n"), both(Some(LONG), None));
        assert_eq!(scope("0::/lxc.payload.web/init.scope\n"), both(Some("web"), None));
        for none in [
            "",
            "nonsense",
            "0::/system.slice/a.service\n",
            "0::/kubepods/pod\n",
            "0::/podman/podx\n",
        ] {
            assert_eq!(scope(none), Scope::default(), "{none}");
        }
    }

    #[test]
    fn units_are_those_of_the_system() {
        let unit = |cgroups| told(cgroups).0;
        assert_eq!(unit("0::/system.slice/nginx.service\n").as_deref(), Some("nginx.service"));
        assert_eq!(
            unit("0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n")
                .as_deref(),
            Some("postgresql@15-main.service")
        );
        assert_eq!(
            unit("1:name=systemd:/system.slice/a.service\n0::/\n").as_deref(),
            Some("a.service")
        );
        for none in [
            "0::/user.slice/user-1000.slice/session-3.scope\n",
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n",
            "0::/\n",
            "nonsense",
            "",
        ] {
            assert_eq!(told(none), (None, None), "{none}");
        }
    }
}
