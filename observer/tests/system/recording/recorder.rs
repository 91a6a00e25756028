//! A recorder that runs, and what is in its file.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;
use observer::{Update, recording::Reader};

use super::text;
use crate::{
    Outcome,
    observer::{Ended, Observer},
    workload::Workload,
};

/// Length of the intervals here.
pub const INTERVAL: &str = "100ms";

/// A recorder of one port.
pub fn recorder(port: u16, path: &Path, more: &[&str]) -> anyhow::Result<Observer> {
    let port = port.to_string();
    let fixed = ["record", "--port", &port, "--interval", INTERVAL, "-o", text(path)?];
    Observer::start(&[&fixed[..], more].concat())
}

/// Waits until so many reports are in the file, and it is that of a recorder that goes on.
pub fn until_reports(path: &Path, least: usize) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if updates(path).is_ok_and(|all| all.len() >= least) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!("{} has no {least} reports", path.display())
}

/// Reports of a recording, the total included, and no events.
pub fn updates(path: &Path) -> anyhow::Result<Vec<Update>> {
    let mut reader = Reader::open(path)?;
    let mut all = Vec::new();
    while let Some(update) = reader.next()? {
        if !matches!(update, Update::Event(_)) {
            all.push(update);
        }
    }
    Ok(all)
}

/// Ends a recorder by a signal; it must say what it wrote.
pub fn ended(recorder: Observer, signal: Signal) -> anyhow::Result<Ended> {
    recorder.signal(signal)?;
    let ended = recorder.wait()?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    ensure!(ended.stderr.contains("observer: recorded "), "{}", ended.stderr);
    ensure!(ended.stderr.contains("and the total to "), "{}", ended.stderr);
    Ok(ended)
}

/// A recording of a workload of this strategy, whose rounds are all in intervals.
pub fn recorded(strategy: &str, path: &Path, more: &[&str]) -> anyhow::Result<u64> {
    let mut workload =
        Workload::start(&["--strategy", strategy, "--workers", "4", "--connections", "40"])?;
    let port = workload.ready.listeners.first().context("a listener")?.port;
    let recorder = recorder(port, path, more)?;
    let mut connections = 0;
    for _ in 0..3 {
        connections += workload.round()?.connections;
        until_reports(path, updates(path)?.len() + 1)?;
    }
    // One at least that began when all was over.
    until_reports(path, updates(path)?.len() + 2)?;
    ended(recorder, Signal::SIGTERM)?;
    workload.quit()?;
    Ok(connections)
}
