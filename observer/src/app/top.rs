//! `observer top`: the whole screen.

use anyhow::{Result, bail};
use clap::Args;

use crate::app::args::ObserveArgs;

/// Options of `observer top`.
#[derive(Args, Clone, Debug)]
pub struct TopArgs {
    /// What to observe, and by which hooks.
    #[command(flatten)]
    pub observe: ObserveArgs,
}

/// Runs it.
///
/// # Errors
///
/// Always, so far.
pub fn run(_args: &TopArgs) -> Result<std::process::ExitCode> {
    bail!("not yet")
}
