//! Where things are: the workspace, its target directory and the tools built into it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

/// The workspace this command was started in.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    tools: PathBuf,
}

impl Workspace {
    /// Finds the workspace from what Cargo tells of this package.
    pub(crate) fn find() -> Result<Self> {
        // Cargo sets the variable at run time too, so that a moved checkout is found without a
        // new build.
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().context("xtask is not in a workspace")?.to_owned();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => std::path::absolute(&dir)
                .with_context(|| format!("CARGO_TARGET_DIR={} is no path", dir.display()))?,
            None => root.join("target"),
        };
        let tools = target.join("tools");
        Ok(Self { root, target, tools })
    }

    /// A copy of it, whose target directory is in it; tools stay where they are, below which it must be.
    pub(crate) fn elsewhere(&self, copy: &Path) -> Self {
        Self { root: copy.to_owned(), target: copy.join("target"), tools: self.tools() }
    }

    /// The directory of the workspace's Cargo.toml.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where Cargo puts what it builds.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The `cargo install` root of the tools that set-up builds: under the target directory, so
    /// that nothing outside the checkout changes and `cargo clean` removes them.
    pub(crate) fn tools(&self) -> PathBuf {
        self.tools.clone()
    }

    /// The BPF linker that set-up builds.
    pub(crate) fn linker(&self) -> PathBuf {
        self.tools().join("bin/bpf-linker")
    }

    /// Cargo, the one that runs this command, in the workspace's root.
    pub(crate) fn cargo(&self) -> Command {
        let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        self.command(cargo)
    }

    /// A command in the workspace's root.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        // A relative CARGO_TARGET_DIR counts from where the user stands, not from the root.
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        command
    }
}
