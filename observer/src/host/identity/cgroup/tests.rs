//! Paths of cgroups as runtimes and systemd make them.

use super::*;

const LONG: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn told(cgroups: &str) -> (Option<String>, Option<Container>) {
    place(&cgroups.replace("ID", LONG))
}

fn one(runtime: Option<&str>, id: &str, kubernetes: bool) -> (Option<String>, Option<Container>) {
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
    let uid = UID;
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
    for none in
        ["", "nonsense", "0::/system.slice/a.service\n", "0::/kubepods/pod\n", "0::/podman/podx\n"]
    {
        assert_eq!(scope(none), Scope::default(), "{none}");
    }
}

#[test]
fn units_are_those_of_the_system() {
    let unit = |cgroups| told(cgroups).0;
    assert_eq!(unit("0::/system.slice/nginx.service\n").as_deref(), Some("nginx.service"));
    assert_eq!(
        unit("0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n").as_deref(),
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

const UID: &str = "3a6f1b2c-0d4e-4f5a-8b6c-7d8e9f0a1b2c";

/// Paths as a host has them, and as a container with a cgroup namespace of its own sees them (`cgroup_path_ns`): up from
/// its own group, and down again. `None`: what such a path does not tell.
#[test]
fn from_inside_of_a_container_the_same_is_known() {
    let slices = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice";
    for (cgroups, runtime, pod) in [
        // Systemd's names: containerd and CRI-O, of the own class of service and of another.
        (format!("0::/{slices}/cri-containerd-ID.scope"), "containerd", true),
        ("0::/../../kubepods-burstable-podUID.slice/cri-containerd-ID.scope".into(), "containerd", true),
        (
            "0::/../../../kubepods-besteffort.slice/kubepods-besteffort-podUID.slice/cri-containerd-ID.scope"
                .into(),
            "containerd",
            true,
        ),
        ("0::/../../kubepods-podUID.slice/crio-ID.scope/container".into(), "cri-o", true),
        // Another container of the own pod: its pod is not in the path.
        ("0::/../cri-containerd-ID.scope".into(), "containerd", false),
        // Groups without systemd: `kubepods` is above what is shown.
        ("0::/kubepods/burstable/podUID/ID".into(), "", true),
        ("0::/../../podUID/ID".into(), "", true),
        ("0::/../../../besteffort/podUID/ID".into(), "", true),
        ("0::/../../podUID/crio-ID".into(), "cri-o", true),
        // Version 1: a line for each hierarchy.
        (
            format!("12:pids:/{slices}/docker-ID.scope\n1:name=systemd:/{slices}/docker-ID.scope"),
            "docker",
            true,
        ),
        ("11:memory:/../../podUID/ID\n1:name=systemd:/../../podUID/ID\n0::/".into(), "", true),
        // containerd that makes groups itself below a kubelet that names slices.
        (
            "0::/system.slice/containerd.service/kubepods-burstable-podUID.slice:cri-containerd:ID".into(),
            "containerd",
            true,
        ),
        ("0::/../kubepods-burstable-podUID.slice:cri-containerd:ID".into(), "containerd", true),
        // kind and k3d: a node in a container, seen from the host and from the node.
        (
            "0::/system.slice/docker-NODE.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/\
             kubelet-kubepods-burstable-podUID.slice/cri-containerd-ID.scope"
                .into(),
            "containerd",
            true,
        ),
        (
            "0::/../../../kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-podUID.slice/\
             cri-containerd-ID.scope"
                .into(),
            "containerd",
            true,
        ),
        ("0::/docker/NODE/kubepods/besteffort/podUID/ID".into(), "", true),
        // A node in a pod: the inner pod is meant, as the inner container is.
        (
            "0::/kubepods/burstable/pod00000000-0000-0000-0000-000000000000/NODE/kubepods/burstable/podUID/ID".into(),
            "",
            true,
        ),
        ("0::/docker/NODE/docker/ID".into(), "docker", false),
        ("0::/../NODE/docker/ID".into(), "docker", false),
        ("0::/../docker-ID.scope".into(), "docker", false),
        ("0::/../libpod-ID.scope/container".into(), "podman", false),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container".into(),
            "podman",
            false,
        ),
        ("0::/machine.slice/machine-libpod_pod_NODE.slice/libpod-ID.scope".into(), "podman", false),
        ("0::/libpod_parent/libpod-ID".into(), "podman", false),
        // Its group is gone, and it is not yet.
        ("0::/../docker-ID.scope (deleted)".into(), "docker", false),
    ] {
        let node = LONG.chars().rev().collect::<String>();
        let slice = cgroups.contains(".slice");
        let uid = if slice { UID.replace('-', "_") } else { UID.to_owned() };
        let cgroups = cgroups.replace("UID", &uid).replace("NODE", &node).replace("ID", LONG);
        let expected = Scope {
            container_id: Some(LONG.to_owned()),
            pod_uid: pod.then(|| UID.to_owned()),
        };
        assert_eq!(scope(&cgroups), expected, "{cgroups}");
        let runtime = Some(runtime).filter(|name| !name.is_empty());
        assert_eq!(place(&cgroups), one(runtime, &LONG[..12], pod), "{cgroups}");
    }
}

/// A pod that the node itself keeps has the hash of its configuration.
#[test]
fn pods_of_the_node_itself_have_other_ids() {
    let hash = &LONG[..32];
    for cgroups in [
        format!(
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{hash}.slice/crio-{LONG}.scope"
        ),
        format!("0::/kubepods/burstable/pod{hash}/{LONG}"),
        format!("0::/../../pod{hash}/{LONG}"),
    ] {
        assert_eq!(scope(&cgroups).pod_uid.as_deref(), Some(hash), "{cgroups}");
    }
}

/// What only looks like a pod or a container.
#[test]
fn neighbours_of_containers_are_none() {
    for cgroups in [
        "0::/",
        "0::/../..",
        "0::/../../podman/web",
        "0::/../../pods.slice",
        "0::/../../pod1-2/web",
        "0::/machine.slice/libpod-conmon-ID.scope",
        "0::/system.slice/crio-conmon-ID.scope",
        "0::/init.scope",
        "0::/system.slice/docker.service",
        "0::/../../../system.slice/containerd.service",
    ] {
        let cgroups = cgroups.replace("ID", LONG);
        assert_eq!(scope(&cgroups), Scope::default(), "{cgroups}");
        assert_eq!(place(&cgroups).1, None, "{cgroups}");
    }
}

#[test]
fn units_are_known_from_inside_of_a_container_too() {
    for cgroups in [
        "0::/../../../../system.slice/nginx.service",
        "12:pids:/../../../system.slice/nginx.service\n1:name=systemd:/../../../system.slice/nginx.service\n0::/",
        // From a container that is in that slice itself.
        "0::/../nginx.service",
        "0::/../nginx.service (deleted)",
        "0::/../../system.slice/system-nginx.slice/nginx.service/worker",
    ] {
        assert_eq!(place(cgroups), (Some("nginx.service".to_owned()), None), "{cgroups}");
    }
    for none in [
        "0::/../../user.slice/user-1000.slice/user@1000.service/app.slice/web.service",
        "0::/web.service",
    ] {
        assert_eq!(place(none), (None, None), "{none}");
    }
    let colon = "0::/system.slice/sys-a:b.service";
    assert_eq!(place(colon).0.as_deref(), Some("sys-a:b.service"));
}
