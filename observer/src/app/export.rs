//! `observer export`: metrics over HTTP.

use anyhow::{Result, bail};
use clap::Args;

use crate::app::args::ObserveArgs;

/// Options of `observer export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// What to observe, and by which hooks.
    #[command(flatten)]
    pub observe: ObserveArgs,
}

/// Runs it.
///
/// # Errors
///
/// Always, so far.
pub fn run(_args: &ExportArgs) -> Result<std::process::ExitCode> {
    bail!("not yet")
}
