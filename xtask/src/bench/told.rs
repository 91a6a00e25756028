//! What a role tells: one line of JSON.

use std::{
    env,
    ffi::OsStr,
    io::{self, Write as _},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

/// Result of a loop.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Told {
    /// Connections, or rounds.
    pub(super) count: u64,
    pub(super) nanoseconds: u64,
    pub(super) wakeups: u64,
    /// Nanoseconds on a CPU, of all its processes.
    #[serde(default)]
    pub(super) cpu: u64,
}

impl Told {
    /// Part of a sum for each connection, or each round.
    pub(super) fn each(&self, sum: u64) -> f64 {
        sum as f64 / self.count as f64
    }
}

/// Prints a line.
pub(super) fn say(value: &impl Serialize) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(value)?)?;
    Ok(stdout.flush()?)
}

/// A process of this program in a role.
pub(crate) fn role<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Command> {
    let mut role = Command::new(env::current_exe()?);
    role.arg("bench-role").args(arguments);
    Ok(role)
}

/// Result of a process that plays a role to its end.
pub(super) fn play(mut role: Command) -> Result<Told> {
    let output = role.output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "));
    }
    serde_json::from_slice(&output.stdout).context("a role tells nothing")
}
