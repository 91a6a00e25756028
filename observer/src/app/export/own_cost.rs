//! What this process takes.

use std::fs;

use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeVal,
    },
    unistd::{SysconfVar, sysconf},
};

/// CPU time of this process so far, seconds; `None` where the kernel does not tell.
#[must_use]
pub fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    Some(seconds(usage.user_time()) + seconds(usage.system_time()))
}

#[expect(clippy::cast_precision_loss, reason = "2^52 seconds are never reached")]
fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

/// Resident memory of this process, bytes; `None` where /proc does not tell.
#[must_use]
pub fn resident() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let size = u64::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()?;
    pages.checked_mul(size)
}
