//! The file for trace viewers, read by the parser of Chrome's DevTools.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::window::Trace;
use crate::{Need, Outcome, Test, workload::Workload};

/// Names the directory that the parser is installed in.
const CHOICE: &str = "OBSERVER_TEST_TRACE_ENGINE";

/// The program that reads a file with it.
const READER: &str = include_str!("read_trace.mjs");

pub fn tests() -> Vec<Test> {
    vec![Test::new("trace::a_viewer_reads_the_file", Need::Also(no_engine), read)]
}

fn directory() -> PathBuf {
    let tools = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/trace-engine");
    env::var_os(CHOICE).map_or_else(tools, PathBuf::from)
}

fn no_engine() -> Option<String> {
    if Command::new("node").arg("--version").output().is_err() {
        return Some("no parser of traces: node is not installed".to_owned());
    }
    let module = directory().join("node_modules/@paulirish/trace_engine");
    (!module.is_dir()).then(|| {
        "no parser of traces: the npm package @paulirish/trace_engine is not under target/tools"
            .to_owned()
    })
}

fn read() -> Outcome {
    const CONNECTIONS: u64 = 50;
    const WORKERS: u64 = 4;
    let (workers, connections) = (WORKERS.to_string(), CONNECTIONS.to_string());
    let arguments =
        ["--strategy", "epoll", "--workers", &workers, "--connections", &connections, "--netns"];
    let mut workload = Workload::start(&arguments)?;
    let pid = workload.ready.pid.to_string();
    let trace = Trace::start(&["--pid", &pid, "--format", "trace-event"])?;
    workload.round()?;
    let told = trace.end()?;
    workload.quit()?;
    let work = tempfile::tempdir()?;
    let (reader, file) = (work.path().join("read_trace.mjs"), work.path().join("trace.json"));
    fs::write(&reader, READER)?;
    fs::write(&file, &told.stdout)?;
    let output = Command::new("node").arg(&reader).arg(directory()).arg(&file).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    let seen: Value = serde_json::from_slice(&output.stdout).context("what it read")?;
    let listener = told.report.listeners.first().context("a listener")?;
    let wakeups = listener.wakeups.unwrap_or_default();
    // Arrows from wakeups to the accepts that they led to.
    ensure!(seen["arrows"] == wakeups.won, "{seen}: {wakeups:?}");
    ensure!(seen["unlike"] == 0, "arrows between others: {seen}");
    // A track for each worker that was woken or accepted, and no slice within another.
    let busy = listener.workers.iter().filter(|one| one.wakeups.total != 0 || one.accepted != 0);
    ensure!(seen["tracks"] == busy.count() as u64, "{seen}");
    ensure!(seen["slices"] == wakeups.total + CONNECTIONS, "{seen}: {wakeups:?}");
    ensure!(seen["nested"] == 0, "{seen}");
    ensure!(seen["names"].as_array().is_some_and(|all| all.iter().all(|one| one == "demo-worker")));
    let name = format!("listener 127.0.0.1:{}", listener.port);
    ensure!(
        seen["processes"].as_array().is_some_and(|all| all.iter().any(|one| *one == name)),
        "{seen}"
    );
    Ok(())
}
