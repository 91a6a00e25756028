//! Debian's kernels, fetched once and kept under the target directory.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::plan::Series;
use crate::{archive::Suite, directory};

/// What is kept of a kernel's modules, in the order to load them: Debian builds inet_diag, which
/// observer asks for queues and cookies, and veth, which tests flood listeners over, as modules.
const MODULES: [&str; 4] = ["inet_diag.ko", "tcp_diag.ko", "mptcp_diag.ko", "veth.ko"];

/// Modules that a test loads by itself and takes out again: RDS over TCP listens in every network namespace, and
/// the kernel accepts its connections.
const FOR_A_TEST: [&str; 2] = ["rds.ko", "rds_tcp.ko"];

/// Lists what was looked for in a kernel's packages: not every kernel has every module.
const LOOKED_FOR: &str = "looked-for";

/// A kernel on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// As `uname -r` says it.
    pub(crate) release: String,
    /// The image.
    pub(crate) image: PathBuf,
    /// Modules, in the order to load them.
    pub(crate) modules: Vec<PathBuf>,
    /// Modules that are only carried.
    pub(crate) carried: Vec<PathBuf>,
}

/// The newest kernel of a series that is kept here, or else the one that the archive has.
///
/// # Errors
///
/// Says why there is none.
pub(crate) fn obtain(vm: &Path, series: &Series) -> Result<Kernel> {
    let kernels = vm.join("kernels");
    fs::create_dir_all(&kernels)
        .with_context(|| format!("{} cannot be made", kernels.display()))?;
    if let Some(kernel) = kept(&kernels, series) {
        return Ok(kernel);
    }
    let mut reasons = Vec::new();
    for suite in series.suites {
        match fetch(vm, &kernels, series, suite) {
            Ok(kernel) => return Ok(kernel),
            Err(error) => reasons.push(format!("{error:#}")),
        }
    }
    bail!("{}", reasons.join("; "))
}

fn kept(kernels: &Path, series: &Series) -> Option<Kernel> {
    let names = fs::read_dir(kernels).ok()?.flatten().map(|entry| entry.file_name());
    let names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    let release = newest(names.iter().map(String::as_str), series)?;
    read(kernels, release)
}

fn read(kernels: &Path, release: &str) -> Option<Kernel> {
    let dir = kernels.join(release);
    let image = dir.join("vmlinuz");
    // One that was kept when fewer modules were wanted is fetched again.
    if fs::read_to_string(dir.join(LOOKED_FOR)).ok()? != looked_for() {
        return None;
    }
    let module = |name: &&str| {
        ["", ".xz"].iter().map(|end| dir.join(format!("{name}{end}"))).find(|path| path.is_file())
    };
    image.is_file().then(|| Kernel {
        release: release.to_owned(),
        image,
        modules: MODULES.iter().filter_map(module).collect(),
        carried: FOR_A_TEST.iter().filter_map(module).collect(),
    })
}

/// What is looked for in a kernel's packages.
fn looked_for() -> String {
    [&MODULES[..], &FOR_A_TEST].concat().join("\n")
}

fn fetch(vm: &Path, kernels: &Path, series: &Series, suite: &str) -> Result<Kernel> {
    eprintln!("vm: fetching a {} kernel from {suite}", series.name);
    let archive = Suite::open(&vm.join("apt"), suite, series.arch)?;
    let mut names = archive.names("linux-image-")?;
    names.extend(archive.names("linux-binary-")?);
    let releases = names.iter().filter_map(|name| release_of(name));
    let release = newest(releases, series)
        .with_context(|| format!("{suite} has no {} kernel any more", series.name))?
        .to_owned();
    // From 7.x on the image's package is empty: the kernel is in -binary-, modules in -modules-.
    names.extend(archive.names("linux-modules-")?);
    let packages: Vec<_> = ["linux-image-", "linux-binary-", "linux-modules-"]
        .iter()
        .map(|kind| format!("{kind}{release}"))
        .filter(|package| names.contains(package))
        .collect();
    let unpacked = kernels.join(format!(".unpacked-{release}"));
    directory::remove(&unpacked)?;
    archive.unpack(&packages, &unpacked)?;
    // It appears under its name when it is whole.
    let partial = kernels.join(format!(".partial-{release}"));
    directory::remove(&partial)?;
    fs::create_dir(&partial).with_context(|| format!("{} cannot be made", partial.display()))?;
    let mut found = Vec::new();
    wanted(&unpacked, &mut found)?;
    for (path, name) in found {
        fs::copy(&path, partial.join(name)).context("a kernel cannot be copied")?;
    }
    fs::write(partial.join(LOOKED_FOR), looked_for()).context("a kernel cannot be kept")?;
    directory::remove(&unpacked)?;
    directory::remove(&kernels.join(&release))?;
    fs::rename(&partial, kernels.join(&release)).context("a kernel cannot be kept")?;
    read(kernels, &release).with_context(|| format!("there is no image in {}", packages.join(", ")))
}

