//! Making everything from one source.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use super::{
    args::DistArgs,
    contents, deb,
    files::{listed, read, write},
    image, program, rpm, sbom,
    source::Source,
    stage::{self, Stage},
    tarball,
};
use crate::{
    arch::{self, Arch},
    compiler::Compiler,
    directory,
    workspace::Workspace,
};

/// The file that lists the others with their SHA-256.
const CHECKSUMS: &str = "SHA256SUMS";

/// Makes everything from one source into `out`, which has nothing else then; returns for which architectures.
pub(super) fn make(
    workspace: &Workspace,
    args: &DistArgs,
    source: &Source,
    out: &Path,
) -> Result<Vec<Arch>> {
    // What runs here writes the pages of all.
    let here = Arch::here().context("observer is built on x86_64 and on aarch64")?;
    let wanted = match (&*args.arch, here) {
        ([], Arch::X86_64) => arch::ALL.to_vec(),
        ([], Arch::Aarch64) => vec![here],
        (chosen, _) => chosen.to_vec(),
    };
    directory::remove(out)?;
    fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
    let mut order = wanted.clone();
    order.retain(|arch| *arch != here);
    order.insert(0, here);
    let mut pages = None;
    for arch in order {
        let compiler = Compiler::obtain(workspace, arch)?;
        eprintln!("dist: building for {arch} (some minutes)");
        let program = program::build(workspace, &compiler, arch, source)?;
        let pages = match &pages {
            Some(pages) => pages,
            None => pages.insert(stage::pages(workspace, &program)?),
        };
        if !wanted.contains(&arch) {
            continue;
        }
        let contents = contents::of(workspace, arch)?;
        let stage = Stage::fill(workspace, source, &compiler, &contents, pages, arch, &program)?;
        tarball::write(&stage, source, out)?;
        if !args.no_packages {
            deb::write(workspace, &stage, source, out)?;
            rpm::write(workspace, &stage, source, out)?;
            image::write(workspace, &stage, source, out)?;
            list(&stage, out)?;
        }
    }
    checksums(out)?;
    Ok(wanted)
}

/// Writes the list of what is in `out`, as `sha256sum --check` reads it.
fn checksums(out: &Path) -> Result<()> {
    let mut text = String::new();
    for (name, _) in listed(out)? {
        let bytes = read(&out.join(&name))?;
        let digest = Sha256::digest(bytes);
        digest.iter().try_for_each(|byte| write!(text, "{byte:02x}"))?;
        writeln!(text, "  {name}")?;
    }
    write(&out.join(CHECKSUMS), text.as_bytes())
}

/// Writes the list of parts into `out` once more, for those who look for it there.
fn list(stage: &Stage, out: &Path) -> Result<()> {
    let list = stage.files.iter().find(|file| file.given == sbom::NAME);
    let list = list.context("there is no list of parts")?;
    write(&out.join(format!("{}.{}", stage.name(), sbom::NAME)), &list.bytes)
}
