//! Runs of observer's programs that the kernel skipped: what is played then is played again, because
//! nothing can be said of it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::Context;
use serde_json::Value;

use crate::observer::number;

/// Whether the kernel skipped runs in the window of a report that was read.
static MISSED: AtomicBool = AtomicBool::new(false);

/// Whether it did since [`forget_missed_runs`].
pub fn has_missed_runs() -> bool {
    MISSED.load(Relaxed)
}

/// Remembers that it did.
pub fn note_missed_runs() {
    MISSED.store(true, Relaxed);
}

/// Begins anew.
pub fn forget_missed_runs() {
    MISSED.store(false, Relaxed);
}

/// Remembers whether it did, by what a report says.
pub fn look_at(report: &Value) -> anyhow::Result<()> {
    if number(&report["audit"]["missed_runs"])? != 0 || may_have_missed(report)? {
        note_missed_runs();
    }
    Ok(())
}

/// Whether the kernel's counters say that the programs of kprobes were skipped, on a kernel that does not
/// count that: before Linux 6.7 they do not run on a CPU that is within a bpf() map operation
/// (`trace_call_bpf`, `bpf_prog_active`), which an emulated machine is for long.
fn may_have_missed(report: &Value) -> anyhow::Result<bool> {
    if report["audit"]["closes"] != false || report["providers"]["drops"]["via"] != "kprobe" {
        return Ok(false);
    }
    Ok(!kprobes_tell()?)
}

/// Whether this kernel tells what kprobes missed, as it does since Linux 6.7.
pub fn kprobes_tell() -> anyhow::Result<bool> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut parts = release.split('.').map_while(|part| part.parse::<u32>().ok());
    let version = parts.next().zip(parts.next()).context("the kernel's release")?;
    Ok(version >= (6, 7))
}
