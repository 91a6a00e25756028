//! The parser of Chrome's DevTools, with which a test reads the files that observer writes for trace viewers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{process, workspace::Workspace};

/// What stands for it among what set-up could not get.
pub(crate) const NAME: &str = "DevTools' parser of traces";

/// Names a directory that has one (`observer/tests/system/trace/viewer.rs`).
pub(crate) const CHOICE: &str = "OBSERVER_TEST_TRACE_ENGINE";

/// The npm package, which Lighthouse uses, and its version: its internals are called.
const PACKAGE: &str = "@paulirish/trace_engine";
const VERSION: &str = "0.0.65";

fn kept(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("trace-engine")
}

/// Whether it was fetched.
pub(crate) fn is_kept(workspace: &Workspace) -> bool {
    kept(workspace).join("node_modules").join(PACKAGE).is_dir()
}

/// Fetches it by npm, without running anything of the package.
pub(crate) fn fetch(workspace: &Workspace) -> Result<()> {
    let kept = kept(workspace);
    eprintln!("setup: npm installs {PACKAGE} into {}", kept.display());
    // It appears under its name when it is whole.
    let partial = kept.with_file_name(format!(".partial-trace-engine-{}", std::process::id()));
    let installed = install_into(&partial).and_then(|()| {
        fs::rename(&partial, &kept)
            .with_context(|| format!("{} could not be written", kept.display()))
    });
    if partial.exists() {
        fs::remove_dir_all(&partial)
            .with_context(|| format!("{} could not be removed", partial.display()))?;
    }
    installed
}

fn install_into(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("{} could not be made", directory.display()))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
    npm.arg(directory).arg(format!("{PACKAGE}@{VERSION}"));
    process::quietly(npm)
}
