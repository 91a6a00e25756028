//! What was made, tried: packages in minimal roots of Debian, the image's root with nothing else, and the program in
//! machines that have a kernel and nothing else.
//!
//! A root has no systemd: in its place a script keeps what the packages ask of it.

mod deb;
mod demo;
mod given;
mod guest;
mod image;
mod root;
mod rpm;

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use nix::unistd::geteuid;

use self::given::Given;
use super::source::Source;
use crate::{arch::Arch, directory, workspace::Workspace};

/// Tries what is in `out` for these architectures; `false` where something is not as it should be.
pub(super) fn test(
    workspace: &Workspace,
    source: &Source,
    arches: &[Arch],
    out: &Path,
) -> Result<bool> {
    if !geteuid().is_root() {
        bail!("roots of Debian are made and entered by root: run this command as root");
    }
    let here = Arch::here().context("observer is built on x86_64 and on aarch64")?;
    let given = Given { workspace, source, arches, here, out };
    let scratch = workspace.target().join("dist/roots");
    directory::remove(&scratch)?;
    fs::create_dir_all(&scratch).with_context(|| format!("no {}", scratch.display()))?;
    let mut good = true;
    let mut tell = |name: &str, said: Result<Vec<String>>| match said {
        Ok(steps) => println!("dist: {name}: {}", steps.join(", ")),
        Err(error) => {
            println!("dist: {name}: FAILED: {error:#}");
            good = false;
        }
    };
    for suite in deb::SUITES {
        tell(suite, deb::cycle(&given, suite, &scratch));
    }
    tell("rpm", rpm::cycle(&given, &scratch));
    if arches.contains(&here) {
        tell("image", image::alone(&given, &scratch));
    }
    for arch in arches {
        for machine in guest::machines(*arch) {
            let said = guest::alone(&given, *arch, *machine);
            tell(&format!("Linux {} and nothing else", machine.0), said);
        }
    }
    directory::remove(&scratch)?;
    Ok(good)
}
