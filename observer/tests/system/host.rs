//! What this machine can run.

use std::{path::Path, process::Command, sync::OnceLock};

use anyhow::{Context, anyhow, ensure};
use serde_json::Value;

use crate::{
    Need, Outcome, Test, nginx,
    observer::{Observer, program, provider},
};

/// What keeps tests from running; `None` where nothing does.
pub struct Host {
    root: Option<String>,
    kernel: Option<String>,
    nginx: Option<String>,
    polling_nginx: Option<String>,
    cgroup: Option<String>,
    ss: Option<String>,
}

/// Whoever names a provider expects that it can be had: this fails where it cannot, and the tests
/// that need it are skipped.
pub fn tests() -> Vec<Test> {
    let asked = provider().into_iter();
    asked
        .map(|asked| Test::new("host::the_provider_can_be_had", Need::Root, move || had(&asked)))
        .chain([Test::new("doctor::says_what_observer_takes", Need::Kernel, doctor_agrees)])
        .collect()
}

/// Why a provider that is named cannot be had.
pub fn provider_lacks() -> Option<String> {
    let reason = had(&provider()?).err()?;
    Some(format!("error: the provider cannot be had: {reason:#}"))
}

/// `observer doctor` tries each provider by itself; what it says is used must be what is.
fn doctor_agrees() -> Outcome {
    let output = Command::new(program()).args(["doctor", "--format", "json"]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    let doctor: Value = serde_json::from_slice(&output.stdout)?;
    let report = Observer::json_unforced(&["--duration", "1ms"])?.wait_total()?;
    let signals = doctor["signals"].as_array().context("signals")?;
    for name in ["wakeups", "accepts", "handshakes", "drops"] {
        let signal = signals.iter().find(|one| one["signal"] == name).context("signal")?;
        let taken = &report["providers"][name]["via"];
        ensure!(signal["via"] == *taken, "{name} is by {taken}: {signal}");
    }
    Ok(())
}

/// What the look at this machine found of the provider that is named.
fn had(provider: &str) -> Outcome {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| begins(provider).map_err(|error| format!("{error:?}")));
    found.clone().map_err(|error| anyhow!(error))
}

/// Whether observer begins to observe with this provider.
fn begins(provider: &str) -> Outcome {
    let arguments = ["--provider", provider, "--format", "json", "--duration", "1ms"];
    let output = Command::new(program()).args(arguments).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// Looks at this machine.
pub fn look() -> Host {
    let root = (!nix::unistd::geteuid().is_root()).then(|| "needs root".to_owned());
    let kernel = root.clone().or_else(|| {
        if let Some(asked) = provider() {
            return had(&asked).err().map(|_| format!("{asked} cannot be had"));
        }
        let doctor = Command::new(program()).arg("doctor").output();
        match doctor {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(format!(
                "this kernel cannot be observed: {}",
                String::from_utf8_lossy(&output.stdout).lines().nth(1).unwrap_or("doctor failed")
            )),
            Err(error) => Some(format!("the program does not start: {error}")),
        }
    });
    let nginx = (!Command::new(nginx::installed())
        .arg("-v")
        .output()
        .is_ok_and(|out| out.status.success()))
    .then(|| "nginx is not installed".to_owned());
    let polling_nginx = nginx::polling().err().map(|error| format!("{error:#}"));
    let cgroup = cgroup_root().is_none().then(|| "no cgroup hierarchy to write to".to_owned());
    let answers =
        |name| Command::new(name).arg("-V").output().is_ok_and(|out| out.status.success());
    let ss = (!(answers("ss") && answers("ip"))).then(|| "ss and ip are not installed".to_owned());
    Host { root, kernel, nginx, polling_nginx, cgroup, ss }
}

impl Host {
    /// Why a test with this need cannot run here.
    pub fn lacks(&self, need: Need) -> Option<String> {
        let Self { root, kernel, nginx, polling_nginx, cgroup, ss } = self;
        match need {
            Need::Nothing => None,
            Need::Root => root.clone(),
            Need::Kernel => kernel.clone(),
            Need::Also(lacking) => kernel.clone().or_else(lacking),
            Need::Ss => root.clone().or_else(|| ss.clone()),
            Need::Nginx => kernel.clone().or_else(|| nginx.clone()),
            Need::PollingNginx => kernel.clone().or_else(|| polling_nginx.clone()),
            Need::Cgroup => kernel.clone().or_else(|| cgroup.clone()),
        }
    }
}

/// Where a cgroup of version 2 can be made.
pub fn cgroup_root() -> Option<&'static Path> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].into_iter().map(Path::new).find(|root| {
        let probe = root.join(format!("observer-probe-{}", std::process::id()));
        root.join("cgroup.procs").exists()
            && std::fs::create_dir(&probe).is_ok()
            && std::fs::remove_dir(&probe).is_ok()
    })
}
