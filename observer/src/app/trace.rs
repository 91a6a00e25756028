//! `observer trace`: one line per event.

use anyhow::{Result, bail};
use clap::Args;

use crate::app::args::ObserveArgs;

/// Options of `observer trace`.
#[derive(Args, Clone, Debug)]
pub struct TraceArgs {
    /// What to observe, and by which hooks.
    #[command(flatten)]
    pub observe: ObserveArgs,
}

/// Runs it.
///
/// # Errors
///
/// Always, so far.
pub fn run(_args: &TraceArgs) -> Result<std::process::ExitCode> {
    bail!("not yet")
}
