//! What users are given: one static file for each architecture, in a tarball with its manual pages, completions,
//! licences and list of parts, as a Debian package and as an RPM.
//!
//! Two builds of one commit give the same bytes, wherever the checkout is: what is built from is in `source`, paths
//! and times are taken out in `program`, and `twice` proves it. What is made of the program is in `stage` (the files
//! beside it), `contents` with `sbom` and `licences` (what it is made of), `tarball`, `deb` and `rpm`; `roots` installs
//! the packages in minimal roots of Debian.

mod contents;
mod deb;
mod judge;
mod licences;
mod program;
mod roots;
mod rpm;
mod sbom;
mod source;
mod stage;
mod tarball;
mod twice;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Args;
use sha2::{Digest as _, Sha256};

use self::{source::Source, stage::Stage};
use crate::{
    arch::{self, Arch},
    compiler::Compiler,
    setup::Ready,
    workspace::Workspace,
};

/// The command's arguments.
#[derive(Args, Clone, Debug)]
pub(crate) struct DistArgs {
    /// Only this architecture (repeatable); otherwise all that this machine can build for
    #[arg(long, value_enum, value_name = "ARCH")]
    arch: Vec<Arch>,
    /// Only tarballs, no packages
    #[arg(long)]
    no_packages: bool,
    /// Build once more, in another directory, and compare
    #[arg(long)]
    twice: bool,
    /// Install, upgrade and purge the packages in minimal roots of Debian 11, 12 and 13 (as root, some minutes)
    #[arg(long, conflicts_with = "no_packages")]
    test: bool,
}

/// The file that lists the others with their SHA-256.
const CHECKSUMS: &str = "SHA256SUMS";

/// Makes everything, and says what it made.
pub(crate) fn dist(workspace: &Workspace, args: &DistArgs, ready: &Ready) -> Result<ExitCode> {
    let source = Source::of(workspace, ready)?;
    if let Some(complaint) = source.complaint() {
        eprintln!("dist: {complaint}");
    }
    let out = workspace.target().join("dist/out");
    make(workspace, args, &source, &out)?;
    let mut good = true;
    for (name, size) in listed(&out)? {
        println!("dist: {name}: {}", mebibytes(size));
    }
    println!("dist: all in {}", out.display());
    if args.twice {
        good &= twice::compare(workspace, args, &source, &out)?;
    }
    if args.test {
        good &= roots::test(workspace, &out)?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes everything from one source into `out`, which has nothing else then.
fn make(workspace: &Workspace, args: &DistArgs, source: &Source, out: &Path) -> Result<()> {
    // What runs here writes the pages of all.
    let here = Arch::here().context("observer is built on x86_64 and on aarch64")?;
    let wanted = match (&*args.arch, here) {
        ([], Arch::X86_64) => arch::ALL.to_vec(),
        ([], Arch::Aarch64) => vec![here],
        (chosen, _) => chosen.to_vec(),
    };
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("{} is in the way", out.display()))?;
    }
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
        }
    }
    checksums(out)
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

/// Names and sizes in bytes of the files in a directory, by name.
fn listed(dir: &Path) -> Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        files.push((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()));
    }
    files.sort();
    Ok(files)
}

/// A size in MiB, with two digits behind the point.
fn mebibytes(bytes: u64) -> String {
    let hundredths = bytes.saturating_mul(100) >> 20;
    format!("{}.{:02} MiB", hundredths / 100, hundredths % 100)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file, and the directories that lead to it.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}

/// Every file below a directory, by its path from there, in order.
fn below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(inside) = open.pop() {
        let path = dir.join(&inside);
        let entries =
            fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for entry in entries {
            let entry = entry?;
            let inside = inside.join(entry.file_name());
            if entry.file_type()?.is_dir() { open.push(inside) } else { found.push(inside) }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::mebibytes;

    #[test]
    fn sizes_are_cut_and_not_rounded_below_a_limit() {
        assert_eq!(mebibytes(8 << 20), "8.00 MiB");
        assert_eq!(mebibytes((8 << 20) - 1), "7.99 MiB");
        assert_eq!(mebibytes(0), "0.00 MiB");
    }
}
