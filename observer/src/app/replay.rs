//! A file of updates, shown again by the same face.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use anyhow::{Context as _, Result};

use crate::app::{cli::WatchArgs, run::Face as _, watch::Plain};
use observer::recording;

/// Shows it.
///
/// # Errors
///
/// When the file cannot be read, a line of it is no update, or nothing can be written.
pub fn run(file: &Path, args: &WatchArgs) -> Result<()> {
    let cannot = || format!("cannot read {}", file.display());
    let lines = BufReader::new(File::open(file).with_context(cannot)?).lines();
    let mut face = Plain::new(args)?;
    for (index, line) in lines.enumerate() {
        let update = recording::parse(&line.with_context(cannot)?)
            .with_context(|| format!("line {} of {} is no update", index + 1, file.display()))?;
        face.update(&update)?;
    }
    Ok(())
}
