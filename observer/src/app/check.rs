//! `observer check`: a gate, which fails where a limit is broken.

use anyhow::{Result, bail};
use clap::Args;

use crate::app::args::ObserveArgs;

/// Options of `observer check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// What to observe, and by which hooks.
    #[command(flatten)]
    pub observe: ObserveArgs,
}

/// Runs it.
///
/// # Errors
///
/// Always, so far.
pub fn run(_args: &CheckArgs) -> Result<std::process::ExitCode> {
    bail!("not yet")
}
