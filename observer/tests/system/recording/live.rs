//! What a live observer records, and what is said of it afterwards.

use std::{fs, io::Read as _};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;
use observer::{Update, recording::Reader};
use serde_json::Value;

use super::{
    recorder::{INTERVAL, ended, recorded, recorder, until_reports, updates},
    refused, report, text,
};
use crate::{
    Need, Outcome, Test,
    observer::{Observer, run},
    schema::{parse_comparison, parse_header, parse_report},
    workload::Workload,
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("recording::intervals_add_up_to_the_total", Need::Kernel, sums),
        Test::new("recording::events_are_written_too", Need::Kernel, events),
        Test::new("recording::what_was_killed_is_read", Need::Kernel, killed),
        Test::new("recording::before_and_after_reuseport", Need::Kernel, before_and_after),
        Test::new("recording::standard_output_and_its_end", Need::Kernel, standard_output),
        Test::new("recording::nothing_is_overwritten", Need::Kernel, overwritten),
    ]
}

/// Counts of a report's only listener.
fn counts(report: &Value) -> anyhow::Result<Value> {
    let [one] = report["listeners"].as_array().context("listeners")?.as_slice() else {
        bail!("{report}");
    };
    let of = |name: &str| one[name].clone();
    let mut workers: Vec<Value> = one["workers"].as_array().cloned().unwrap_or_default();
    workers.sort_by_key(|one| one["tid"].as_u64());
    Ok(serde_json::json!({
        "queued": of("queued"), "accepted": of("accepted"), "wakeups": of("wakeups"),
        "herd_ratio": of("herd_ratio"), "accept_errors": of("accept_errors"), "drops": of("drops"),
        "accept_wait": of("accept_wait"), "fairness": of("fairness"), "workers": workers,
        "depth": one["accept_queue"]["max"], "histogram": one["accept_queue"]["histogram"],
        "holders": of("holders"), "backlog": of("backlog"), "closed": of("closed"),
    }))
}

fn sums() -> Outcome {
    let directory = tempfile::tempdir()?;
    for name in ["a.ndjson", "a.ndjson.zst"] {
        let path = directory.path().join(name);
        let connections = recorded("epoll", &path, &[])?;
        let (total, said) = report(&[text(&path)?])?;
        ensure!(total["window"]["kind"] == "total" && said.is_empty(), "{said}");
        ensure!(total["listeners"][0]["accepted"] == connections, "{total}");
        // All intervals, added up.
        let (sum, said) = report(&[text(&path)?, "--from", "0s"])?;
        ensure!(said.contains("this is the sum of interval reports (all)"), "{said}");
        let (of_total, of_sum) = (counts(&total)?, counts(&sum)?);
        ensure!(of_total == of_sum, "total {of_total:#}\nsum {of_sum:#}");
        // The parts of it add up to it.
        let accepted = |arguments: &[&str]| {
            let all = report(&[&[text(&path)?], arguments].concat())?.0;
            let accepted = all["listeners"].as_array().context("listeners")?.iter();
            let accepted = accepted.map(|one| one["accepted"].as_u64().unwrap_or(0)).sum::<u64>();
            anyhow::Ok(accepted)
        };
        let seconds = total["window"]["seconds"].as_f64().context("a length")?;
        let middle = format!("{:.0}ms", seconds * 500.0);
        let parts = accepted(&["--to", &middle])? + accepted(&["--from", &middle])?;
        ensure!(parts == connections, "{parts} instead of {connections}");
        let first = fs::read(&path)?;
        ensure!(first.starts_with(b"{\"type\":\"recording\"") != name.ends_with(".zst"), "{name}");
        parse_report(&sum.to_string())?;
        if let Ok(text) = String::from_utf8(first) {
            // Every line as docs/schema.json has it.
            let (header, reports) = text.split_once('\n').context("lines")?;
            parse_header(header)?;
            reports.lines().try_for_each(|line| parse_report(line).map(drop))?;
        }
    }
    Ok(())
}

fn events() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("a.ndjson.zst");
    let connections = recorded("blocking", &path, &["--events"])?;
    let mut reader = Reader::open(&path)?;
    let words = &reader.header().context("a header")?.arguments;
    ensure!(words.contains(&"--events".to_owned()), "{words:?}");
    let (mut accepted, mut lost) = (0, 0);
    while let Some(update) = reader.next()? {
        match update {
            Update::Event(event) => match event.what {
                observer::model::What::Accepted { .. } => accepted += 1,
                observer::model::What::Lost { count, .. } => lost += count,
                _ => {}
            },
            Update::Ended(ended) => {
                ensure!(ended.total.listeners.len() == 1, "{:?}", ended.total.listeners);
            }
            Update::Report(_) => {}
        }
    }
    ensure!(reader.has_total() && reader.cut().is_none(), "{:?}", reader.cut());
    ensure!(
        accepted <= connections && accepted + lost >= connections,
        "{accepted} of {connections}, {lost} lost"
    );
    Ok(())
}

