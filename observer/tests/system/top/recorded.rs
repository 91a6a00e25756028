//! Recordings to show: one that was made of real servers, and others made of it.
//!
//! The real one is of nginx with eight workers that poll one socket, a program that takes 50 ms for each connection
//! behind `listen(4)`, one that is well, one that listens from the fourth to the eighth second only, and 96 listeners on
//! which nothing happens.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

const REAL: &str = include_str!("../../data/top.ndjson");

/// The recording, for `--replay`.
pub fn real() -> anyhow::Result<Recording> {
    of(REAL.lines().map(ToOwned::to_owned))
}

/// A recording in a file that is there as long as this is.
pub struct Recording(NamedTempFile, String);

impl Recording {
    /// Arguments that show it, at the end of it and without a pause.
    pub fn at_its_end(&self) -> String {
        format!("--replay {} --speed 0", self.path().display())
    }

    /// Arguments that show it so slowly that nothing comes by itself.
    pub fn before_its_begin(&self) -> String {
        format!("--replay {} --speed 0.001", self.path().display())
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.0.path().with_file_name(&self.1)
    }
}

/// A recording of these lines. Its name is the same wherever it is, since it is on the screen.
fn of(lines: impl Iterator<Item = String>) -> anyhow::Result<Recording> {
    let directory = tempfile::Builder::new().prefix("observer-top").tempdir()?.keep();
    let file = tempfile::Builder::new().prefix("recording").tempfile_in(&directory)?;
    std::fs::write(
        directory.join("recording.ndjson"),
        lines.map(|line| line + "\n").collect::<String>(),
    )?;
    Ok(Recording(file, "recording.ndjson".to_owned()))
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(directory) = self.0.path().parent() {
            let _gone = std::fs::remove_dir_all(directory);
        }
    }
}

/// The first report, to make others of.
fn first() -> anyhow::Result<Value> {
    Ok(serde_json::from_str(REAL.lines().next().context("a report")?)?)
}

/// One report with so many listeners, all of which accepted something.
pub fn many(listeners: u64) -> anyhow::Result<Recording> {
    let mut report = first()?;
    let busy = report["listeners"].as_array().context("listeners")?;
    let one = busy.iter().find(|one| one["port"] == 9000).context("a busy one")?.clone();
    let all = (0..listeners).map(|number| {
        let mut one = one.clone();
        one["port"] = json!(10_000 + number);
        one["inode"] = json!(900_000 + number);
        one["cookie"] = json!(900_000 + number);
        one["accepted"] = json!(number + 1);
        one
    });
    report["listeners"] = all.collect();
    of([report.to_string()].into_iter())
}

/// One report with names that a terminal must not get as they are.
pub fn hostile() -> anyhow::Result<Recording> {
    let mut report = first()?;
    let listeners = report["listeners"].as_array_mut().context("listeners")?;
    let one = listeners.iter_mut().find(|one| one["port"] == 8080).context("the herd")?;
    for list in ["workers", "holders"] {
        for task in one[list].as_array_mut().context("tasks")? {
            task["comm"] = json!("\u{1b}[2J\u{1b}]0;x\u{7}\u{202e}");
        }
    }
    one["address"] = json!("1.2.3.4\r\n\u{1b}[31m");
    of([report.to_string()].into_iter())
}
