//! Servers of every strategy against observer's counts of them.
//!
//! Each case is a test of its own. Where starting observer takes as long as all the connections of a
//! case (an emulated machine), one observer sees the servers of all cases, and each test tells what
//! became of its own.

use std::{
    env, fs,
    sync::{Arc, OnceLock},
};

use anyhow::{Context, anyhow, ensure};
use serde_json::{Value, json};

use crate::{
    Need, Outcome, Test,
    compare::{compare, compare_spaced, listeners},
    missed::kprobes_tell,
    observer::{Observer, expected_via, number, provider},
    workload::{Tally, Workload},
};

const STRATEGIES: [&str; 7] =
    ["epoll", "epoll-exclusive", "epoll-shared", "poll", "blocking", "reuseport", "accept-mutex"];

/// Which of them also run with IPv6 and with threads where all share one observer.
const SOME_IPV6: [&str; 3] = ["epoll", "epoll-shared", "reuseport"];
const SOME_THREADS: [&str; 3] = ["epoll-exclusive", "poll", "blocking"];

/// Sizes of servers, unless the environment names others.
const WORKERS: &str = "1,2,8,32";

/// Spaced connections to each server, unless the environment says otherwise: an emulated machine
/// has a fiftieth of the time.
const CONNECTIONS: u64 = 200;

/// Connections of a burst, for each spaced one.
const BURST: u64 = 25;

/// One strategy in one way.
#[derive(Clone, Debug)]
pub struct Case {
    name: String,
    strategy: &'static str,
    options: &'static [&'static str],
    sizes: Vec<String>,
    /// Whether its connections come back to back.
    burst: bool,
    /// How many connections, for each that the environment asks for.
    times: u64,
}

/// A burst of connections to a server of eight.
pub fn burst(strategy: &'static str) -> Case {
    let options = &["--pace", "burst", "--backlog", "4096"];
    let name = format!("truth::burst::{strategy}");
    Case { name, strategy, options, sizes: vec!["8".to_owned()], burst: true, times: BURST }
}

/// Spaced connections to servers of these sizes.
fn spaced(
    name: String,
    strategy: &'static str,
    options: &'static [&'static str],
    sizes: &[&str],
) -> Case {
    let sizes = sizes.iter().map(|size| (*size).to_owned()).collect();
    Case { name, strategy, options, sizes, burst: false, times: 1 }
}

/// The tests, one for each case.
pub fn tests() -> Vec<Test> {
    let sizes = env::var("OBSERVER_TEST_WORKERS").unwrap_or_else(|_| WORKERS.to_owned());
    let sizes: Vec<_> = sizes.split(',').collect();
    let together = env::var_os("OBSERVER_TEST_TOGETHER").is_some();
    let name = |strategy, family| format!("truth::spaced::{strategy}::{family}");
    let mut cases = Vec::new();
    for strategy in STRATEGIES {
        cases.push(spaced(name(strategy, "ipv4"), strategy, &["--family", "ipv4"], &sizes));
        let some = if together { &["3"][..] } else { &sizes };
        if !together || SOME_IPV6.contains(&strategy) {
            cases.push(spaced(name(strategy, "ipv6"), strategy, &["--family", "ipv6"], some));
        }
        if !together || SOME_THREADS.contains(&strategy) {
            let name = format!("truth::threads::{strategy}");
            cases.push(spaced(name, strategy, &["--threads"], some));
        }
        cases.push(burst(strategy));
    }
    let all = Arc::new(cases.clone());
    let results = Arc::new(OnceLock::<Vec<Result<(), String>>>::new());
    let one_by_one = cases.into_iter().enumerate().map(|(index, case)| {
        let (all, results) = (all.clone(), results.clone());
        Test::new(case.name.clone(), Need::Kernel, move || {
            if !together {
                return alone(&case);
            }
            let results = results.get_or_init(|| match run(&all, true) {
                Ok(results) => results,
                Err(error) => vec![Err(format!("all at once: {error:?}")); all.len()],
            });
            let result = results.get(index).context("a case without a result")?;
            match result {
                Err(error) if error.contains(SKIPPED) => again(&case, error),
                result => result.clone().map_err(|error| anyhow!(error)),
            }
        })
    });
    one_by_one.chain(unseen_chains()).collect()
}

/// Runs one case under an observer of its own.
pub fn alone(case: &Case) -> Outcome {
    let results = run(std::slice::from_ref(case), true)?;
    results.into_iter().try_for_each(|result| result.map_err(|error| anyhow!(error)))
}

/// What failures say of windows in which the kernel skipped runs of programs.
const SKIPPED: &str = "the kernel skipped";

/// Runs a case of all by itself, because numbers of a window in which the kernel skipped runs decide
/// nothing. Shorter bursts have better prospects of a window without.
fn again(case: &Case, first: &str) -> Outcome {
    eprintln!("figure again {}: {}", case.name, first.lines().last().unwrap_or_default().trim());
    alone(&Case { times: case.times.min(BURST / 5), ..case.clone() })
}

