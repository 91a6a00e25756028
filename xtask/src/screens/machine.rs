//! The machine in which scenes are played: a kernel with all hooks, whose clock counts instructions, so that waits are
//! those of a machine of one gigahertz and not of an emulator.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result};

use super::scenes::Taken;
use crate::{
    vm::icount::{Counted, series},
    workspace::Workspace,
};

/// The kernel.
const KERNEL: &str = "6.12";

/// Plays all scenes and writes what was taken of each to `docs/screens`.
pub(super) fn take(workspace: &Workspace) -> Result<()> {
    let series = series(&[KERNEL.to_owned()])?;
    let series = series.first().context("no kernel")?;
    let counted = Counted::new(workspace, BTreeMap::new())?;
    let told = counted.run(series, vec!["scenes".to_owned()], |done| {
        eprintln!("screens: took {done}");
    })?;
    for figure in &told.figures {
        let taken: Taken = serde_json::from_str(figure).context("the machine told nonsense")?;
        let path = workspace.root().join("docs/screens").join(&taken.file);
        fs::write(&path, &taken.text)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}
