//! `observer record`: a window to a file.

use anyhow::{Result, bail};
use clap::Args;

use crate::app::args::ObserveArgs;

/// Options of `observer record`.
#[derive(Args, Clone, Debug)]
pub struct RecordArgs {
    /// What to observe, and by which hooks.
    #[command(flatten)]
    pub observe: ObserveArgs,
}

/// Runs it.
///
/// # Errors
///
/// Always, so far.
pub fn run(_args: &RecordArgs) -> Result<std::process::ExitCode> {
    bail!("not yet")
}
