//! Commands that are right for where a server runs: its network namespace, its container, its unit.

use crate::model::{Container, Server};

/// Where a server runs, as far as that is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) server: Option<&'a Server>,
}

impl<'a> Place<'a> {
    fn unit(&self) -> Option<&'a str> {
        self.server.filter(|server| server.container.is_none())?.unit.as_deref()
    }

    fn container(&self) -> Option<&'a Container> {
        self.server?.container.as_ref()
    }

    /// Whether a restart takes the network namespace with it, as it does with a container's that is not a
    /// pod's: what was set in it is lost then.
    pub(super) fn loses_sysctls(&self) -> bool {
        self.server.is_some_and(|server| server.own_netns == Some(false))
            && self.container().is_some_and(|container| !container.kubernetes)
    }

    /// Sets a sysctl of the listener's network namespace, now and for good. `lasts` says that the namespace
    /// goes on, because the server need not be restarted.
    pub(super) fn sysctl(&self, name: &str, value: u64, lasts: bool) -> Vec<String> {
        let Some(server) = self.server.filter(|server| server.own_netns.is_some()) else {
            return vec![
                "# in the listener's network namespace:".to_owned(),
                format!("sysctl -w {name}={value}"),
            ];
        };
        if server.own_netns == Some(true) {
            return vec![
                format!("sysctl -w {name}={value}"),
                format!("echo '{name} = {value}' > /etc/sysctl.d/90-{name}.conf"),
            ];
        }
        let now = format!("nsenter --net=/proc/{}/ns/net sysctl -w {name}={value}", server.pid);
        let Some(container) = &server.container else {
            let where_made = "# for good: where this network namespace is made; a new one starts at the \
                              kernel's default";
            return vec![now, where_made.to_owned()];
        };
        let mut steps = Vec::new();
        if lasts || !self.loses_sysctls() {
            steps.push(now);
        }
        steps.extend(for_good(container, name, value));
        steps
    }

    /// Reloads the server. `command` is the one where no unit is known.
    pub(super) fn reload(&self, command: &str) -> Vec<String> {
        let step = match (self.container(), self.unit()) {
            (Some(container), _) if container.kubernetes => {
                format!("# in the container, as by kubectl exec: {command}")
            }
            (Some(container), _) => match container.command() {
                Some(tool) => format!("{tool} exec {} {command}", container.id),
                None => format!("# in the container: {command}"),
            },
            (None, Some(unit)) => format!("systemctl reload {unit}"),
            (None, None) => command.to_owned(),
        };
        vec![step]
    }

    /// Restarts the server, where what starts it is known.
    pub(super) fn restart(&self) -> Vec<String> {
        let step = match (self.container(), self.unit()) {
            (Some(container), _) if container.kubernetes => {
                Some("# then make the pod anew".to_owned())
            }
            // It was made anew, and so was started.
            (Some(_), _) if self.loses_sysctls() => None,
            (Some(container), _) => {
                container.command().map(|tool| format!("{tool} restart {}", container.id))
            }
            (None, Some(unit)) => Some(format!("systemctl restart {unit}")),
            (None, None) => None,
        };
        step.into_iter().collect()
    }

    /// Limits for a process that runs: its soft limit may be raised up to the hard one by anybody, and only
    /// where it is there already are both raised, which takes CAP_SYS_RESOURCE.
    fn at_once(&self, files: u64) -> String {
        let hard = self.server.and_then(|server| server.open_files_hard_limit);
        let soft = self.server.and_then(|server| server.open_files_limit);
        match hard.zip(soft) {
            Some((hard, soft)) if hard > soft => format!("{}:", files.min(hard)),
            _ => format!("{files}:{files}"),
        }
    }

    /// Raises the limit on open files: at once for these processes, and for good.
    pub(super) fn files(&self, pids: &[u32], files: u64) -> Vec<String> {
        let mut steps = Vec::new();
        if !pids.is_empty() {
            steps.push("# at once, until it is restarted:".to_owned());
            let limits = self.at_once(files);
            steps.extend(pids.iter().map(|pid| format!("prlimit --pid {pid} --nofile={limits}")));
        }
        match (self.container(), self.unit()) {
            (Some(container), _) if container.kubernetes => steps.push(
                "# for good: the limit of the node's container runtime (LimitNOFILE= of its unit)"
                    .to_owned(),
            ),
            (Some(container), _) => {
                if let Some(tool @ ("docker" | "podman")) = container.command() {
                    steps.push(format!("# for good: {tool} run --ulimit nofile={files}:{files} …"));
                }
            }
            (None, Some(unit)) => {
                let directory = format!("/etc/systemd/system/{unit}.d");
                steps.push(format!("mkdir -p {directory}"));
                steps.push(format!(
                    "printf '[Service]\\nLimitNOFILE={files}\\n' > {directory}/open-files.conf"
                ));
                steps.push(format!("systemctl daemon-reload && systemctl restart {unit}"));
            }
            (None, None) => {}
        }
        steps
    }
}

impl Container {
    /// The command that works on it by its id; `None` where it is not known.
    fn command(&self) -> Option<&'static str> {
        match self.runtime.as_deref()? {
            "docker" => Some("docker"),
            "podman" => Some("podman"),
            _ => None,
        }
    }
}

/// How a sysctl is set when a container is made.
fn for_good(container: &Container, name: &str, value: u64) -> Vec<String> {
    if container.kubernetes {
        let mut steps = vec![
            "# for good, in the pod's spec:".to_owned(),
            format!("securityContext: {{sysctls: [{{name: {name}, value: \"{value}\"}}]}}"),
        ];
        if name != "net.ipv4.tcp_syncookies" {
            steps.push(format!(
                "# and the kubelet of its node with: --allowed-unsafe-sysctls={name}"
            ));
        }
        return steps;
    }
    match container.command() {
        Some(tool) => vec![format!(
            "# for good, make the container anew with: {tool} run --sysctl {name}={value} …"
        )],
        None => vec![format!("# for good, make the container anew with {name}={value}")],
    }
}
