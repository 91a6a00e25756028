//! What users are given: one static file for each architecture, in a tarball with its manual pages, completions,
//! licences and list of parts, as a Debian package, as an RPM and as a container image.
//!
//! Two builds of one commit give the same bytes, wherever the checkout is: what is built from is in `source`, paths
//! and times are taken out in `program`, whose promises `judge` holds it to, and `twice` proves it. `make` does all of
//! it: what is made of the program is in `stage` (the files beside it), `contents` with `sbom` and `licences` (what it
//! is made of), `tarball`, `deb`, `rpm` and `image`; `trial` tries all of them. `release` has the text of a release.

mod args;
mod contents;
mod deb;
mod files;
mod image;
mod judge;
mod licences;
mod make;
mod program;
mod release;
mod rpm;
mod sbom;
mod source;
mod stage;
mod tarball;
mod trial;
mod twice;

use std::process::ExitCode;

use anyhow::Result;

pub(crate) use self::args::DistArgs;
use self::{files::listed, make::make, source::Source};
use crate::{setup::Ready, workspace::Workspace};

/// Makes everything, and says what it made.
pub(crate) fn dist(workspace: &Workspace, args: &DistArgs, ready: &Ready) -> Result<ExitCode> {
    let source = Source::of(workspace, ready)?;
    if let Some(complaint) = source.complaint() {
        eprintln!("dist: {complaint}");
    }
    let dist = workspace.target().join("dist");
    if let Some(tag) = &args.release {
        let changelog = String::from_utf8(files::read(&workspace.root().join("CHANGELOG.md"))?)?;
        let text = release::text(tag, &source, &changelog)?;
        files::write(&dist.join("release.md"), text.as_bytes())?;
    }
    let out = dist.join("out");
    let arches = make(workspace, args, &source, &out)?;
    let mut good = true;
    for (name, size) in listed(&out)? {
        println!("dist: {name}: {}", mebibytes(size));
    }
    println!("dist: all in {}", out.display());
    if args.twice {
        good &= twice::compare(workspace, args, &source, &out)?;
    }
    if args.test {
        good &= trial::test(workspace, &source, &arches, &out)?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A size in MiB, with two digits behind the point.
fn mebibytes(bytes: u64) -> String {
    let hundredths = bytes.saturating_mul(100) >> 20;
    format!("{}.{:02} MiB", hundredths / 100, hundredths % 100)
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