/// Whether the kernel has nothing that fentry could use to see one waiter of a shared epoll instance
/// wake the next: `ep_done_scan`, or its type information.
fn is_blind_to_chains() -> bool {
    provider().as_deref() == Some("fentry")
        && fs::read("/sys/kernel/btf/vmlinux")
            .is_ok_and(|types| !types.windows(14).any(|text| text == b"\0ep_done_scan\0"))
}

/// On such a kernel, what observer chooses by itself sees them.
fn unseen_chains() -> Option<Test> {
    let run = || {
        let case = spaced(
            "truth::chains_are_seen_where_nothing_is_forced".to_owned(),
            "epoll-shared",
            &[],
            &["2", "8"],
        );
        let results = run(&[case], false)?;
        results.into_iter().try_for_each(|result| result.map_err(|error| anyhow!(error)))
    };
    let name = "truth::chains_are_seen_where_nothing_is_forced";
    is_blind_to_chains().then(|| Test::new(name, Need::Kernel, run))
}

/// Runs the servers of all cases under one observer. What became of each case, or why there is
/// nothing to compare. `forced`: with the provider that the environment names, if it does.
fn run(cases: &[Case], forced: bool) -> anyhow::Result<Vec<Result<(), String>>> {
    let connections = match env::var("OBSERVER_TEST_CONNECTIONS") {
        Ok(count) => count.parse().context("OBSERVER_TEST_CONNECTIONS is no count")?,
        Err(_) => CONNECTIONS,
    };
    let mut groups = cases
        .iter()
        .map(|case| {
            let count = connections * case.times;
            let count = count.to_string();
            let servers = case.sizes.iter().map(|workers| {
                let base = ["--netns", "--strategy", case.strategy, "--connections", &count];
                Workload::start(&[&base[..], &["--workers", workers], case.options].concat())
            });
            Ok((case, servers.collect::<anyhow::Result<Vec<_>>>()?))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let servers = groups.iter().flat_map(|(_, servers)| servers);
    let pids: Vec<_> = servers.map(|server| server.ready.pid.to_string()).collect();
    let flags: Vec<_> = pids.iter().flat_map(|pid| ["--pid", pid]).collect();
    let observer = if forced {
        Observer::json(&flags)?
    } else {
        Observer::json_unforced(&[&flags[..], &["--provider", "auto"]].concat())?
    };
    let tallies = groups
        .iter_mut()
        .map(|(_, servers)| servers.iter_mut().map(Workload::round).collect())
        .collect::<anyhow::Result<Vec<Vec<Tally>>>>()?;
    let report = observer.total()?;
    let blind = forced && is_blind_to_chains();
    let whole = check_providers(&report, cases, forced);
    let results = groups.iter().zip(&tallies).map(|((case, servers), tallies)| {
        let one = || -> Outcome {
            for ((server, tally), size) in servers.iter().zip(tallies).zip(&case.sizes) {
                figure(&report, case, size, server, tally)?;
                check(&report, case, server, tally, blind)
                    .with_context(|| format!("{} with {size} workers", case.strategy))?;
            }
            Ok(())
        };
        one().map_err(|error| format!("{error:?}"))
    });
    let mut results: Vec<_> = results.collect();
    // What is wrong with the whole report is told by its first case.
    if let (Err(error), Some(first)) = (whole, results.first_mut())
        && first.is_ok()
    {
        *first = Err(format!("{error:?}"));
    }
    for (_, servers) in groups {
        servers.into_iter().try_for_each(Workload::quit)?;
    }
    Ok(results)
}

fn check(report: &Value, case: &Case, server: &Workload, tally: &Tally, blind: bool) -> Outcome {
    let lost = &report["audit"];
    let result = check_numbers(report, case, server, tally, blind);
    // Who finds a program running on its CPU skips that program, and is counted. A busy or emulated
    // machine is slow enough to see it; where the numbers are right all the same, they are.
    match number(&lost["missed_runs"])? {
        0 => result.with_context(|| format!("the audit: {lost}")),
        skipped => result.with_context(|| format!("{SKIPPED} {skipped} runs")),
    }
}

/// `blind`: whether chain wakes are not seen.
fn check_numbers(
    report: &Value,
    case: &Case,
    server: &Workload,
    tally: &Tally,
    blind: bool,
) -> Outcome {
    let lost = &report["audit"];
    compare(report, server, tally)?;
    ensure!(lost["map_full"] == 0, "the audit: {lost}");
    if case.burst {
        return Ok(());
    }
    compare_waits(report, case, server)?;
    if case.strategy != "epoll-shared" || !blind {
        return compare_spaced(report, server, tally);
    }
    // Each connection wakes one waiter, which is seen, and each waiter wakes the next while the
    // connection is not yet accepted.
    let own: u64 = tally.workers.iter().map(crate::workload::WorkerTally::wakeups).sum();
    let seen = sum(report, server, "/wakeups/total")?;
    let others = tally.workers.len() as u64 - 1;
    ensure!(
        seen == tally.connections && own >= seen && own - seen <= tally.connections * others,
        "saw {seen} wakeups of {own} by {} connections, of which those passed on are missing",
        tally.connections
    );
    Ok(())
}

/// How the workers' processes wait, as they do.
fn compare_waits(report: &Value, case: &Case, server: &Workload) -> Outcome {
    let expected = match case.strategy {
        "epoll-exclusive" => "epoll-exclusive",
        "poll" => "poll",
        "blocking" => "accept",
        _ => "epoll",
    };
    // Of these one waits, and the others for their turn.
    let by_turns = case.strategy == "accept-mutex";
    for one in listeners(report, server)? {
        let rows = one["workers"].as_array().context("workers")?;
        let of_worker = |holder: &&Value| rows.iter().any(|row| row["pid"] == holder["pid"]);
        let holders = one["holders"].as_array().context("holders")?;
        for holder in holders.iter().filter(of_worker) {
            let wait = &holder["wait"];
            ensure!(*wait == expected || by_turns && wait.is_null(), "{holder}");
        }
        ensure!(holders.iter().any(|holder| holder["wait"] == expected), "{holders:?}");
    }
    Ok(())
}

/// What the report says of where its numbers come from.
fn check_providers(report: &Value, cases: &[Case], forced: bool) -> Outcome {
    for signal in ["accepts", "wakeups", "handshakes"] {
        let from = &report["providers"][signal];
        ensure!(!forced || expected_via(&from["via"]), "{signal}: {from}");
    }
    // Only the chain wakes of a shared epoll instance are inferred: where there are none but
    // tracepoints all of them, elsewhere none of them unless connections come back to back. Or they
    // are not seen at all. Each is said.
    let wakeups = &report["providers"]["wakeups"];
    let mut shared = cases.iter().filter(|case| case.strategy == "epoll-shared");
    let inferred = wakeups["inferred"].as_u64().is_some_and(|count| count > 0);
    match (wakeups["via"] == "tracepoint", shared.clone().count() != 0) {
        (true, any) => ensure!(inferred == any, "{wakeups}"),
        (false, _) => ensure!(!inferred || shared.any(|case| case.burst), "{wakeups}"),
    }
    let missed = forced && is_blind_to_chains();
    // Nor is a number exact when the kernel skipped runs of the programs.
    let skipped = report["audit"]["missed_runs"] != 0;
    // Nor are tracepoints, which see no end of a notification, and not every accept; nor kprobes where the
    // kernel does not tell what they missed. Where nothing is forced, scans may be theirs.
    let unnoticed = |via: &Value| -> anyhow::Result<bool> {
        Ok(*via == "tracepoint" || *via == "kprobe" && !kprobes_tell()?)
    };
    let by_kprobe = !forced && is_blind_to_chains();
    let estimated = unnoticed(&wakeups["via"])? || by_kprobe;
    // Nor where it could not be told of a wakeup whether it was one.
    let doubtful = !wakeups["uncounted"].is_null();
    let inexact = inferred || missed || skipped || estimated || doubtful;
    ensure!(wakeups["exact"] == !inexact, "{wakeups}");
    let accepts = &report["providers"]["accepts"];
    let exact = !(skipped || unnoticed(&accepts["via"])?);
    ensure!(accepts["exact"] == exact, "{accepts}");
    Ok(())
}

/// A number of the report, over all listeners of a server.
fn sum(report: &Value, server: &Workload, path: &str) -> anyhow::Result<u64> {
    let found = listeners(report, server)?;
    found.iter().map(|one| one.pointer(path).context("missing").and_then(number)).sum()
}

/// Says on standard error, where it stands between no harness's words, what was counted by whom.
fn figure(
    report: &Value,
    case: &Case,
    size: &str,
    server: &Workload,
    tally: &Tally,
) -> anyhow::Result<()> {
    if provider().is_none() {
        return Ok(());
    }
    let of = |count: fn(&crate::workload::WorkerTally) -> u64| -> u64 {
        tally.workers.iter().map(count).sum()
    };
    let wakeups = &report["providers"]["wakeups"];
    let figure = json!({
        "case": case.name,
        "strategy": case.strategy,
        "workers": size.parse::<u64>()?,
        "accepted": [of(|one| one.accepted), sum(report, server, "/accepted")?],
        "wakeups": [of(crate::workload::WorkerTally::wakeups), sum(report, server, "/wakeups/total")?],
        "via": wakeups["via"],
        "exact": wakeups["exact"],
    });
    eprintln!("figure counts {figure}");
    Ok(())
}
