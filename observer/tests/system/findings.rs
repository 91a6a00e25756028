//! What is wrong with a listener, as JSON and the table tell it.

mod healthy;
mod provoked;
mod still;

use std::{
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    Need, Outcome, Test,
    backlog::{SEEN, WHOLE},
    observer::{Observer, on_port, only_on_port},
    role::Actor,
};

pub fn tests() -> Vec<Test> {
    let own = vec![
        Test::new("findings::an_idle_listener_with_one_is_in_every_interval", Need::Kernel, idle),
        Test::new("findings::the_table_says_what_json_says", Need::Kernel, faces),
    ];
    own.into_iter().chain(provoked::tests()).chain(still::tests()).chain(healthy::tests()).collect()
}

/// Plays a role of these tests.
pub fn play(role: &str) -> Outcome {
    match role {
        "found-healthy" => healthy::play(),
        other => provoked::play(other),
    }
}

/// Its backlog is cut in the window, and nothing else ever happens on it or on its neighbours.
fn idle() -> Outcome {
    let mut actor = Actor::start("backlog")?;
    actor.line()?;
    let pid = actor.pid().to_string();
    let observer = Observer::json(&["--pid", &pid, "--interval", "200ms"])?;
    actor.next()?;
    actor.line()?;
    thread::sleep(Duration::from_secs(2));
    observer.signal(Signal::SIGINT)?;
    let reports = observer.wait()?.reports()?;
    let intervals = || reports.iter().filter(|report| report["window"]["kind"] == "interval");
    let mut alone = 0;
    for report in intervals() {
        for one in on_port(report, SEEN) {
            let requested = &one["backlog"]["requested"];
            let found = ids(one)?;
            ensure!(found == ["backlog-clamped"] || requested.is_null(), "{one}");
        }
        let listeners = report["listeners"].as_array().context("listeners")?;
        alone += u64::from(listeners.len() == 1 && !on_port(report, SEEN).is_empty());
        if let Some(whole) = on_port(report, WHOLE).first() {
            ensure!(ids(whole)?.is_empty(), "{whole}");
        }
    }
    ensure!(alone > 1, "it was idle in no interval: {:?}", intervals().collect::<Vec<_>>());
    let total = reports.last().context("a total")?;
    let finding = only_on_port(total, SEEN)?["findings"][0].clone();
    let expected = [
        ("severity", json!("warning")),
        ("server", Value::Null),
        ("summary", json!("listen(1024) was clamped to 16; net.core.somaxconn is 4096 since")),
        ("evidence", json!("requested 1024, got 16, net.core.somaxconn now 4096")),
        ("steps", json!([])),
    ];
    for (name, expected) in expected {
        ensure!(finding.get(name) == Some(&expected), "{name} is not {expected}: {finding}");
    }
    for name in ["fix", "source"] {
        ensure!(finding[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {finding}");
    }
    drop(actor);
    Ok(())
}

/// A connection waits at a listener, and nobody accepts it.
fn faces() -> Outcome {
    let told = "1 connection waits in the accept queue and was not accepted";
    for format in ["json", "table"] {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let filter = port.to_string();
        let observer =
            Observer::start(&["--format", format, "--port", &filter, "--duration", "1h"])?;
        let _client = TcpStream::connect(("127.0.0.1", port))?;
        // For as long as it may only have come last.
        thread::sleep(Duration::from_millis(300));
        observer.signal(Signal::SIGINT)?;
        let ended = observer.wait()?;
        if format == "table" {
            let text = ended.stdout;
            ensure!(text.contains(&format!("\n  warning: {told}\n    seen: ")), "{text}");
            continue;
        }
        let total = ended.total()?;
        let one = only_on_port(&total, port)?;
        ensure!(ids(one)? == ["silent-clients"], "{one}");
        ensure!(one["findings"][0]["summary"] == told, "{one}");
    }
    Ok(())
}

/// The summary of a listener's finding.
pub fn summary<'a>(listener: &'a Value, id: &str) -> anyhow::Result<&'a str> {
    let findings = listener["findings"].as_array().context("findings")?;
    let finding = findings.iter().find(|finding| finding["id"] == id);
    let finding = finding.with_context(|| format!("no {id}: {listener}"))?;
    finding["summary"].as_str().context("a summary")
}

/// The names of a listener's findings.
pub fn ids(listener: &Value) -> anyhow::Result<Vec<&str>> {
    let findings = listener["findings"].as_array().context("findings")?;
    findings.iter().map(|finding| finding["id"].as_str().context("an id")).collect()
}
