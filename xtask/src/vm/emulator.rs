//! QEMU itself: this machine's own, or Debian's, unpacked under target/tools with all that it needs.
//!
//! Installing a package could ask for the removal of another, such as a qemu-utils of another release.
//! Unpacked files need no root and disturb nothing: QEMU runs with the dynamic linker, the libraries and
//! the firmware that came with it.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{arch::Arch, archive::Suite, directory, process, workspace::Workspace};

/// QEMU's name, and the package that brings it.
fn names(arch: Arch) -> (&'static str, &'static str) {
    match arch {
        Arch::X86_64 => ("qemu-system-x86_64", "qemu-system-x86"),
        Arch::Aarch64 => ("qemu-system-aarch64", "qemu-system-arm"),
    }
}

/// The suites that have it, the preferred one first.
const SUITES: [&str; 2] = ["bookworm", "trixie"];

/// The oldest version that the matrix has run with, major and minor number.
const OLDEST: (u64, u64) = (7, 2);

/// Where libraries are in an unpacked package, relative to its root.
const LIBRARIES: [&str; 2] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];

/// The dynamic linker, in one of [`LIBRARIES`].
const LINKER: &str = "ld-linux-x86-64.so.2";

/// Where QEMU looks for firmware: its own, and the BIOS, which is a package by itself.
const FIRMWARE: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];

/// A QEMU that runs here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Emulator {
    program: PathBuf,
    /// Arguments that come before all others.
    arguments: Vec<OsString>,
    /// Where its modules are, if not where it was built to look.
    modules: Option<PathBuf>,
    version: String,
}

/// Where QEMU comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// On PATH.
    Machine,
    /// Unpacked at an earlier time.
    Kept,
    /// Debian's archive.
    Archive,
}

/// Prefers what needs no download. `machine` is the version on PATH, `kept` whether one was unpacked.
fn origin(machine: Option<(u64, u64)>, kept: bool) -> Origin {
    match machine {
        Some(version) if version >= OLDEST => Origin::Machine,
        _ if kept => Origin::Kept,
        _ => Origin::Archive,
    }
}

impl Emulator {
    /// QEMU of an architecture, from PATH, from target/tools, or from Debian's archive into target/tools.
    ///
    /// # Errors
    ///
    /// Says why there is none.
    pub(crate) fn obtain(workspace: &Workspace, arch: Arch) -> Result<Self> {
        if let Some(here) = Self::here(workspace, arch) {
            return Ok(here);
        }
        Self::fetch(workspace, arch).with_context(|| {
            let (major, minor) = OLDEST;
            format!("virtual machines need {} {major}.{minor} or later", names(arch).0)
        })
    }

    /// QEMU where nothing has to be fetched for it.
    pub(crate) fn here(workspace: &Workspace, arch: Arch) -> Option<Self> {
        let machine = process::which(names(arch).0).and_then(|program| {
            Self { program, arguments: Vec::new(), modules: None, version: String::new() }.asked()
        });
        let tools = workspace.tools();
        let kept =
            SUITES.iter().find_map(|suite| Self::unpacked(&directory(&tools, suite, arch), arch));
        match origin(machine.as_ref().and_then(|one| number(&one.version)), kept.is_some()) {
            Origin::Machine => machine,
            Origin::Kept => kept,
            Origin::Archive => None,
        }
    }

