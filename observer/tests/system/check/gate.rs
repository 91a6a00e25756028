//! Limits: each broken and each held, what is empty, and what only can be estimated.

use std::{
    io::{BufRead as _, BufReader},
    os::fd::AsRawFd as _,
    process::Command,
};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{Check, one_line, well};
use crate::{
    Need, Outcome, Test,
    observer::{Observer, program},
    role::{Actor, connect},
    workload::Workload,
};

pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::new("check::a_herd_fails_and_exclusive_waiting_passes", Need::Kernel, herd),
        Test::new("check::estimates_decide_only_where_allowed", Need::Kernel, estimates),
        Test::new("check_limits::a_gate_without_a_limit_is_bad_usage", Need::Nothing, no_limit),
        Test::new("check_limits::an_empty_run_does_not_pass", Need::Kernel, empty),
        Test::new("check_limits::what_runs_is_watched", Need::Kernel, watched),
        Test::new("check_limits::a_verdict_that_nobody_reads_is_one", Need::Kernel, unread),
        Test::new("check_limits::a_baseline_is_compared", Need::Kernel, baseline),
        Test::new("check_limits::a_baseline_that_is_none_is_an_error", Need::Root, no_baseline),
    ];
    for (name, role, breaks, holds) in LIMITS {
        let run = move || limit(role, breaks, holds);
        tests.push(Test::new(format!("check_limits::{name}"), Need::Kernel, run));
    }
    tests
}

/// What each limit is broken and held by: its name, the role of the command, and the limit.
const LIMITS: [(&str, &str, &[&str], &[&str]); 7] = [
    ("drops", "check-drops", &["--max-drops", "0"], &["--max-drops", "1000000"]),
    (
        "accept_wait",
        "check-slow",
        &["--max-accept-wait-p99", "50ms"],
        &["--max-accept-wait-p99", "1h"],
    ),
    ("queue_used", "check-drops", &["--max-queue-used", "80"], &["--max-queue-used", "1000%"]),
    ("accept_errors", "check-errors", &["--max-accept-errors", "2"], &["--max-accept-errors", "3"]),
    ("min_accepted", "check-connects-5", &["--min-accepted", "6"], &["--min-accepted", "5"]),
    (
        "a_finding",
        "check-drops",
        &["--fail-on", "accept-queue-overflow"],
        &["--fail-on", "fd-exhausted"],
    ),
    ("a_severity", "check-drops", &["--fail-on", "warning"], &["--max-drops", "1000000"]),
];

fn limit(role: &str, breaks: &[&str], holds: &[&str]) -> Outcome {
    // Servers that accept nothing are no empty run here.
    let fewest: &[&str] =
        if breaks[0] == "--min-accepted" { &[] } else { &["--min-accepted", "0"] };
    let run = |limit: &[&str]| Check::new(&[limit, fewest].concat())?.of_role(role)?.run();
    let broken = run(breaks)?;
    let told = format!("broken {} {}", breaks[0], breaks[1]);
    let broken = broken.is(3, &["check failed: ", &told])?;
    if breaks[0] != "--min-accepted" {
        let place = format!("at 127.0.0.1:{}", broken.port()?);
        broken.said(&[&place])?;
    }
    run(holds)?.is(0, &["check passed", &format!("ok {}", holds[0])]).map(well)?
}

fn herd() -> Outcome {
    let run = |strategy| Check::new(&["--max-herd-ratio", "2"])?.of_workload(strategy, 50).run();
    let herd = run("epoll")?
        .is(3, &["broken --max-herd-ratio 2: ", "observer explain thundering-herd"])?;
    let place = format!("at 127.0.0.1:{}", herd.port()?);
    let herd = herd.said(&[&place, "demo-worker", "ok --min-accepted 1: 50"])?;
    let report = herd.report.as_ref().context("no report")?;
    let ratio = report["listeners"][0]["herd_ratio"].as_f64().context("ratio")?;
    ensure!((4.0..=8.0).contains(&ratio), "{ratio}");
    // What the command says is its own: its tally is on standard output, and nothing else.
    let lines: Vec<Value> =
        herd.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(lines.len() == 2 && lines[1]["connections"] == 50, "{}", herd.stdout);
    run("epoll-exclusive")?.is(0, &["check passed", "ok --max-herd-ratio 2: "]).map(well)?
}

/// What is not exact on this kernel is refused, before the command has run for it.
fn estimates() -> Outcome {
    let report = Observer::json(&["--duration", "1ms"])?.wait_total()?;
    let exact = |name: &str| report["providers"][name]["exact"] == true;
    let done = Check::strict(&["--max-herd-ratio", "100"])?.of_workload("epoll", 5).run()?;
    if exact("wakeups") && exact("accepts") {
        return done.is(0, &["ok --max-herd-ratio 100: "]).map(well)?;
    }
    let done = done.is(4, &["--max-herd-ratio 100 cannot be decided", "--allow-estimates"])?;
    ensure!(done.stdout.is_empty() && done.report.is_none(), "the command ran: {}", done.stdout);
    // What the limit does not depend on may be an estimate.
    if exact("handshakes") {
        let done = Check::strict(&["--max-queue-used", "100"])?.of_workload("epoll", 5).run()?;
        done.is(0, &["ok --max-queue-used 100%"])?;
    }
    Ok(())
}

fn no_limit() -> Outcome {
    for arguments in
        [&[][..], &["--port", "80"], &["--", "true"], &["--tolerance", "5", "--", "true"]]
    {
        let output = Command::new(program()).arg("check").args(arguments).output()?;
        ensure!(output.status.code() == Some(2), "{arguments:?}: {output:?}");
        ensure!(String::from_utf8_lossy(&output.stderr).contains("--"), "{output:?}");
    }
    Ok(())
}

