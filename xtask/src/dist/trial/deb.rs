//! The Debian packages in minimal roots of Debian: install, upgrade, purge, and what is left then.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    demo,
    given::{Given, NEWER},
    root::Root,
};
use crate::{directory, dist::deb, process};

/// The releases, oldest first: Debian 11, 12 and 13.
pub(super) const SUITES: [&str; 3] = ["bullseye", "bookworm", "trixie"];

/// What an administrator writes, which stays, and what the service wrote, which goes.
const KEPT: &str = "etc/default/observer";
const WRITTEN: &str = "var/lib/observer/observer-1.ndjson.zst";

/// What the packages do in a root of this release, step by step.
pub(super) fn cycle(given: &Given<'_>, suite: &str, scratch: &Path) -> Result<Vec<String>> {
    let root = Root::make(given.workspace, suite, given.here, &[], &scratch.join(suite))?;
    let before = root.files()?;
    let mut steps = Vec::new();
    for arch in given.arches {
        let package = given.out.join(deb::name(&given.source.version, arch.debian()));
        let newer = newer(&package, scratch)?;
        let runs = *arch == given.here;
        install(&root, &package, runs)?;
        steps.push(format!("{arch} installed"));
        if runs {
            steps.push(demo::within(&root)?);
        }
        for file in [KEPT, WRITTEN] {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().context("a place")?)?;
            fs::write(&file, "")?;
        }
        root.run(&["dpkg", "--force-architecture", "--install", &root.put(&newer)?])?;
        let version =
            root.run(&["dpkg-query", "--show", "--showformat", "${Version}", "observer"])?;
        ensure!(version.trim() == NEWER, "after an upgrade its version is {version}");
        let asked = root.systemd_was_asked()?;
        ensure!(asked.iter().any(|one| one.contains("try-restart")), "upgraded: {asked:?}");
        steps.push("upgraded".to_owned());
        root.run(&["dpkg", "--purge", "observer"])?;
        let asked = root.systemd_was_asked()?;
        for unit in ["observer.socket", "observer.service"] {
            ensure!(asked.contains(&format!("stop {unit}")), "purged: {asked:?}");
        }
        let left: Vec<_> = root.files()?.difference(&before).cloned().collect();
        ensure!(left == [KEPT], "it left {}", left.join(", "));
        fs::remove_file(root.path().join(KEPT))?;
        steps.push("purged without a trace".to_owned());
    }
    Ok(steps)
}

/// Installs a package, and runs what is in it where that is for this machine.
fn install(root: &Root, package: &Path, runs: bool) -> Result<()> {
    root.run(&["dpkg", "--force-architecture", "--install", &root.put(package)?])?;
    if runs {
        let said = root.run(&["observer", "--version"])?;
        ensure!(said.contains("kernel object: sha256:"), "`observer --version` says {said}");
        let listed = root.run(&["observer", "listeners", "--format", "json"])?;
        ensure!(listed.contains("schema_version"), "`observer listeners` says {listed}");
    }
    for file in [
        "usr/share/man/man1/observer.1.gz",
        "usr/share/bash-completion/completions/observer",
        "usr/share/zsh/vendor-completions/_observer",
    ] {
        ensure!(root.path().join(file).is_file(), "{file} is not there");
    }
    let asked = root.systemd_was_asked()?;
    ensure!(asked == ["--system daemon-reload"], "installed: systemd was asked for {asked:?}");
    Ok(())
}

/// Package of a version that replaces the one before.
fn newer(package: &Path, scratch: &Path) -> Result<std::path::PathBuf> {
    let unpacked = scratch.join("newer");
    directory::remove(&unpacked)?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("--raw-extract").arg(package).arg(&unpacked);
    process::quietly(unpack)?;
    let control = unpacked.join("DEBIAN/control");
    let text = fs::read_to_string(&control).context("a package without control file")?;
    let version = |line: &str| {
        if line.starts_with("Version: ") { format!("Version: {NEWER}") } else { line.to_owned() }
    };
    let text: Vec<_> = text.lines().map(version).collect();
    fs::write(&control, text.join("\n") + "\n").context("its control file cannot be written")?;
    let newer = scratch.join(format!("observer_{NEWER}.deb"));
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "-Zgzip", "--build"]).arg(&unpacked).arg(&newer);
    process::quietly(build)?;
    directory::remove(&unpacked)?;
    if !newer.is_file() {
        bail!("dpkg-deb made no package");
    }
    Ok(newer)
}
