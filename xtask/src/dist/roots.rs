//! The packages in minimal roots of Debian: install, upgrade, purge, and what is left then.
//!
//! A root has no systemd: what the scripts do with one that runs is not tried here.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use nix::unistd::geteuid;

use super::{
    deb,
    files::{self, below},
};
use crate::{
    arch::Arch,
    archive::sources_of,
    debian_root::{self, Recipe},
    process,
    workspace::Workspace,
};

/// The releases, oldest first: Debian 11, 12 and 13.
const SUITES: [&str; 3] = ["bullseye", "bookworm", "trixie"];

/// Seconds that one step may take.
const LIMIT: &str = "900";

/// What a package manager writes down of everything that was ever installed.
const BOOKS: [&str; 3] = ["var/lib/dpkg", "var/log", "var/cache"];

/// A version that is newer than any.
const NEWER: &str = "999";

/// Tries this machine's package in every root; `false` where something is not as it should be.
pub(super) fn test(workspace: &Workspace, out: &Path) -> Result<bool> {
    if !geteuid().is_root() {
        bail!("roots of Debian are made and entered by root: run this command as root");
    }
    let arch = Arch::here().context("observer is built on x86_64 and on aarch64")?;
    let version = files::listed(out)?.into_iter().find_map(|(name, _)| {
        let rest = name.strip_prefix("observer_")?;
        rest.split_once("-1_").map(|(version, _)| version.to_owned())
    });
    let version = version.context("there is no Debian package to try")?;
    let package = out.join(deb::name(&version, arch.debian()));
    let scratch = workspace.target().join("dist/roots");
    fs::create_dir_all(&scratch).with_context(|| format!("no {}", scratch.display()))?;
    let newer = newer(&package, &scratch)?;
    let mut good = true;
    for suite in SUITES {
        let root = scratch.join(suite);
        remove(&root)?;
        let said = make(workspace, suite, arch, &root)
            .and_then(|()| cycle(&root, &package, &newer))
            .with_context(|| format!("Debian's {suite}"));
        match said {
            Ok(steps) => println!("dist: {suite}: {}", steps.join(", ")),
            Err(error) => {
                println!("dist: {suite}: FAILED: {error:#}");
                good = false;
            }
        }
        remove(&root)?;
    }
    remove(&scratch)?;
    Ok(good)
}

/// Makes a root of a suite: what every Debian system has, and nothing else.
fn make(workspace: &Workspace, suite: &str, arch: Arch, root: &Path) -> Result<()> {
    eprintln!("dist: making a root of {suite}");
    let sources = sources_of(suite, arch)?;
    let recipe = Recipe { suite, variant: "essential", packages: &[], sources: &sources };
    debian_root::make(workspace, &recipe, root)
}

/// What the package does in a root, step by step.
fn cycle(root: &Path, package: &Path, newer: &Path) -> Result<Vec<String>> {
    let before = files(root)?;
    for one in [package, newer] {
        let name = one.file_name().context("a package without name")?;
        fs::copy(one, root.join("tmp").join(name)).context("a package cannot be copied")?;
    }
    let inside = |path: &Path| format!("/tmp/{}", path.file_name().unwrap_or_default().display());
    let mut steps = Vec::new();
    within(root, &["dpkg", "--install", &inside(package)])?;
    let said = within(root, &["observer", "--version"])?;
    if !said.contains("kernel object: sha256:") {
        bail!("`observer --version` says {said}");
    }
    steps.push("installed and runs".to_owned());
    let listed = within(root, &["observer", "listeners", "--format", "json"])?;
    if !listed.contains("schema_version") {
        bail!("`observer listeners` says {listed}");
    }
    steps.push("lists listeners".to_owned());
    for file in
        ["usr/share/man/man1/observer.1.gz", "usr/share/bash-completion/completions/observer"]
    {
        if !root.join(file).is_file() {
            bail!("{file} is not there");
        }
    }
    let enabled = root.join("etc/systemd/system/multi-user.target.wants/observer.service");
    if enabled.is_symlink() {
        bail!("the unit is enabled");
    }
    within(root, &["dpkg", "--install", &inside(newer)])?;
    let version =
        within(root, &["dpkg-query", "--show", "--showformat", "${Version}", "observer"])?;
    if version.trim() != NEWER {
        bail!("after an upgrade its version is {version}");
    }
    within(root, &["observer", "--version"])?;
    steps.push("upgraded".to_owned());
    within(root, &["dpkg", "--purge", "observer"])?;
    for one in [package, newer] {
        fs::remove_file(root.join("tmp").join(one.file_name().unwrap_or_default()))?;
    }
    let left: Vec<_> = files(root)?.difference(&before).cloned().collect();
    if !left.is_empty() {
        bail!("it left {}", left.join(", "));
    }
    steps.push("purged without a trace".to_owned());
    Ok(steps)
}

/// Runs a command in a root, with /proc; returns what it said.
fn within(root: &Path, words: &[&str]) -> Result<String> {
    /// What is mounted goes with the command.
    const ENTER: &str = "mount -t proc proc \"$0/proc\" && exec chroot \"$0\" \"$@\"";
    let mut command = Command::new("timeout");
    command.arg(LIMIT).args(["unshare", "--mount", "sh", "-c", ENTER]).arg(root).args(words);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    let (status, said) = process::capture(command)?;
    if !status.success() {
        bail!("`{}` failed ({status}): {}", words.join(" "), said.trim());
    }
    Ok(said)
}

/// The files in a root, without what keeps the books.
fn files(root: &Path) -> Result<BTreeSet<String>> {
    let kept = |path: &PathBuf| !BOOKS.iter().any(|books| path.starts_with(books));
    Ok(below(root)?.into_iter().filter(kept).map(|path| path.display().to_string()).collect())
}

/// Package of a version that replaces the one before.
fn newer(package: &Path, scratch: &Path) -> Result<PathBuf> {
    let root = scratch.join("newer");
    remove(&root)?;
    let mut unpack = Command::new("dpkg-deb");
    process::quietly({
        unpack.arg("--raw-extract").arg(package).arg(&root);
        unpack
    })?;
    let control = root.join("DEBIAN/control");
    let text = fs::read_to_string(&control).context("a package without control file")?;
    let version = |line: &str| {
        let line = if line.starts_with("Version: ") { "Version: 999" } else { line };
        line.to_owned()
    };
    let text: Vec<_> = text.lines().map(version).collect();
    fs::write(&control, text.join("\n") + "\n").context("its control file cannot be written")?;
    let newer = scratch.join(format!("observer_{NEWER}.deb"));
    let mut build = Command::new("dpkg-deb");
    process::quietly({
        build.args(["--root-owner-group", "-Zgzip", "--build"]).arg(&root).arg(&newer);
        build
    })?;
    remove(&root)?;
    Ok(newer)
}

fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("{} is in the way", dir.display()))?;
    }
    Ok(())
}