fn empty() -> Outcome {
    let run = |arguments: &[&str], role: &str| Check::new(arguments)?.of_role(role)?.run();
    // It never listens; it listens, and nobody comes.
    let limit = ["--max-drops", "0"];
    let done = run(&limit, "check-nothing")?;
    done.is(
        3,
        &[
            "skipped --max-drops 0: no listener was there",
            "broken --min-accepted 1: no listener was there",
        ],
    )?;
    run(&limit, "check-connects-0")?.is(3, &["broken --min-accepted 1: nothing was accepted"])?;
    let least = ["--min-accepted", "0", "--max-drops", "0"];
    run(&least, "check-nothing")?.is(0, &["check passed"]).map(well)?
}

fn watched() -> Outcome {
    let mut server = Actor::start("listen")?;
    let port = server.port()?.to_string();
    let filters = ["--port", &port, "--min-accepted", "3"];
    let mut check = Check::new(&filters)?;
    let observer = Observer::begin(std::mem::replace(&mut check.command, Command::new("true")))?;
    for _ in 0..3 {
        connect(port.parse()?)?;
    }
    observer.signal(nix::sys::signal::Signal::SIGINT)?;
    let ended = observer.wait()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    // There is no command whose output it could be taken for.
    ensure!(ended.stdout.contains("ok       --min-accepted 3: 3"), "{}", ended.stdout);
    // Nobody comes.
    let done = Check::new(&[&filters[..], &["--duration", "100ms"]].concat())?.run()?;
    ensure!(done.code == 3, "{}", done.stderr);
    let told = one_line(&done.stdout);
    ensure!(told.contains("broken --min-accepted 3: nothing was accepted"), "{told}");
    Ok(())
}

fn unread() -> Outcome {
    let mut server = Actor::start("listen")?;
    let port = server.port()?.to_string();
    let mut check = Check::new(&["--port", &port, "--min-accepted", "1", "--duration", "300ms"])?;
    let mut child = check.command.stdout(std::process::Stdio::piped()).spawn()?;
    drop(child.stdout.take());
    let status = child.wait()?;
    ensure!(status.code() == Some(3), "{status}");
    // A report that nobody takes is none: this is not standard output, which may be left.
    let limits = ["--port", &port, "--min-accepted", "1", "--duration", "300ms"];
    let mut check = Check::new(&limits)?;
    let (reads, pipe) = std::io::pipe()?;
    check.command.arg("--junit").arg(format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        pipe.as_raw_fd()
    ));
    let mut child = check.command.stderr(std::process::Stdio::piped()).spawn()?;
    let mut said = BufReader::new(child.stderr.take().context("standard error")?);
    let mut line = String::new();
    said.read_line(&mut line)?;
    ensure!(line.starts_with("observing"), "{line}");
    drop(reads);
    std::io::copy(&mut said, &mut std::io::sink())?;
    let status = child.wait()?;
    ensure!(status.code() == Some(1), "{status}");
    Ok(())
}

fn baseline() -> Outcome {
    // Too few for waits, which another load of this machine changes.
    let before = Check::new(&["--min-accepted", "1"])?.of_workload("epoll-exclusive", 60).run()?;
    let before = before.is(0, &[])?;
    let file = before.directory.path().join("report.json");
    let file = file.to_str().context("a path")?;
    let against = ["--baseline", file, "--tolerance", "50"];
    let run = |strategy| Check::new(&against)?.of_workload(strategy, 60).run();
    run("epoll-exclusive")?.is(0, &["ok --baseline: herd ratio +50%"])?;
    let worse = run("epoll")?.is(3, &["broken --baseline: herd ratio +50%: ", ", was "])?;
    // Another port, of the same program.
    worse.said(&["(port ", " then)"])?;
    // A recording is one too.
    let mut server = Workload::start(&[
        "--netns",
        "--strategy",
        "epoll",
        "--connections",
        "60",
        "--workers",
        "8",
    ])?;
    let recording = before.directory.path().join("recording.ndjson.zst");
    let recording = recording.to_str().context("a path")?;
    let pid = server.ready.pid.to_string();
    let recorder = Observer::start(&["record", "--pid", &pid, "-o", recording])?;
    server.round()?;
    recorder.signal(nix::sys::signal::Signal::SIGINT)?;
    let ended = recorder.wait()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    let against = ["--baseline", recording];
    Check::new(&against)?
        .of_workload("epoll", 60)
        .run()?
        .is(0, &["ok --baseline: herd ratio +10%"])?;
    // Another program is not compared, and that does not pass.
    let other = Check::new(&against)?.of_role("check-connects-5")?.run()?;
    other
        .is(3, &["no listener of the baseline is here", "of the baseline is not here"])
        .map(well)?
}

fn no_baseline() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("file");
    for (text, words) in [
        ("", "file"),
        ("what?\n", "file"),
        ("{\"type\":\"recording\",\"schema_version\":1}\n", "file"),
    ] {
        std::fs::write(&path, text)?;
        let path = path.to_str().context("a path")?;
        let done = Check::new(&["--baseline", path])?.of_role("check-nothing")?.run()?;
        done.is(1, &[words])?;
    }
    let done = Check::new(&["--baseline", "/nonexistent"])?.of_role("check-nothing")?.run()?;
    done.is(1, &["/nonexistent"])?;
    Ok(())
}
