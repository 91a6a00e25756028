//! The truth tests: every number against the workload's own tally and the kernel's count of its
//! workers' sleeps, task by task.

use std::{
    io::{BufRead, BufReader},
    time::SystemTime,
};

use std::env;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    Need, Outcome, Test,
    observer::{Observer, expected_via, number, provider},
    workload::{Tally, WorkerTally, Workload},
};

const STRATEGIES: [&str; 7] =
    ["epoll", "epoll-exclusive", "epoll-shared", "poll", "blocking", "reuseport", "accept-mutex"];

/// Sizes of servers, unless the environment names others.
const WORKERS: &str = "1,2,8,32";

/// Spaced connections to each server, unless the environment says otherwise: an emulated machine
/// has a fiftieth of the time.
const CONNECTIONS: u32 = 200;

/// Connections of a burst, for each spaced one.
const BURST: u32 = 25;

fn workers() -> Vec<String> {
    let sizes = env::var("OBSERVER_TEST_WORKERS").unwrap_or_else(|_| WORKERS.to_owned());
    sizes.split(',').map(str::to_owned).collect()
}

fn connections() -> anyhow::Result<u32> {
    match env::var("OBSERVER_TEST_CONNECTIONS") {
        Ok(count) => count.parse().context("OBSERVER_TEST_CONNECTIONS is no count"),
        Err(_) => Ok(CONNECTIONS),
    }
}

pub fn tests() -> Vec<Test> {
    let spaced = STRATEGIES.iter().flat_map(|strategy| {
        ["ipv4", "ipv6"].map(|family| {
            Test::new(format!("truth::spaced::{strategy}::{family}"), Need::Kernel, move || {
                all_sizes(strategy, &["--family", family])
            })
        })
    });
    let threads = STRATEGIES.iter().map(|strategy| {
        Test::new(format!("truth::threads::{strategy}"), Need::Kernel, move || {
            all_sizes(strategy, &["--threads"])
        })
    });
    let bursts = STRATEGIES.iter().map(|strategy| {
        Test::new(format!("truth::burst::{strategy}"), Need::Kernel, move || burst(strategy))
    });
    let others = [
        Test::new("truth::two_namespaces_on_one_port_do_not_mix", Need::Kernel, two_namespaces),
        Test::new("truth::two_observers_see_the_same", Need::Kernel, two_observers),
        Test::new("truth::passers_by_are_no_workers", Need::Kernel, || {
            let _noise = (0..2)
                .map(|_| crate::role::Actor::start("noise"))
                .collect::<anyhow::Result<Vec<_>>>()?;
            burst("blocking")
        }),
        Test::new("truth::rounds_add_up", Need::Kernel, rounds_add_up),
    ];
    spaced.chain(threads).chain(bursts).chain(others).collect()
}

/// Spaced connections to servers of all sizes, all under one observer.
fn all_sizes(strategy: &str, options: &[&str]) -> Outcome {
    let (sizes, connections) = (workers(), connections()?.to_string());
    let mut workloads = sizes
        .iter()
        .map(|workers| {
            let base = ["--netns", "--strategy", strategy, "--connections", &connections];
            let base = [&base[..], &["--workers", workers]].concat();
            Workload::start(&[&base[..], options].concat())
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let pids: Vec<_> = workloads.iter().map(|one| one.ready.pid.to_string()).collect();
    let flags: Vec<_> = pids.iter().flat_map(|pid| ["--pid", pid]).collect();
    let observer = Observer::json(&flags)?;
    let tallies = workloads.iter_mut().map(Workload::round).collect::<anyhow::Result<Vec<_>>>()?;
    let report = observer.total()?;
    for ((workload, tally), workers) in workloads.iter().zip(&tallies).zip(&sizes) {
        compare(&report, workload, tally)
            .and_then(|()| compare_spaced(&report, workload, tally))
            .with_context(|| format!("{strategy} with {workers} workers"))?;
    }
    for signal in ["accepts", "wakeups", "handshakes"] {
        let from = &report["providers"][signal];
        ensure!(expected_via(&from["via"]), "{signal}: {from}");
    }
    // Only the chain wakes of a shared epoll instance are inferred, and only where there are none
    // but tracepoints, and they are said to be.
    let wakeups = &report["providers"]["wakeups"];
    let inferred = strategy == "epoll-shared" && wakeups["via"] == "tracepoint";
    ensure!(wakeups["exact"] == !inferred, "{strategy}: {wakeups}");
    ensure!(wakeups["inferred"].as_u64().is_some_and(|count| count > 0) == inferred, "{wakeups}");
    workloads.into_iter().try_for_each(Workload::quit)
}

/// The listeners of a workload in a report; their number is checked.
fn listeners<'a>(report: &'a Value, workload: &Workload) -> anyhow::Result<Vec<&'a Value>> {
    let found: Vec<_> = report["listeners"]
        .as_array()
        .context("listeners")?
        .iter()
        .filter(|one| one["netns"] == workload.ready.netns)
        .collect();
    let mut inodes: Vec<_> = found.iter().filter_map(|one| one["inode"].as_u64()).collect();
    let mut expected: Vec<_> = workload.ready.listeners.iter().map(|at| at.inode).collect();
    inodes.sort_unstable();
    expected.sort_unstable();
    ensure!(inodes == expected, "listeners {inodes:?} instead of {expected:?}");
    Ok(found)
}

