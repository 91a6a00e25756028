//! What is measured in a guest: instructions. QEMU's `-icount shift=0` lets one nanosecond of the
//! guest's time pass for each instruction that it executes, so that the clock counts them.
//!
//! It speaks as the tests do: one result for each measurement, and figures on standard error.

use std::{
    collections::BTreeMap,
    env, fs,
    process::{Command, ExitCode},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use nix::mount::{MsFlags, mount};
use serde_json::Value;

use super::{
    figure::{Along, Case, End, Figure, Instructions, Missing, Point, Program, Tool as Kind, With},
    maths::median,
    tool::{Ready, Tool},
};

/// Options.
#[derive(Args, Clone, Debug)]
pub(crate) struct InsideArgs {
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

const CASES: [Case; 4] = [Case::One, Case::Herd, Case::Exclusive, Case::Pipe];
/// What a filter that no listener fits is measured with.
const OTHERS: [Case; 1] = [Case::One];
const RUNS: usize = 3;
/// Listeners that are there, and workers that wait for one, where it is looked at how costs grow.
const MORE: [u64; 3] = [1, 10, 100];
/// Of so many, fewer connections are enough: a hundred workers are woken by each.
const MANY: u64 = 100;
/// Instructions for each connection that two runs of the same may differ by.
const NOISE: f64 = 600.0;
const WARM_UP: u64 = 100;
const CONNECTIONS: u64 = 300;
const ROUNDS: u64 = 1000;
/// The kernel's switch for its statistics of programs.
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Where tools look for tracefs.
const TRACEFS: &str = "/sys/kernel/tracing";

/// Measures everything.
pub(crate) fn run(args: &InsideArgs) -> Result<ExitCode> {
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
    if !args.peer.is_empty() {
        // Where classic tracepoints are asked for; observer does without.
        mount(Some("tracefs"), TRACEFS, Some("tracefs"), MsFlags::empty(), None::<&str>)
            .context("tracefs cannot be mounted")?;
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
    tell(&Figure::End(End { count: TOLD.load(Relaxed) }));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Tells what came of a measurement; true when it failed where it should not.
fn report(name: &str, result: Result<Option<String>>) -> bool {
    match result {
        Ok(None) => println!("test {name} ... ok"),
        Ok(Some(why)) => {
            tell(&Figure::Missing(Missing { what: name.to_owned(), why: why.clone() }));
            println!("test {name} ... ignored ({why})");
        }
        Err(error) => {
            eprintln!("{name}: {error:#}");
            println!("test {name} ... FAILED");
            return true;
        }
    }
    false
}

/// How many figures were told.
static TOLD: AtomicUsize = AtomicUsize::new(0);

fn tell(figure: &Figure) {
    if let Ok(text) = serde_json::to_string(figure) {
        TOLD.fetch_add(1, Relaxed);
        eprintln!("figure {text}");
    }
}

/// Starts a tool; what the tool says where it cannot run here is no failure.
fn start(command: Command, ready: Ready) -> std::result::Result<Tool, String> {
    Tool::start(command, ready).map_err(|error| format!("{error:#}").replace('\n', " "))
}

/// All cases beside one tool, which stands still while they run: what its kernel programs cost is
/// measured here, and nothing of what its process does.
fn beside(with: &With, command: Option<(Command, Ready)>) -> Result<Option<String>> {
    let tool = match command.map(|(command, ready)| start(command, ready)).transpose() {
        Ok(tool) => tool,
        Err(why) => return Ok(Some(why)),
    };
    if let Some(tool) = &tool {
        std::thread::sleep(Duration::from_secs(1));
        tool.freeze(true)?;
    }
    let cases = if with.tool == Kind::Filtered { &OTHERS[..] } else { &CASES[..] };
    for case in cases {
        let mut each = Vec::new();
        let mut wakeups = 0.0;
        for _ in 0..RUNS {
            let one = once(*case)?;
            each.push(one.nanoseconds / one.count);
            wakeups = one.wakeups / one.count;
        }
        let (case, with) = (*case, with.clone());
        tell(&Figure::Instructions(Instructions { case, with, each, wakeups }));
    }
    tool.map(Tool::end).transpose()?;
    Ok(None)
}

struct Once {
    count: f64,
    nanoseconds: f64,
    wakeups: f64,
}

fn role() -> Result<Command> {
    let mut role = Command::new(env::current_exe()?);
    role.arg("bench-role");
    Ok(role)
}

fn once(case: Case) -> Result<Once> {
    let mut role = role()?;
    if case == Case::Pipe {
        role.args(["ping", "--rounds", &ROUNDS.to_string()]);
    } else {
        let workers = if case == Case::One { "1" } else { "8" };
        role.args(["load", "--patient", "--workers", workers]);
        role.args(["--warm-up", &WARM_UP.to_string(), "--connections", &CONNECTIONS.to_string()]);
        if case == Case::Exclusive {
            role.arg("--exclusive");
        }
    }
    play(role)
}

/// Plays a role, and reads what it tells.
fn play(mut role: Command) -> Result<Once> {
    let output = role.output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "));
    }
    let value: Value = serde_json::from_slice(&output.stdout)?;
    let field = |name: &str| value[name].as_f64().with_context(|| format!("no {name}"));
    Ok(Once {
        count: field("count")?,
        nanoseconds: field("nanoseconds")?,
        wakeups: field("wakeups")?,
    })
}

/// The loop with more and more listeners, and with more and more workers: its own instructions, and
/// those that observer adds.
fn growth(observer: &str, provider: &str) -> Result<Option<String>> {
    let alone = grown()?;
    let mut command = Command::new(observer);
    command.args(["--duration", "10h", "--provider", provider]);
    let tool = match start(command, Ready::Says("observing")) {
        Ok(tool) => tool,
        Err(why) => return Ok(Some(why)),
    };
    std::thread::sleep(Duration::from_secs(1));
    tool.freeze(true)?;
    let beside = grown()?;
    tool.end()?;
    for ((along, at, own), (_, _, both)) in alone.into_iter().zip(beside) {
        let point = |what: String, value| {
            tell(&Figure::Point(Point { along, at, what, value, noise: NOISE }));
        };
        point("instructions a connection".to_owned(), own);
        point(format!("added by observer, {provider}"), both - own);
    }
    Ok(None)
}

/// Instructions of a connection, with more and more of each.
fn grown() -> Result<Vec<(Along, u64, f64)>> {
    let mut points = Vec::new();
    for along in [Along::Listeners, Along::Workers] {
        for at in MORE {
            let (others, workers) = if along == Along::Listeners { (at - 1, 1) } else { (0, at) };
            let fewer = if workers >= MANY { 5 } else { 1 };
            let mut each = Vec::new();
            for _ in 0..RUNS {
                let mut role = role()?;
                role.args(["load", "--patient", "--workers", &workers.to_string()]);
                role.args(["--others", &others.to_string()]);
                role.args(["--warm-up", &(WARM_UP / fewer).to_string()]);
                role.args(["--connections", &(CONNECTIONS / fewer).to_string()]);
                let one = play(role)?;
                each.push(one.nanoseconds / one.count);
            }
            points.push((along, at, median(&each).context("no runs")?));
        }
    }
    Ok(points)
}

/// Runs and instructions of each of observer's programs, by the kernel's statistics.
fn programs(observer: &str, provider: &str) -> Result<Option<String>> {
    let mut command = Command::new(observer);
    command.args(["--duration", "10h", "--provider", provider]);
    let tool = match start(command, Ready::Says("observing")) {
        Ok(tool) => tool,
        Err(why) => return Ok(Some(why)),
    };
    std::thread::sleep(Duration::from_secs(1));
    tool.freeze(true)?;
    fs::write(STATISTICS, "1").context("the kernel keeps no statistics")?;
    // Rows are made by the first connections of each worker, which are not of interest.
    once(Case::Herd)?;
    let before = inventory(observer)?;
    once(Case::Herd)?;
    let after = inventory(observer)?;
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
    Ok(None)
}

/// The programs that are loaded now, by their ids.
fn inventory(observer: &str) -> Result<BTreeMap<u64, Value>> {
    let output = Command::new(observer).arg("inventory").output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8(output.stdout)?;
    let items = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let programs = items.into_iter().filter(|item| item["what"] == "program");
    Ok(programs.filter_map(|item| Some((item["id"].as_u64()?, item))).collect())
}
