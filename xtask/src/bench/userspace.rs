//! What observer's own process needs: time to start, CPU and memory at one report a second, the memory
//! of its maps, and the size of its program.

use std::{
    collections::BTreeSet,
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{time::clock_getcpuclockid, unistd::Pid};
use serde_json::Value;

use super::{
    figure::{Along, Figure, Missing, Need, Point},
    inventory::inventory,
    stats::median,
    told::role,
    tool::{Ready, Tool},
};
use crate::workspace::Workspace;

/// Server beside which observer is looked at.
#[derive(Clone, Copy, Debug)]
struct Held {
    listeners: u64,
    /// Tasks that wait for the first of them.
    workers: u64,
    /// Connections that come to it each second.
    rate: u64,
}

/// Servers with tenfold listeners, workers and connections a second, twice; and with listeners once more.
const HELD: [Held; 10] = [
    Held { listeners: 10, workers: 0, rate: 0 },
    Held { listeners: 100, workers: 0, rate: 0 },
    Held { listeners: 1000, workers: 0, rate: 0 },
    Held { listeners: 10_000, workers: 0, rate: 0 },
    Held { listeners: 10, workers: 10, rate: 0 },
    Held { listeners: 10, workers: 100, rate: 0 },
    Held { listeners: 10, workers: 1000, rate: 0 },
    Held { listeners: 10, workers: 2, rate: 10 },
    Held { listeners: 10, workers: 2, rate: 100 },
    Held { listeners: 10, workers: 2, rate: 1000 },
];

impl Held {
    fn name(self) -> String {
        let Self { listeners, workers, rate } = self;
        match rate {
            0 => format!("{listeners} listeners, {workers} workers"),
            _ => format!("{listeners} listeners, {workers} workers, {rate} connections a second"),
        }
    }

    /// Dimension along which this server is one point, and its size there.
    fn along(self) -> (Along, u64) {
        match self {
            Self { rate: 1.., .. } => (Along::Rate, self.rate),
            Self { workers: 1.., .. } => (Along::Workers, self.workers),
            _ => (Along::Listeners, self.listeners),
        }
    }
}

/// Time for which observer is looked at, after its first reports.
const WINDOW: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_secs(3);
/// Starts, of which the middle one counts.
const STARTS: usize = 3;
/// Listeners of the machine itself that make no difference.
const OTHERS: u64 = 50;
const MIB: f64 = 1024.0 * 1024.0;

/// Measures all of it.
pub(super) fn measure(workspace: &Workspace, observer: &str) -> Result<Vec<Figure>> {
    let mut all = Vec::new();
    for held in HELD {
        eprintln!("userspace: {}", held.name());
        match watch(observer, held) {
            Ok(figures) => all.extend(figures),
            Err(error) => {
                let (what, why) = (held.name(), format!("{error:#}").replace('\n', " "));
                eprintln!("userspace: {what}: {why}");
                all.push(Figure::Missing(Missing { what, why }));
            }
        }
    }
    let bytes = fs::metadata(static_program(workspace)?)?.len();
    all.push(Figure::Need(Need {
        what: "program, static and stripped".to_owned(),
        value: bytes as f64 / MIB,
        unit: "MiB".to_owned(),
        target: Some(8.0),
    }));
    Ok(all)
}

/// Needs beside a server, each also as a point of its growth.
fn watch(observer: &str, held: Held) -> Result<Vec<Figure>> {
    let Held { listeners, workers, rate } = held;
    let mut role = role(&["idle", "--listeners", &listeners.to_string()])?;
    role.args(["--workers", &workers.to_string(), "--rate", &rate.to_string()]);
    let holder = Tool::start(role, Ready::Says("{"))?;
    let start = || {
        let mut command = Command::new(observer);
        command.args(["--interval", "1s", "--format", "json"]);
        Tool::start(command, Ready::Says("observing"))
    };
    let mut tool = start()?;
    let mut starts = vec![tool.took.as_secs_f64() * 1000.0];
    for _ in 1..STARTS {
        tool.end()?;
        tool = start()?;
        starts.push(tool.took.as_secs_f64() * 1000.0);
    }
    thread::sleep(SETTLE);
    let (began, before) = (Instant::now(), cpu(tool.pid())?);
    thread::sleep(WINDOW);
    let took = began.elapsed();
    let used = cpu(tool.pid())?.saturating_sub(before);
    let (resident, greatest) = (memory(tool.pid(), "VmRSS:")?, memory(tool.pid(), "VmHWM:")?);
    let maps = maps(observer, tool.pid())?;
    // It observes every listener of the machine, at the beginning and at the end.
    for there in [observed(&tool.said)?, existing(observer)?] {
        let others = there.saturating_sub(held.listeners);
        if others > OTHERS {
            bail!("{others} other listeners are on this machine: run again when they are gone");
        }
    }
    let attached = median(&starts).context("no start")?;
    tool.end()?;
    holder.end()?;
    let busy = 100.0 * used.as_secs_f64() / took.as_secs_f64();
    let one_percent = (held.listeners == 10_000).then_some(1.0);
    // With what two measurements of the same differ by.
    let needs = [
        ("CPU", busy, "% of one", one_percent, 0.5),
        ("resident", resident / MIB, "MiB", Some(40.0), 0.5),
        ("resident at most, ever", greatest / MIB, "MiB", None, 0.5),
        ("start to observing", attached, "ms", Some(1000.0), 200.0),
        ("kernel maps", maps / MIB, "MiB", None, 0.01),
    ];
    let (along, at) = held.along();
    let both = |(what, value, unit, target, noise): (&str, f64, &str, Option<f64>, f64)| {
        let need =
            Need { what: format!("{}: {what}", held.name()), value, unit: unit.to_owned(), target };
        let point = Point { along, at, what: format!("{what}, {unit}"), value, noise };
        [Figure::Need(need), Figure::Point(point)]
    };
    Ok(needs.into_iter().flat_map(both).collect())
}

/// Number of listeners that observer said it observes.
fn observed(said: &str) -> Result<u64> {
    let count = said.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    count.with_context(|| format!("how many listeners? {said}"))
}

/// Number of listeners that this machine has now.
pub(crate) fn existing(observer: &str) -> Result<u64> {
    let output = Command::new(observer).args(["listeners", "--format", "json"]).output()?;
    let all: Value =
        serde_json::from_slice(&output.stdout).context("the listeners are not told")?;
    Ok(all["listeners"].as_array().context("no listeners")?.len() as u64)
}

/// Time of a process on a CPU: of all its threads, also of those that ended, as each does that entered network namespaces.
pub(crate) fn cpu(pid: Pid) -> Result<Duration> {
    Ok(clock_getcpuclockid(pid)?.now()?.into())
}

/// Amount of memory in the process's status, in bytes.
pub(crate) fn memory(pid: Pid, name: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .context("the kernel does not tell memory")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024.0)
}

/// Bytes of the maps that the process has open, as the kernel tells them.
fn maps(observer: &str, pid: Pid) -> Result<f64> {
    let mut ids = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let id = text.lines().find_map(|line| line.strip_prefix("map_id:"));
        ids.extend(id.and_then(|id| id.trim().parse::<u64>().ok()));
    }
    let maps = inventory(observer, "map")?;
    let ours = maps.iter().filter(|(id, _)| ids.contains(id));
    let bytes: Vec<_> = ours.filter_map(|(_, map)| map["bytes"].as_f64()).collect();
    if bytes.is_empty() {
        bail!("observer holds no maps");
    }
    Ok(bytes.iter().sum())
}

/// observer as it would be given away: one file that needs no library.
fn static_program(workspace: &Workspace) -> Result<std::path::PathBuf> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    eprintln!("userspace: building a static program");
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--quiet", "--release", "--package", "observer", "--target", TARGET]);
    cargo.args(["--config", "profile.release.strip=true"]);
    cargo.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    if !cargo.status()?.success() {
        bail!("the static program was not built: Cargo's messages above say why");
    }
    Ok(workspace.target().join(TARGET).join("release/observer"))
}
