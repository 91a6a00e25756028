//! A root of Debian and commands within it.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    arch::Arch,
    archive::sources_of,
    debian_root::{self, Recipe},
    directory,
    dist::files::below,
    process,
    workspace::Workspace,
};

/// Seconds that one step may take.
const LIMIT: &str = "900";

/// What a package manager writes down of everything that was ever installed.
const BOOKS: [&str; 5] = ["root/.rpmdb", "var/lib/dpkg", "var/lib/rpm", "var/log", "var/cache"];

/// What stands for systemd: where packages look whether it runs, what they call, and what keeps the calls.
const RUNS: &str = "run/systemd/system";
const CALLED: &str = "usr/bin/systemctl";
const CALLS: &str = "tmp/systemctl-calls";

/// A root.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
}

impl Root {
    /// A root of a suite: what every Debian system has, these packages, and a script for systemd.
    pub(super) fn make(
        workspace: &Workspace,
        suite: &str,
        arch: Arch,
        packages: &[&str],
        path: &Path,
    ) -> Result<Self> {
        directory::remove(path)?;
        bootstrap(workspace, suite, arch, packages, path)?;
        fs::create_dir_all(path.join(RUNS)).context("no place for systemd's mark")?;
        let script = format!("#!/bin/sh\necho \"$*\" >> /{CALLS}\n");
        let called = path.join(CALLED);
        fs::write(&called, script).context("no place for what stands for systemd")?;
        fs::set_permissions(&called, fs::Permissions::from_mode(0o755))?;
        Ok(Self { path: path.to_owned() })
    }

    /// A directory that is there, whatever is in it.
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Copies a file into its /tmp; returns its path there.
    pub(super) fn put(&self, file: &Path) -> Result<String> {
        let name = file.file_name().context("a file without name")?;
        fs::copy(file, self.path.join("tmp").join(name))
            .with_context(|| format!("{} cannot be copied", file.display()))?;
        Ok(format!("/tmp/{}", name.display()))
    }

    /// Runs a command, which must end well; returns what it said.
    pub(super) fn run(&self, words: &[&str]) -> Result<String> {
        let (status, said) = self.try_to(words)?;
        if status != Some(0) {
            bail!("`{}` failed ({status:?}): {}", words.join(" "), said.trim());
        }
        Ok(said)
    }

    /// Runs a command, with what a system and a container have mounted; returns exit status and what it said.
    pub(super) fn try_to(&self, words: &[&str]) -> Result<(Option<i32>, String)> {
        /// What is mounted goes with the command.
        const ENTER: &str = "mkdir -p \"$0/proc\" \"$0/sys\" \"$0/dev\" && mount -t proc proc \"$0/proc\" && \
                             mount --rbind /sys \"$0/sys\" && mount --rbind /dev \"$0/dev\" && exec chroot \"$0\" \"$@\"";
        let mut command = Command::new("timeout");
        command.arg(LIMIT).args(["unshare", "--mount", "sh", "-c", ENTER]).arg(&self.path);
        command.args(words);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        let (status, said) = process::capture(command)?;
        Ok((status.code(), said))
    }

    /// What systemd was asked for since the last time.
    pub(super) fn systemd_was_asked(&self) -> Result<Vec<String>> {
        let calls = self.path.join(CALLS);
        if !calls.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&calls).context("what systemd was asked for is no text")?;
        fs::remove_file(&calls).context("what systemd was asked for cannot be removed")?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The files in it, without what keeps the books, and without what was put into its /tmp.
    pub(super) fn files(&self) -> Result<BTreeSet<String>> {
        let kept = |path: &PathBuf| {
            !path.starts_with("tmp") && !BOOKS.iter().any(|books| path.starts_with(books))
        };
        let files = below(&self.path)?.into_iter().filter(kept);
        Ok(files.map(|path| path.display().to_string()).collect())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(error) = directory::remove(&self.path) {
            eprintln!("dist: {error:#}");
        }
    }
}

fn bootstrap(
    workspace: &Workspace,
    suite: &str,
    arch: Arch,
    packages: &[&str],
    path: &Path,
) -> Result<()> {
    eprintln!("dist: making a root of {suite}");
    let sources = sources_of(suite, arch)?;
    let recipe = Recipe { suite, variant: "essential", packages, sources: &sources };
    debian_root::make(workspace, &recipe, path)
}
