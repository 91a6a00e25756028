//! The loop's speed on this machine, beside nothing and beside tools by turns: the machine's own noise
//! is greater than what is measured, and falls on all of them alike. The loop has one CPU to itself
//! while it runs, so that what else the machine does and where the scheduler puts a worker are no part
//! of it; and each round is compared with itself.

use std::{process::Command, thread, time::Duration};

use anyhow::{Context as _, Result, bail};
use nix::{
    sched::{CpuSet, sched_getaffinity},
    unistd::Pid,
};

use super::{
    figure::{Figure, Missing, Speed, Tool as Kind, With},
    stats::median,
    told::{Told, play, role},
    tool::{Ready, Tool},
};

/// What the same counts cost with a script of bpftrace, from the same tracepoints: wakeups of each task
/// within a listener's notification, connections queued, what accept returned to each task, and
/// listeners that come and go.
const SCRIPT: &str = r#"
BEGIN { printf("observing\n"); }
tracepoint:sock:sk_data_ready {
    $sk = (struct sock *)args->skaddr;
    @in[cpu] = (uint64)0;
    if ($sk->__sk_common.skc_state == 10) {
        @in[cpu] = (uint64)args->skaddr;
        @queued[(uint64)args->skaddr] = count();
    }
}
tracepoint:sock:inet_sock_set_state {
    @in[cpu] = (uint64)0;
    if (args->newstate == 10) { @born = count(); }
    if (args->oldstate == 10 && args->newstate == 7) { @gone = count(); }
}
tracepoint:napi:napi_poll { @in[cpu] = (uint64)0; }
tracepoint:sched:sched_waking /@in[cpu]/ { @wakeups[@in[cpu], args->pid] = count(); }
tracepoint:syscalls:sys_exit_accept4 { @accepts[tid, args->ret < 0 ? args->ret : 0] = count(); }
"#;

/// Time after bpftrace's first word in which it attaches the rest.
const AFTER_WORD: Duration = Duration::from_secs(2);

/// Hooks that every kernel of today gives; they are observer's slowest.
const PROVIDER: &str = "tracepoint";

/// Runs of the loop in each round, of which the middle one counts, and how long each takes. Between
/// them everybody else has the CPU, so that the kernel has no reason to take it from the loop (tasks
/// that are ahead may have it for 950 ms of each second).
const RUNS: usize = 5;
const MILLIS: u64 = 250;
const WARM_UP: u64 = 200;

/// Speeds of the loop in so many rounds, and the tools that did not run.
pub(super) fn measure(observer: &str, rounds: u32) -> Result<Vec<Figure>> {
    let kinds = [
        With::new(Kind::None, ""),
        With::new(Kind::Floor, PROVIDER),
        With::new(Kind::Observer, PROVIDER),
        With::new(Kind::Peer, "bpftrace"),
    ];
    let none = |with| Speed { with, rounds: Vec::new(), cpu: Vec::new(), wakeups: Vec::new() };
    let mut speeds: Vec<Speed> = kinds.into_iter().map(none).collect();
    let mut missing = Vec::new();
    for round in 0..rounds {
        for index in 0..speeds.len() {
            // In another order each time: what comes first is not always the same.
            let place = (index + round as usize) % speeds.len();
            let with = speeds[place].with.clone();
            if missing.iter().any(|one: &Missing| one.what == with.name()) {
                continue;
            }
            let started = command(observer, &with)
                .map(|one| Tool::start_listening(one, Ready::Says("observing")));
            let tool = match started.transpose() {
                Ok(tool) => tool,
                Err(error) => {
                    let (what, why) = (with.name(), format!("{error:#}").replace('\n', " "));
                    eprintln!("native: {what}: {why}");
                    missing.push(Missing { what, why });
                    continue;
                }
            };
            if with.tool == Kind::Peer {
                thread::sleep(AFTER_WORD);
            }
            let runs = (0..RUNS).map(|_| once()).collect::<Result<Vec<_>>>()?;
            let middle = |value: fn(&Told) -> f64| {
                median(&runs.iter().map(value).collect::<Vec<_>>()).context("no run")
            };
            let speed = middle(|run| 1e9 / run.each(run.nanoseconds))?;
            let cpu = middle(|run| run.each(run.cpu))?;
            let wakeups = middle(|run| run.each(run.wakeups))?;
            let said = tool.map(Tool::end).transpose()?.unwrap_or_default();
            if with.tool == Kind::Peer {
                let made = runs.iter().map(|run| run.count + WARM_UP).sum::<u64>();
                check_peer(&said, made as f64)?;
            }
            let name = with.name();
            eprintln!(
                "native: round {} of {rounds}: {name}: {speed:.0}/s, {cpu:.0} ns of CPU and {wakeups:.2} wakeups each",
                round + 1,
            );
            speeds[place].rounds.push(speed);
            speeds[place].cpu.push(cpu);
            speeds[place].wakeups.push(wakeups);
        }
    }
    let figures = speeds.into_iter().filter(|speed| !speed.rounds.is_empty()).map(Figure::Speed);
    Ok(figures.chain(missing.into_iter().map(Figure::Missing)).collect())
}

