//! The loop's speed on this machine, beside nothing and beside tools by turns: the machine's own noise
//! is greater than what is measured, and falls on all of them alike.

use std::{env, process::Command, thread, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    Measured,
    figure::{Figure, Missing, Speed, Tool as Kind, With},
    tool::{Ready, Tool},
};

/// What the same counts cost with a script of bpftrace, from the same tracepoints: wakeups within a
/// listener's notification, connections queued, and what accept returned to each task.
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
tracepoint:sock:inet_sock_set_state { @in[cpu] = (uint64)0; }
tracepoint:napi:napi_poll { @in[cpu] = (uint64)0; }
tracepoint:sched:sched_waking /@in[cpu]/ { @wakeups[@in[cpu], args->pid] = count(); }
tracepoint:syscalls:sys_exit_accept4 { @accepts[tid, args->ret < 0 ? args->ret : 0] = count(); }
"#;

/// It says so before the rest is attached.
const AFTER_WORD: Duration = Duration::from_secs(2);

/// The place of what is measured on this machine.
pub(super) const HERE: &str = "here";

/// Which hooks every kernel of today gives, and this is where they are slowest.
const PROVIDER: &str = "tracepoint";

/// So long is each run of the loop.
const MILLIS: u64 = 1000;
const WARM_UP: u64 = 500;

/// Measures so many rounds.
pub(super) fn measure(observer: &str, rounds: u32, all: &mut Vec<Measured>) -> Result<()> {
    let kinds = [
        With::new(Kind::None, ""),
        With::new(Kind::Floor, PROVIDER),
        With::new(Kind::Observer, PROVIDER),
        With::new(Kind::Peer, "bpftrace"),
    ];
    let mut speeds: Vec<Speed> =
        kinds.into_iter().map(|with| Speed { with, rounds: Vec::new(), cpu: Vec::new() }).collect();
    let mut missing = Vec::new();
    for round in 0..rounds {
        for index in 0..speeds.len() {
            // In another order each time: what comes first is not always the same.
            let place = (index + round as usize) % speeds.len();
            let with = speeds[place].with.clone();
            if missing.iter().any(|one: &Missing| one.what == with.name()) {
                continue;
            }
            let tool = match command(observer, &with).map(|(one, ready)| Tool::start(one, ready)) {
                None => None,
                Some(Ok(tool)) => Some(tool),
                Some(Err(error)) => {
                    let (what, why) = (with.name(), format!("{error:#}").replace('\n', " "));
                    eprintln!("native: {what}: {why}");
                    missing.push(Missing { what, why });
                    continue;
                }
            };
            if with.tool == Kind::Peer {
                thread::sleep(AFTER_WORD);
            }
            let (speed, cpu) = once()?;
            speeds[place].rounds.push(speed);
            speeds[place].cpu.push(cpu);
            if let Some(tool) = tool {
                tool.end()?;
            }
            let name = with.name();
            eprintln!("native: round {} of {rounds}: {name}: {speed:.0}/s, {cpu:.0} ns", round + 1);
        }
    }
    let figures = speeds.into_iter().filter(|speed| !speed.rounds.is_empty()).map(Figure::Speed);
    let figures = figures.chain(missing.into_iter().map(Figure::Missing));
    all.extend(figures.map(|figure| Measured { place: HERE.to_owned(), figure }));
    Ok(())
}

fn command(observer: &str, with: &With) -> Option<(Command, Ready)> {
    let mut command = Command::new(observer);
    match with.tool {
        Kind::Floor => command.arg("floor"),
        Kind::Observer => command.args(["--duration", "10h"]),
        Kind::Peer => return Some((bpftrace(), Ready::Says("observing"))),
        Kind::None | Kind::Filtered => return None,
    };
    command.args(["--provider", &with.by]);
    Some((command, Ready::Says("observing")))
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

/// Connections a second, and nanoseconds of CPU for each.
fn once() -> Result<(f64, f64)> {
    let mut role = Command::new(env::current_exe()?);
    role.args(["bench-role", "load", "--workers", "8"]);
    role.args(["--warm-up", &WARM_UP.to_string(), "--millis", &MILLIS.to_string()]);
    let output = role.output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let value: Value = serde_json::from_slice(&output.stdout)?;
    let field = |name: &str| value[name].as_f64().with_context(|| format!("no {name}"));
    let took = Duration::from_nanos(value["nanoseconds"].as_u64().context("no time")?);
    let count = field("count")?;
    Ok((count / took.as_secs_f64(), field("cpu")? / count))
}
