//! The RPMs, by RPM itself, which Debian has too: what they ask for and have, install, upgrade, erase.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Result, ensure};

use super::{
    demo,
    given::{Given, NEWER},
    root::Root,
};
use crate::dist::rpm;

/// The root's release, and RPM's package there.
const SUITE: &str = "bookworm";
const PACKAGE: &str = "rpm";

/// RPM, with its books where root has them on systems of its own. Debian's dependencies are not in them.
const RPM: [&str; 4] = ["rpm", "--dbpath", "/var/lib/rpm", "--nodeps"];

/// What the packages do in a root, step by step.
pub(super) fn cycle(given: &Given<'_>, scratch: &Path) -> Result<Vec<String>> {
    let path = scratch.join("rpm");
    let root = Root::make(given.workspace, SUITE, given.here, &[PACKAGE], &path)?;
    let rpm = |words: &[&str]| root.run(&[&RPM[..], words].concat());
    let before = root.files()?;
    let mut steps = Vec::new();
    for arch in given.arches {
        let package = root.put(&given.out.join(rpm::name(&given.source.version, *arch)))?;
        let newer = rpm::again(given.workspace, *arch, given.source, NEWER, scratch)?;
        let newer = root.put(&newer)?;
        let query = |what: &[&str]| {
            root.run(&[&["rpm", "--query", "--package"], what, &[&package]].concat())
        };
        let said = root.run(&["rpm", "--checksig", "--verbose", &package])?;
        ensure!(said.contains("Payload SHA256 digest: OK"), "its checksums: {said}");
        let told = query(&["--queryformat", "%{ARCH} %{LICENSE}"])?;
        ensure!(told == format!("{arch} MIT OR Apache-2.0"), "it says {told}");
        // RPM's own features apart, its scripts' shell is all that it asks for.
        let asks = query(&["--requires"])?;
        let asks: BTreeSet<_> = asks.lines().map(str::trim).collect();
        let known = |one: &&str| one.starts_with("rpmlib(") || *one == "/bin/sh";
        ensure!(asks.iter().all(known), "it asks for {asks:?}");
        let lists = query(&["--list"])?;
        let lists: BTreeSet<_> =
            lists.lines().map(|line| line.trim_start_matches('/').to_owned()).collect();

        rpm(&["--install", "--ignorearch", &package])?;
        let installed: BTreeSet<_> = root.files()?.difference(&before).cloned().collect();
        ensure!(installed == lists, "it lists {lists:?} and installed {installed:?}");
        let asked = root.systemd_was_asked()?;
        ensure!(asked == ["--system daemon-reload"], "installed: systemd was asked for {asked:?}");
        rpm(&["--verify", "observer"])?;
        steps.push(format!("{arch} installed"));
        if *arch == given.here {
            root.run(&["observer", "--version"])?;
            steps.push(demo::within(&root)?);
        }
        rpm(&["--upgrade", "--ignorearch", &newer])?;
        let version = root.run(&["rpm", "--dbpath", "/var/lib/rpm", "--query", "observer"])?;
        ensure!(version.trim() == format!("observer-{NEWER}-1.{arch}"), "upgraded to {version}");
        let asked = root.systemd_was_asked()?;
        ensure!(
            asked.iter().any(|one| one == "try-restart observer.service"),
            "upgraded: {asked:?}"
        );
        ensure!(!asked.iter().any(|one| one.contains("disable")), "upgraded: {asked:?}");
        steps.push("upgraded".to_owned());
        rpm(&["--erase", "observer"])?;
        let asked = root.systemd_was_asked()?;
        ensure!(asked.iter().any(|one| one.contains("disable --now")), "erased: {asked:?}");
        let left: Vec<_> = root.files()?.difference(&before).cloned().collect();
        ensure!(left.is_empty(), "it left {}", left.join(", "));
        steps.push("erased without a trace".to_owned());
    }
    Ok(steps)
}