/// The tool's command, which says `observing` when it is attached.
fn command(observer: &str, with: &With) -> Option<Command> {
    let mut command = Command::new(observer);
    match with.tool {
        Kind::Floor => command.arg("noop"),
        Kind::Observer => command.args(["--duration", "10h"]),
        Kind::Peer => return Some(bpftrace()),
        Kind::None | Kind::Filtered => return None,
    };
    command.args(["--provider", &with.by]);
    Some(command)
}

/// bpftrace, with a tracefs of its own: its list of tracepoints comes from there, and it is not
/// mounted everywhere.
fn bpftrace() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c"]);
    command.arg(
        "test -d /sys/kernel/tracing/events || mount -t tracefs tracefs /sys/kernel/tracing; \
         exec bpftrace -B none -e \"$1\"",
    );
    command.args(["sh", SCRIPT]);
    command
}

/// One run of the loop.
fn once() -> Result<Told> {
    let mut role = role(&["load", "--workers", "8", "--ahead-on", &cpu()?.to_string()])?;
    role.args(["--warm-up", &WARM_UP.to_string(), "--millis", &MILLIS.to_string()]);
    play(role)
}

/// Last CPU that this process may run on: interrupts prefer the first.
fn cpu() -> Result<usize> {
    let may = sched_getaffinity(Pid::from_raw(0))?;
    let last = (0..CpuSet::count()).rev().find(|cpu| may.is_set(*cpu).unwrap_or(false));
    last.context("this process may run on no CPU")
}

/// A peer that did not count what the loop did is no peer: what it printed must have every connection,
/// as it was queued and as it was accepted.
fn check_peer(said: &[String], made: f64) -> Result<()> {
    let sum = |beginning: &str, end: &str| -> f64 {
        let counts = said.iter().filter_map(|line| line.strip_prefix(beginning)?.split_once(end));
        counts.filter_map(|(_, count)| count.trim().parse::<f64>().ok()).sum()
    };
    let (queued, accepted) = (sum("@queued[", "]: "), sum("@accepts[", ", 0]: "));
    if queued < made || accepted < made {
        bail!("bpftrace counted {queued} queued and {accepted} accepted of {made}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_peer;

    #[test]
    fn a_peer_that_lost_connections_is_none() {
        let said =
            ["@accepts[7, -11]: 90", "@accepts[7, 0]: 3", "@accepts[8, 0]: 4", "@queued[-9]: 7"];
        let said: Vec<_> = said.iter().map(|line| (*line).to_owned()).collect();
        assert!(check_peer(&said, 7.0).is_ok());
        assert!(check_peer(&said, 8.0).is_err());
        assert!(check_peer(&said[..3], 7.0).is_err());
    }
}