/// One worker's row, summed over the listeners of its workload.
fn worker(listeners: &[&Value], tid: u32) -> anyhow::Result<(WorkerTally, [u64; 4])> {
    let mut sum = WorkerTally { tid, ..WorkerTally::default() };
    let mut outcomes = [0; 4];
    let rows = listeners.iter().flat_map(|one| one["workers"].as_array().into_iter().flatten());
    for row in rows.filter(|row| row["tid"] == tid) {
        sum.accepted += number(&row["accepted"])?;
        sum.eagain += row["accept_errors"].get("EAGAIN").map_or(Ok(0), number)?;
        sum.voluntary_switches += number(&row["wakeups"]["total"])?;
        for (sum, name) in outcomes.iter_mut().zip(["won", "lost", "failed", "silent"]) {
            *sum += number(&row["wakeups"][name])?;
        }
    }
    Ok((sum, outcomes))
}

/// What holds whatever the pace: accepted and EAGAIN of each worker, and nobody else's.
fn compare(report: &Value, workload: &Workload, tally: &Tally) -> Outcome {
    let listeners = listeners(report, workload)?;
    for own in &tally.workers {
        let (seen, _) = worker(&listeners, own.tid)?;
        ensure!(
            (seen.accepted, seen.eagain) == (own.accepted, own.eagain),
            "worker {}: saw {} accepted and {} EAGAIN, it counted {} and {}",
            own.tid,
            seen.accepted,
            seen.eagain,
            own.accepted,
            own.eagain
        );
    }
    // Nobody else: an interrupt within a notification may wake strangers, this program among them.
    let rows = listeners.iter().flat_map(|one| one["workers"].as_array().into_iter().flatten());
    for row in rows {
        ensure!(tally.workers.iter().any(|own| row["tid"] == own.tid), "a stranger: {row}");
    }
    let sum =
        |name: &str| listeners.iter().map(|one| number(&one[name])).sum::<anyhow::Result<u64>>();
    ensure!(sum("accepted")? == tally.connections, "accepted is not what the client made");
    ensure!(sum("queued")? == tally.connections, "queued is not what the client made");
    let opens = passive_opens(workload.ready.pid)?;
    ensure!(
        sum("queued")? == opens || opens == 0,
        "queued is not the kernel's PassiveOpens: {opens}"
    );
    Ok(())
}

/// What holds when each connection meets workers that all sleep: wakeups and their outcomes too.
fn compare_spaced(report: &Value, workload: &Workload, tally: &Tally) -> Outcome {
    let listeners = listeners(report, workload)?;
    let mut sums = [0; 2];
    for own in &tally.workers {
        let (seen, [won, lost, failed, silent]) = worker(&listeners, own.tid)?;
        let wakeups = seen.voluntary_switches;
        ensure!(
            wakeups == own.wakeups(),
            "worker {}: saw {wakeups} wakeups, the kernel counted {} sleeps ({own:?})",
            own.tid,
            own.wakeups()
        );
        ensure!(won == own.accepted, "worker {}: won {won}, accepted {}", own.tid, own.accepted);
        ensure!(lost == own.eagain, "worker {}: lost {lost}, EAGAIN {}", own.tid, own.eagain);
        ensure!(failed == 0, "worker {}: {failed} failed", own.tid);
        ensure!(
            silent == wakeups - won - lost,
            "worker {}: {silent} silent of {wakeups}, {won} won and {lost} lost",
            own.tid
        );
        // What came back from the wait call was won or lost; the rest never left the kernel.
        ensure!(
            own.wait_returns == won + lost,
            "worker {}: {} returns of its wait call, {won} won and {lost} lost",
            own.tid,
            own.wait_returns
        );
        sums = [sums[0] + wakeups, sums[1] + own.accepted];
    }
    for listener in &listeners {
        let pending = &listener["wakeups"]["pending"];
        ensure!(*pending == 0, "{pending} pending although every worker waits again");
        ensure!(listener["accept_queue"]["now"] == 0, "connections are left in the queue");
    }
    if let [listener] = listeners[..] {
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let ratio = sums[0] as f64 / sums[1] as f64;
        ensure!(
            listener["herd_ratio"].as_f64().is_some_and(|seen| (seen - ratio).abs() < 1e-9),
            "herd ratio {} instead of {ratio}",
            listener["herd_ratio"]
        );
    }
    Ok(())
}

