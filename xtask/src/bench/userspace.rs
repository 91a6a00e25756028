//! What observer's own process needs: time to start, CPU and memory at one report a second, the memory
//! of its maps, and the size of its program.

use std::{
    collections::BTreeSet,
    env, fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::unistd::Pid;
use serde_json::Value;

use super::{
    Measured,
    figure::{Figure, Missing, Need},
    native::HERE,
    tool::{Ready, Tool},
};
use crate::workspace::Workspace;

/// Listeners that are there, and tasks that wait for the first of them.
const HELD: [(usize, u32); 4] = [(10, 0), (1000, 0), (10_000, 0), (10, 1000)];
/// So long reports are looked at, after the first ones.
const WINDOW: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_secs(3);
const MIB: f64 = 1024.0 * 1024.0;

/// Measures all of it.
pub(super) fn measure(
    workspace: &Workspace,
    observer: &str,
    all: &mut Vec<Measured>,
) -> Result<()> {
    for (listeners, workers) in HELD {
        let what = format!("{listeners} listeners, {workers} workers");
        match held(observer, listeners, workers, &what) {
            Ok(needs) => all.extend(needs.into_iter().map(|need| measured(Figure::Need(need)))),
            Err(error) => {
                let why = format!("{error:#}").replace('\n', " ");
                eprintln!("userspace: {what}: {why}");
                all.push(measured(Figure::Missing(Missing { what, why })));
            }
        }
    }
    let bytes = fs::metadata(static_program(workspace)?)?.len();
    let what = "program, static and stripped".to_owned();
    all.push(measured(Figure::Need(need(what, bytes as f64 / MIB, "MiB", Some(8.0)))));
    Ok(())
}

fn measured(figure: Figure) -> Measured {
    Measured { place: HERE.to_owned(), figure }
}

fn need(what: String, value: f64, unit: &str, target: Option<f64>) -> Need {
    Need { what, value, unit: unit.to_owned(), target }
}

fn held(observer: &str, listeners: usize, workers: u32, what: &str) -> Result<Vec<Need>> {
    let mut role = Command::new(env::current_exe()?);
    role.args(["bench-role", "hold", "--listeners", &listeners.to_string()]);
    role.args(["--workers", &workers.to_string()]);
    let holder = Tool::start(role, Ready::Says("{"))?;
    let mut command = Command::new(observer);
    command.args(["--interval", "1s", "--format", "json"]);
    let tool = Tool::start(command, Ready::Says("observing"))?;
    thread::sleep(SETTLE);
    let (began, before) = (Instant::now(), cpu(tool.pid())?);
    thread::sleep(WINDOW);
    let took = began.elapsed();
    let used = cpu(tool.pid())?.saturating_sub(before);
    let (resident, greatest) = (memory(tool.pid(), "VmRSS:")?, memory(tool.pid(), "VmHWM:")?);
    let maps = maps(observer, tool.pid())?;
    let attached = tool.took.as_secs_f64() * 1000.0;
    tool.end()?;
    holder.end()?;
    let target = |value, holds: bool| holds.then_some(value);
    Ok(vec![
        need(
            format!("{what}: CPU"),
            100.0 * used.as_secs_f64() / took.as_secs_f64(),
            "% of one",
            target(1.0, listeners == 10_000),
        ),
        need(format!("{what}: resident"), resident / MIB, "MiB", Some(40.0)),
        need(format!("{what}: resident at most, ever"), greatest / MIB, "MiB", None),
        need(format!("{what}: start to observing"), attached, "ms", Some(1000.0)),
        need(format!("{what}: kernel maps"), maps / MIB, "MiB", None),
    ])
}

/// The process's time on a CPU (the first number of `/proc/PID/schedstat`, of every thread).
fn cpu(pid: Pid) -> Result<Duration> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let time: u64 = text.split_whitespace().next().context("no time")?.parse()?;
        sum += time;
    }
    Ok(Duration::from_nanos(sum))
}

/// A line of the process's status, in bytes.
fn memory(pid: Pid, name: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .context("the kernel does not tell memory")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024.0)
}

/// The bytes of the maps that the process has open, as the kernel tells them.
fn maps(observer: &str, pid: Pid) -> Result<f64> {
    let mut ids = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let id = text.lines().find_map(|line| line.strip_prefix("map_id:"));
        ids.extend(id.and_then(|id| id.trim().parse::<u64>().ok()));
    }
    let output = Command::new(observer).arg("inventory").output()?;
    let text = String::from_utf8(output.stdout)?;
    let items = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let ours = items.iter().filter(|item| {
        item["what"] == "map" && item["id"].as_u64().is_some_and(|id| ids.contains(&id))
    });
    let bytes: Vec<_> = ours.filter_map(|item| item["bytes"].as_f64()).collect();
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