    /// A command that is to be QEMU, without arguments of the machine.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        if let Some(modules) = &self.modules {
            command.env("QEMU_MODULE_DIR", modules);
        }
        command
    }

    /// What it says of itself, in one line.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Itself with its version; `None` where it does not run.
    fn asked(mut self) -> Option<Self> {
        let said = process::ask(self.command().arg("--version"))?;
        self.version = said.lines().next()?.to_owned();
        Some(self)
    }

    /// The one whose packages were unpacked into `root`; `None` where there is none that runs.
    fn unpacked(root: &Path, arch: Arch) -> Option<Self> {
        let libraries: Vec<_> = LIBRARIES.iter().map(|dir| root.join(dir)).collect();
        let linker = libraries.iter().map(|dir| dir.join(LINKER)).find(|path| path.is_file())?;
        let path: Vec<_> = libraries.iter().map(|dir| dir.display().to_string()).collect();
        let mut arguments: Vec<OsString> = vec!["--library-path".into(), path.join(":").into()];
        arguments.push(root.join("usr/bin").join(names(arch).0).into());
        for firmware in FIRMWARE {
            arguments.extend(["-L".into(), root.join(firmware).into()]);
        }
        let modules = root.join("usr/lib/x86_64-linux-gnu/qemu");
        Self { program: linker, arguments, modules: Some(modules), version: String::new() }.asked()
    }

    fn fetch(workspace: &Workspace, arch: Arch) -> Result<Self> {
        let tools = workspace.tools();
        fs::create_dir_all(&tools)
            .with_context(|| format!("{} cannot be made", tools.display()))?;
        let mut reasons = Vec::new();
        for suite in SUITES {
            eprintln!("vm: fetching QEMU from {suite} (40 MB) into {}", tools.display());
            match fetch_from(suite, &workspace.target().join("vm/apt"), &tools, arch) {
                Ok(emulator) => return Ok(emulator),
                Err(error) => reasons.push(format!("{error:#}")),
            }
        }
        bail!("{}", reasons.join("; "))
    }
}

fn fetch_from(suite: &str, apt: &Path, tools: &Path, arch: Arch) -> Result<Emulator> {
    // It runs here, whatever it runs.
    let archive = Suite::open(apt, suite, Arch::X86_64)?;
    // It appears under its name when it is whole and runs.
    let partial = tools.join(format!(".partial-qemu-{suite}"));
    directory::remove(&partial)?;
    archive.unpack_with_dependencies(&[names(arch).1], &partial)?;
    if Emulator::unpacked(&partial, arch).is_none() {
        directory::remove(&partial)?;
        bail!("{suite}'s QEMU does not run on this machine");
    }
    let whole = directory(tools, suite, arch);
    directory::remove(&whole)?;
    fs::rename(&partial, &whole).context("QEMU cannot be kept")?;
    Emulator::unpacked(&whole, arch).context("QEMU is gone")
}

fn directory(tools: &Path, suite: &str, arch: Arch) -> PathBuf {
    match arch {
        Arch::X86_64 => tools.join(format!("qemu-{suite}")),
        Arch::Aarch64 => tools.join(format!("qemu-{suite}-{}", arch.debian())),
    }
}

/// The major and minor number in `QEMU emulator version 7.2.22 (…)`.
fn number(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.strip_prefix("QEMU emulator version ")?.split(['.', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machines_own_is_preferred_where_it_is_new_enough() {
        assert_eq!(origin(Some((7, 2)), false), Origin::Machine);
        assert_eq!(origin(Some((10, 0)), true), Origin::Machine);
        assert_eq!(origin(Some((7, 1)), true), Origin::Kept);
        assert_eq!(origin(Some((5, 2)), false), Origin::Archive);
        assert_eq!(origin(None, true), Origin::Kept);
        assert_eq!(origin(None, false), Origin::Archive);
    }

    #[test]
    fn versions_are_compared_by_number() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)";
        assert_eq!(number(debian), Some((7, 2)));
        assert_eq!(number("QEMU emulator version 10.0.2"), Some((10, 0)));
        assert_eq!(number("QEMU emulator version 10.1"), Some((10, 1)));
        assert_eq!(number("something else 10.1"), None);
    }

    #[test]
    fn half_a_tree_is_none() {
        let root = std::env::temp_dir().join(format!("observer-qemu-{}", std::process::id()));
        let libraries = root.join(LIBRARIES[1]);
        fs::create_dir_all(&libraries).expect("a directory");
        assert_eq!(Emulator::unpacked(&root, Arch::X86_64), None, "without a linker");
        fs::write(libraries.join(LINKER), "").expect("a file");
        assert_eq!(Emulator::unpacked(&root, Arch::X86_64), None, "with one that does not run");
        fs::remove_dir_all(&root).expect("it was made");
    }
}
