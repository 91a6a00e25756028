//! `observer trace` as a child, with what it printed and the report of its window.

use std::{fs, process::Command, thread, time::Duration};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use observer::model::Report;
use serde_json::Value;
use tempfile::TempDir;

use crate::observer::{Observer, check_report, program};

/// Longer than an event takes to be told, and a report to look at the holders again.
const SETTLED: Duration = Duration::from_millis(300);

/// One that runs.
pub struct Trace {
    observer: Observer,
    directory: TempDir,
}

/// What one printed, and the report of its window.
pub struct Told {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The report as JSON, and as what it is.
    pub json: Value,
    /// The report.
    pub report: Report,
}

impl Trace {
    /// Starts one, and waits until it observes.
    pub fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut command = Command::new(program());
        command.arg("trace").args(arguments).arg("--report").arg(directory.path().join("report"));
        Ok(Self { observer: Observer::spawn(command)?, directory })
    }

    /// One that runs, and whose lines are read as it prints them.
    pub fn start_read(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut trace = Self::start(arguments)?;
        trace.observer.read()?;
        Ok(trace)
    }

    /// Interrupts it once what happened has come, and reads what it printed.
    pub fn end(self) -> anyhow::Result<Told> {
        thread::sleep(SETTLED);
        self.end_at_once()
    }

    /// Interrupts it, and reads what it printed.
    pub fn end_at_once(self) -> anyhow::Result<Told> {
        let Self { observer, directory } = self;
        observer.signal(Signal::SIGINT)?;
        let ended = observer.wait()?;
        ensure!(ended.status.success(), "it ended with {}: {}", ended.status, ended.stderr);
        let text = fs::read_to_string(directory.path().join("report"))?;
        let json: Value = serde_json::from_str(&text).context("the report")?;
        check_report(&json)?;
        let report = serde_json::from_str(&text)?;
        Ok(Told { stdout: ended.stdout, stderr: ended.stderr, json, report })
    }
}
