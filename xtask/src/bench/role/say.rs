//! What a role has to tell.

use std::io::{self, Write as _};

use anyhow::Result;

/// Prints a line of JSON.
pub(super) fn say(value: &serde_json::Value) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{value}")?;
    Ok(stdout.flush()?)
}