fn killed() -> Outcome {
    let directory = tempfile::tempdir()?;
    for name in ["a.ndjson", "a.ndjson.zst"] {
        let path = directory.path().join(name);
        let mut workload = Workload::start(&["--strategy", "epoll", "--workers", "2"])?;
        let mut recorder = recorder(workload.ready.listeners[0].port, &path, &[])?;
        let connections = workload.round()?.connections;
        until_reports(&path, 1)?;
        until_reports(&path, updates(&path)?.len() + 2)?;
        recorder.signal(Signal::SIGKILL)?;
        let _taken = recorder.take_stdout()?;
        recorder.wait_status()?;
        let (sum, said) = report(&[text(&path)?])?;
        ensure!(sum["listeners"][0]["accepted"] == connections, "{sum}");
        ensure!(said.contains("there is no total"), "{said}");
        // Compressed data without its end tells that it was cut.
        ensure!(said.contains("it was cut off after line") == name.ends_with(".zst"), "{said}");
        workload.quit()?;
    }
    Ok(())
}

fn before_and_after() -> Outcome {
    let directory = tempfile::tempdir()?;
    let [before, after] = ["before.ndjson", "after.ndjson"].map(|name| directory.path().join(name));
    // One port for both, as of a server that was restarted with another configuration.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    for (strategy, path) in [("epoll", &before), ("reuseport", &after)] {
        let arguments =
            ["--strategy", strategy, "--workers", "4", "--connections", "40", "--port", &port];
        let mut workload = Workload::start(&arguments)?;
        let recorder = recorder(port.parse()?, path, &[])?;
        let _tally = workload.round()?;
        until_reports(path, 1)?;
        ended(recorder, Signal::SIGINT)?;
        workload.quit()?;
    }
    // Whichever is named first.
    for (one, other) in [(&before, &after), (&after, &before)] {
        let (comparison, _) = report(&[text(one)?, "--against", text(other)?])?;
        parse_comparison(&comparison.to_string())?;
        ensure!(comparison["before"]["file"] == text(&before)?, "{comparison}");
        let listeners = comparison["listeners"].as_array().context("listeners")?;
        ensure!(listeners.len() == 1, "a group is one listener: {comparison}");
        let one = &listeners[0];
        let numbers = one["numbers"].as_array().context("numbers")?;
        let herd = numbers.iter().find(|one| one["name"] == "herd_ratio").context("a ratio")?;
        ensure!(herd["course"] == "better" && herd["after"] == 1.0, "{herd}");
        ensure!(herd["before"].as_f64().is_some_and(|ratio| ratio > 2.0), "{herd}");
        let changed = |name: &str| {
            let all = one["changes"].as_array().into_iter().flatten();
            let change = all.into_iter().find(|change| change["name"] == name);
            change.map(|one| (one["before"].clone(), one["after"].clone()))
        };
        ensure!(changed("reuseport") == Some(("false".into(), "true".into())), "{one}");
        ensure!(changed("sockets") == Some(("1".into(), "4".into())), "{one}");
    }
    let output = run(&["report", text(&after)?, "--against", text(&before)?])?;
    let shown = String::from_utf8(output.stdout)?;
    for words in ["herd ratio", "better", "reuseport", "sockets"] {
        ensure!(shown.contains(words), "{words}: {shown}");
    }
    ensure!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    Ok(())
}

fn standard_output() -> Outcome {
    let mut recorder = Observer::start(&["record", "--interval", INTERVAL, "-o", "-"])?;
    let mut stdout = recorder.take_stdout()?;
    let mut first = [0; 20];
    stdout.read_exact(&mut first)?;
    ensure!(first.starts_with(b"{\"type\":\"recording\""), "{first:?}");
    // Nobody reads any more: no error, and no reason to stay.
    drop(stdout);
    let status = recorder.wait_status()?;
    ensure!(status.success(), "{status}: {}", recorder.said());
    let said = refused(&["record", "-o", "-", "--max-size", "1M"], 2)?;
    ensure!(said.contains("standard output has no parts"), "{said}");
    Ok(())
}

fn overwritten() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("a.ndjson");
    fs::write(&path, "precious\n")?;
    let said = refused(&["record", "--duration", "10ms", "-o", text(&path)?], 1)?;
    ensure!(said.contains("a.ndjson exists and is kept"), "{said}");
    ensure!(fs::read_to_string(&path)? == "precious\n", "it was overwritten");
    let nowhere = directory.path().join("none/a.ndjson");
    let said = refused(&["record", "--duration", "10ms", "-o", text(&nowhere)?], 1)?;
    ensure!(said.contains("no such directory"), "{said}");
    let recorder = Observer::start(&[
        "record",
        "--interval",
        INTERVAL,
        "--duration",
        "300ms",
        "--overwrite",
        "-o",
        text(&path)?,
    ])?;
    let ended = recorder.wait()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    ensure!(fs::read_to_string(&path)?.starts_with("{\"type\":\"recording\""), "another file");
    Ok(())
}
