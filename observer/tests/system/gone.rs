//! Processes that have ended, and nothing of theirs in the kernel.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;
use serde_json::Value;

use crate::{Outcome, observer::run};

/// Longest that an end may take before the test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Numbers of the kernel programs that a process holds.
pub fn programs(pid: i32) -> anyhow::Result<BTreeSet<u64>> {
    let mut programs = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let ids = text.lines().filter_map(|line| line.strip_prefix("prog_id:"));
        programs.extend(ids.filter_map(|id| id.trim().parse::<u64>().ok()));
    }
    Ok(programs)
}

/// Waits until the process is gone and none of its programs is loaded.
pub fn is_gone(pid: i32, programs: &BTreeSet<u64>) -> Outcome {
    let end = Instant::now() + PATIENCE;
    loop {
        let there = Path::new(&format!("/proc/{pid}")).exists();
        let left = loaded(programs)?;
        if !there && left.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("process {pid} is there: {there}; programs left: {left:?}");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Those of the programs that are loaded.
fn loaded(programs: &BTreeSet<u64>) -> anyhow::Result<Vec<u64>> {
    if programs.is_empty() {
        return Ok(Vec::new());
    }
    let text = String::from_utf8(run(&["inventory"])?.stdout)?;
    let items = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let loaded = items.iter().filter(|item| item["what"] == "program");
    let ids = loaded.filter_map(|item| item["id"].as_u64());
    Ok(ids.filter(|id| programs.contains(id)).collect())
}
