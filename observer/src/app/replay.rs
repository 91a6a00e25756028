//! A recording, or a file of updates, shown again by the plain face.

use std::path::Path;

use anyhow::Result;

use crate::app::{cli::WatchArgs, run::Face as _, watch::Plain};
use observer::recording::Reader;

/// Shows it.
///
/// # Errors
///
/// When the file cannot be read, a line of it is damaged, or nothing can be written.
pub fn run(file: &Path, args: &WatchArgs) -> Result<()> {
    let mut reader = Reader::open(file)?;
    let mut face = Plain::new(args)?;
    while let Some(update) = reader.next()? {
        face.update(&update)?;
    }
    Ok(())
}
