//! The truth tests: every number against the workload's own tally and the kernel's count of its
//! workers' sleeps, task by task.

use std::{
    io::{BufRead, BufReader},
    time::SystemTime,
};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    Need, Outcome, Test,
    cases::{self, alone, burst},
    compare::{compare, compare_spaced},
    observer::{Observer, number},
    schema::parse_report,
    workload::Workload,
};

pub fn tests() -> Vec<Test> {
    let others = [
        Test::new("truth::two_namespaces_on_one_port_do_not_mix", Need::Kernel, two_namespaces),
        Test::new("truth::two_observers_see_the_same", Need::Kernel, two_observers),
        Test::new("truth::passers_by_are_no_workers", Need::Kernel, || {
            let _noise = (0..2)
                .map(|_| crate::role::Actor::start("noise"))
                .collect::<anyhow::Result<Vec<_>>>()?;
            alone(&burst("blocking"))
        }),
        Test::new("truth::rounds_add_up", Need::Kernel, rounds_add_up),
    ];
    cases::tests().into_iter().chain(others).collect()
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
        lines.next().transpose()?.map(|line| parse_report(&line)).transpose()
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
    // Where nothing happened on it, the only listener is idle.
    reports.retain(|one| one["idle_listeners"] != 1);
    for path in ["/accepted", "/queued", "/wakeups/won", "/wakeups/lost", "/wakeups/silent"] {
        let sum = reports.iter().map(|one| of(one, path)).sum::<anyhow::Result<u64>>()?;
        ensure!(sum == of(&total, path)?, "{path}: the intervals have {sum}: {total}");
    }
    workload.quit()
}
