//! Measurements in a guest: instructions. QEMU's `-icount shift=0` lets one nanosecond of the
//! guest's time pass for each instruction that it executes, so that the clock counts them.
//!
//! It speaks as the tests do: one result for each measurement, and figures on standard error.

use std::{
    collections::BTreeMap,
    error, fmt, fs,
    process::{Command, ExitCode},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::Value;

use super::{
    figure::{Along, Case, Figure, Instructions, Missing, Point, Program, Tool as Kind, With},
    inventory::inventory,
    stats::median,
    told::{Told, play, role},
    tool::{Ready, Tool},
};

/// Options.
#[derive(Args, Clone, Debug)]
pub(crate) struct GuestArgs {
    /// observer's program
    #[arg(long)]
    observer: String,
    /// Hooks to use, one after the other
    #[arg(long)]
    provider: Vec<String>,
    /// Peers to measure as well
    #[arg(long)]
    peer: Vec<String>,
}

/// Cases that a filter which no listener fits is measured with.
const OTHERS: [Case; 1] = [Case::One];
const RUNS: usize = 3;
/// Sizes at which growth is measured: listeners, and workers of one.
const MORE: [u64; 3] = [1, 10, 100];
/// Workers from which on fewer connections are enough: each wakes all of them.
const MANY: u64 = 100;
/// Instructions for each connection by which two runs of the same may differ.
const NOISE: f64 = 600.0;
const WARM_UP: u64 = 100;
const CONNECTIONS: u64 = 300;
const ROUNDS: u64 = 1000;
/// The kernel's switch for its statistics of programs.
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Measures everything.
pub(crate) fn run(args: &GuestArgs) -> Result<ExitCode> {
    let mut plan = vec![(With::new(Kind::None, ""), None)];
    for provider in &args.provider {
        let command = |words: &[&str]| {
            let mut command = Command::new(&args.observer);
            command.args(words).args(["--provider", provider]);
            Some((command, Ready::Says("observing")))
        };
        plan.push((With::new(Kind::Floor, provider), command(&["noop"])));
        plan.push((With::new(Kind::Observer, provider), command(&["--duration", "10h"])));
        let no_match = ["--duration", "10h", "--port", "1"];
        plan.push((With::new(Kind::Filtered, provider), command(&no_match)));
    }
    for peer in &args.peer {
        let command = Command::new(format!("/bin/{peer}"));
        // Long enough for a tool that compiles nothing.
        let ready = Ready::After(Duration::from_secs(5));
        plan.push((With::new(Kind::Peer, peer), Some((command, ready))));
    }
    println!("running {} tests", plan.len() + args.provider.len() + 1);
    let mut failed = false;
    for (with, command) in plan {
        failed |= report(&with.name(), beside(&with, command));
    }
    for provider in &args.provider {
        failed |= report(&format!("programs, {provider}"), programs(&args.observer, provider));
    }
    if let Some(provider) = args.provider.first() {
        failed |= report(&format!("growth, {provider}"), growth(&args.observer, provider));
    }
    tell(&Figure::End { count: TOLD.load(Relaxed) });
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A tool that cannot run here, in its own words: no failure.
#[derive(Debug)]
struct Unusable(String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for Unusable {}

/// Tells what came of a measurement; true when it failed where it should not.
fn report(name: &str, result: Result<()>) -> bool {
    match result.map_err(|error| error.downcast::<Unusable>()) {
        Ok(()) => println!("test {name} ... ok"),
        Err(Ok(Unusable(why))) => {
            println!("test {name} ... ignored ({why})");
            tell(&Figure::Missing(Missing { what: name.to_owned(), why }));
        }
        Err(Err(error)) => {
            eprintln!("{name}: {error:#}");
            println!("test {name} ... FAILED");
            return true;
        }
    }
    false
}

/// Number of figures that were told.
static TOLD: AtomicUsize = AtomicUsize::new(0);

fn tell(figure: &Figure) {
    if let Ok(text) = serde_json::to_string(figure) {
        TOLD.fetch_add(1, Relaxed);
        eprintln!("figure {text}");
    }
}

/// A tool that is attached and stands still: what its kernel programs cost is measured, and nothing of
/// what its process does.
fn frozen(command: Command, ready: Ready) -> Result<Tool> {
    let tool = Tool::start(command, ready)
        .map_err(|error| Unusable(format!("{error:#}").replace('\n', " ")))?;
    std::thread::sleep(Duration::from_secs(1));
    tool.freeze(true)?;
    Ok(tool)
}

/// observer, attached by these hooks and standing still.
fn observing(observer: &str, provider: &str) -> Result<Tool> {
    let mut command = Command::new(observer);
    command.args(["--duration", "10h", "--provider", provider]);
    frozen(command, Ready::Says("observing"))
}

/// All cases beside one tool.
fn beside(with: &With, command: Option<(Command, Ready)>) -> Result<()> {
    let tool = command.map(|(command, ready)| frozen(command, ready)).transpose()?;
    let cases = if with.tool == Kind::Filtered { &OTHERS[..] } else { &Case::ALL[..] };
    for case in cases {
        let runs = (0..RUNS).map(|_| once(*case)).collect::<Result<Vec<_>>>()?;
        let each = runs.iter().map(|run| run.each(run.nanoseconds)).collect();
        let wakeups = runs.last().map_or(0.0, |run| run.each(run.wakeups));
        let (case, with) = (*case, with.clone());
        tell(&Figure::Instructions(Instructions { case, with, each, wakeups }));
    }
    tool.map(Tool::end).transpose()?;
    Ok(())
}

/// One run of a case.
fn once(case: Case) -> Result<Told> {
    match case {
        Case::Pipe => play(role(&["ping", "--rounds", &ROUNDS.to_string()])?),
        Case::One => connections(1, 1, &[]),
        Case::Herd => connections(8, 1, &[]),
        Case::Exclusive => connections(8, 1, &["--exclusive"]),
    }
}

/// One run of the loop with so many workers, and with fewer connections by this factor.
fn connections(workers: u64, fewer: u64, options: &[&str]) -> Result<Told> {
    let mut role = role(&["load", "--patient", "--workers", &workers.to_string()])?;
    role.args(["--warm-up", &(WARM_UP / fewer).to_string()]);
    role.args(["--connections", &(CONNECTIONS / fewer).to_string()]).args(options);
    play(role)
}

/// Growth of the loop with more and more listeners, and with more and more workers: its own
/// instructions, and those that observer adds.
fn growth(observer: &str, provider: &str) -> Result<()> {
    let alone = grown()?;
    let tool = observing(observer, provider)?;
    let beside = grown()?;
    tool.end()?;
    for ((along, at, own), (_, _, both)) in alone.into_iter().zip(beside) {
        let point = |what: String, value| {
            tell(&Figure::Point(Point { along, at, what, value, noise: NOISE }));
        };
        point("instructions a connection".to_owned(), own);
        point(format!("added by observer, {provider}"), both - own);
    }
    Ok(())
}

/// Instructions of a connection, with more and more of each.
fn grown() -> Result<Vec<(Along, u64, f64)>> {
    let mut points = Vec::new();
    for along in [Along::Listeners, Along::Workers] {
        for at in MORE {
            let (others, workers) = if along == Along::Listeners { (at - 1, 1) } else { (0, at) };
            let fewer = if workers >= MANY { 5 } else { 1 };
            let options = ["--others", &others.to_string()];
            let once =
                || connections(workers, fewer, &options).map(|run| run.each(run.nanoseconds));
            let each = (0..RUNS).map(|_| once()).collect::<Result<Vec<_>>>()?;
            points.push((along, at, median(&each).context("no runs")?));
        }
    }
    Ok(points)
}

/// Runs and instructions of each of observer's programs, by the kernel's statistics.
fn programs(observer: &str, provider: &str) -> Result<()> {
    let tool = observing(observer, provider)?;
    fs::write(STATISTICS, "1").context("the kernel keeps no statistics")?;
    // Rows are made by the first connections of each worker, which are not of interest.
    once(Case::Herd)?;
    let before = inventory(observer, "program")?;
    once(Case::Herd)?;
    let after = inventory(observer, "program")?;
    fs::write(STATISTICS, "0")?;
    tool.end()?;
    // Each had as many connections to warm up.
    let connections = f64::from(u32::try_from(WARM_UP + CONNECTIONS)?);
    if after.is_empty() {
        bail!("the kernel tells of no programs");
    }
    for (id, item) in &after {
        let of = |field: &str, all: &BTreeMap<u64, Value>| {
            all.get(id).and_then(|item| item[field].as_f64()).unwrap_or(0.0)
        };
        let grown = |field: &str| of(field, &after) - of(field, &before);
        let runs = grown("runs");
        tell(&Figure::Program(Program {
            by: provider.to_owned(),
            name: item["name"].as_str().unwrap_or("?").to_owned(),
            runs: runs / connections,
            each: if runs > 0.0 { grown("nanoseconds") / runs } else { 0.0 },
            instructions: item["instructions"].as_u64().unwrap_or(0),
            code_bytes: item["code_bytes"].as_u64().unwrap_or(0),
        }));
    }
    Ok(())
}
