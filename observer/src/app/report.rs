//! `observer report`: a recording as any view.

use anyhow::{Result, bail};
use clap::Args;

/// Options of `observer report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    pub file: std::path::PathBuf,
}

/// Runs it.
///
/// # Errors
///
/// Always, so far.
pub fn run(_args: &ReportArgs) -> Result<std::process::ExitCode> {
    bail!("not yet")
}