/// The image and the modules in an unpacked package, with the names under which they are kept.
fn wanted(dir: &Path, found: &mut Vec<(PathBuf, String)>) -> Result<()> {
    for entry in fs::read_dir(dir).context("an unpacked kernel cannot be read")? {
        let path = entry?.path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            wanted(&path, found)?;
            continue;
        }
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
        if name == "vmlinuz" || name.starts_with("vmlinuz-") {
            found.push((path, "vmlinuz".to_owned()));
        } else if [&MODULES[..], &FOR_A_TEST]
            .concat()
            .contains(&name.strip_suffix(".xz").unwrap_or(&name))
        {
            found.push((path, name));
        }
    }
    Ok(())
}

/// The release in the name of a package that may have a kernel.
fn release_of(package: &str) -> Option<&str> {
    package
        .strip_prefix("linux-image-")
        .or_else(|| package.strip_prefix("linux-binary-"))
        .filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// The newest release of a series, in its flavour.
fn newest<'a>(releases: impl Iterator<Item = &'a str>, series: &Series) -> Option<&'a str> {
    let prefix = format!("{}.", series.release);
    releases
        .filter(|release| release.starts_with(&prefix) && release.ends_with(series.flavour))
        .max_by_key(|release| numbers(release))
}

/// The numbers in a release, in their order.
fn numbers(release: &str) -> Vec<u64> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::plan::SERIES;

    #[test]
    fn a_release_is_read_from_packages_of_kernels_alone() {
        let release = "6.12.107+deb13-cloud-amd64";
        assert_eq!(release_of(&format!("linux-image-{release}")), Some(release));
        assert_eq!(release_of(&format!("linux-binary-{release}")), Some(release));
        for other in [
            "linux-binary-unsigned-7.2.12+deb13-cloud-amd64",
            "linux-image-cloud-amd64",
            "linux-headers-6.12.107+deb13-cloud-amd64",
        ] {
            assert_eq!(release_of(other), None, "{other}");
        }
    }

    #[test]
    fn the_newest_is_found_by_number_series_and_flavour() {
        let newest = |all: [&'static str; 8], name: &str| {
            let series = SERIES.iter().find(|series| series.name == name).expect("a series");
            newest(all.into_iter(), series)
        };
        let all = [
            "6.1.0-9-cloud-amd64",
            "6.1.0-56-cloud-amd64",
            "6.12.90+deb13-cloud-amd64",
            "6.12.107+deb13-cloud-amd64",
            "6.12.110+deb13-rt-amd64",
            "6.12.120+deb13-cloud-amd64-dbg",
            "6.12-cloud-amd64",
            ".partial-6.12.200+deb13-cloud-amd64",
        ];
        assert_eq!(newest(all, "6.1"), Some("6.1.0-56-cloud-amd64"));
        assert_eq!(newest(all, "6.12"), Some("6.12.107+deb13-cloud-amd64"));
        assert_eq!(newest(all, "6.12-smp"), newest(all, "6.12"));
        assert_eq!(newest(all, "6.12-rt"), Some("6.12.110+deb13-rt-amd64"));
        assert_eq!(newest(all, "7.2"), None);
    }
}
