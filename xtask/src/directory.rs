//! Directories that are made anew.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

/// Removes a directory with all that is in it, if it is there.
pub(crate) fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("{} is in the way", dir.display()))?;
    }
    Ok(())
}