/// `PassiveOpens` of a workload's own namespace: children made by its listeners, as the kernel
/// counts them.
fn passive_opens(pid: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/snmp"))?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = lines.next().zip(lines.next()).context("no Tcp lines")?;
    let (_, value) = names
        .split_whitespace()
        .zip(values.split_whitespace())
        .find(|(name, _)| *name == "PassiveOpens")
        .context("no PassiveOpens")?;
    Ok(value.parse()?)
}

/// Thousands of connections back to back.
fn burst(strategy: &str) -> Outcome {
    let connections = (BURST * connections()?).to_string();
    let mut workload = Workload::start(&[
        "--netns",
        "--strategy",
        strategy,
        "--workers",
        "8",
        "--pace",
        "burst",
        "--connections",
        &connections,
        "--backlog",
        "4096",
    ])?;
    let observer = Observer::json(&["--pid", &workload.ready.pid.to_string()])?;
    let tally = workload.round()?;
    let report = observer.total()?;
    let lost = &report["audit"];
    compare(&report, &workload, &tally)
        .with_context(|| format!("in a burst; the audit: {lost}"))?;
    ensure!(lost["map_full"] == 0, "the audit: {lost}");
    // An interrupt that finds a program running on its CPU skips that program. An emulated machine
    // is slow enough to see it, and so the numbers above decide there.
    ensure!(lost["missed_runs"] == 0 || provider().is_some(), "the audit: {lost}");
    workload.quit()
}

fn two_namespaces() -> Outcome {
    let start = |strategy: &str, workers: &str| {
        Workload::start(&[
            "--netns",
            "--strategy",
            strategy,
            "--workers",
            workers,
            "--port",
            "7777",
        ])
    };
    let (mut one, mut other) = (start("epoll", "3")?, start("epoll", "5")?);
    let observer = Observer::json(&["--port", "7777"])?;
    one.go()?;
    other.go()?;
    let tallies = [one.tally()?, other.tally()?];
    let report = observer.total()?;
    for (workload, tally) in [&one, &other].into_iter().zip(&tallies) {
        compare(&report, workload, tally)?;
        compare_spaced(&report, workload, tally)?;
    }
    let namespaces = report["audit"]["netns"].as_array().map(Vec::len);
    ensure!(namespaces == Some(2), "the audit is of {namespaces:?} namespaces");
    one.quit()?;
    other.quit()
}

fn two_observers() -> Outcome {
    let mut workload = Workload::start(&["--netns", "--strategy", "epoll", "--workers", "4"])?;
    let pid = workload.ready.pid.to_string();
    let (one, other) = (Observer::json(&["--pid", &pid])?, Observer::json(&["--pid", &pid])?);
    let tally = workload.round()?;
    for report in [one.total()?, other.total()?] {
        compare(&report, &workload, &tally)?;
        compare_spaced(&report, &workload, &tally)?;
    }
    workload.quit()
}

/// The intervals add up to the total, and what came before the window is not in it.
fn rounds_add_up() -> Outcome {
    let mut workload = Workload::start(&["--netns", "--strategy", "epoll", "--workers", "4"])?;
    workload.round()?;
    let pid = workload.ready.pid.to_string();
    let mut observer = Observer::json(&["--pid", &pid, "--interval", "200ms"])?;
    let mut lines = BufReader::new(observer.take_stdout()?).lines();
    let mut next = || -> anyhow::Result<Option<Value>> {
        Ok(lines.next().transpose()?.map(|line| serde_json::from_str(&line)).transpose()?)
    };
    let mut reports = Vec::new();
    let mut connections = 0;
    for _ in 0..3 {
        connections += workload.round()?.connections;
        reports.push(next()?.context("no interval was reported")?);
    }
    // Older reports may wait in the pipe: read on to an interval that began after it all.
    let over = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    while reports.last().is_none_or(|last| last["window"]["start"].as_str() < Some(&over)) {
        reports.push(next()?.context("no interval was reported")?);
    }
    observer.signal(nix::sys::signal::Signal::SIGTERM)?;
    while let Some(report) = next()? {
        reports.push(report);
    }
    ensure!(observer.wait_status()?.success(), "observer failed");
    let total = reports.pop().context("no total")?;
    ensure!(total["window"]["kind"] == "total", "the last is no total");
    for report in &reports {
        ensure!(report["window"]["kind"] == "interval", "not an interval: {}", report["window"]);
        crate::observer::check_report(report)?;
    }
    let port = workload.ready.listeners.first().context("a listener")?.port;
    let of = |report: &Value, path: &str| -> anyhow::Result<u64> {
        let one = crate::observer::only_on_port(report, port)?;
        one.pointer(path).context("missing").and_then(number)
    };
    for path in ["/accepted", "/queued"] {
        ensure!(of(&total, path)? == connections, "{path} of the total is not {connections}");
    }
    for path in ["/accepted", "/queued", "/wakeups/won", "/wakeups/lost", "/wakeups/silent"] {
        let sum = reports.iter().map(|one| of(one, path)).sum::<anyhow::Result<u64>>()?;
        ensure!(sum == of(&total, path)?, "{path}: the intervals have {sum}: {total}");
    }
    workload.quit()
}
