//! The files that are given away, and where each is in the tarball and on an installed system.

use std::{fs, io::Write as _, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};
use flate2::{Compression, GzBuilder};

use super::{
    contents::Crate,
    files, licences,
    sbom::{self, Part},
    source::Source,
};
use crate::{arch::Arch, compiler::Compiler, process, workspace::Workspace};

/// Where units are in the repository. There may be none.
const UNITS: &str = "deploy/systemd";

/// What a unit's name ends with.
const UNIT_ENDS: [&str; 2] = [".service", ".socket"];

/// Shells: what clap calls one, and where its script is in the tarball and on a system.
const SHELLS: [(&str, &str, &str); 3] = [
    ("bash", "completions/observer.bash", "usr/share/bash-completion/completions/observer"),
    ("zsh", "completions/_observer", "usr/share/zsh/site-functions/_observer"),
    ("fish", "completions/observer.fish", "usr/share/fish/vendor_completions.d/observer.fish"),
];

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Its path in the tarball, without the first directory.
    pub(super) given: String,
    /// Its path on an installed system, from the root.
    pub(super) installed: String,
    /// Whether it can be run.
    pub(super) program: bool,
    pub(super) bytes: Vec<u8>,
}

/// What depends on no architecture: manual pages and completions.
#[derive(Debug)]
pub(super) struct Pages(Vec<File>);

/// Everything for one architecture.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) arch: Arch,
    pub(super) version: String,
    /// In the order of [`File::given`].
    pub(super) files: Vec<File>,
}

impl Stage {
    /// The first directory in the tarball, which is its name too.
    pub(super) fn name(&self) -> String {
        format!("observer-{}-{}-linux", self.version, self.arch)
    }

    /// Collects everything.
    pub(super) fn fill(
        workspace: &Workspace,
        source: &Source,
        compiler: &Compiler,
        crates: &[Crate],
        pages: &Pages,
        arch: Arch,
        program: &Path,
    ) -> Result<Self> {
        let tools = compiler.parts(workspace);
        let parts = parts(&tools);
        let mut files = pages.0.clone();
        files.push(File {
            given: "observer".to_owned(),
            installed: "usr/bin/observer".to_owned(),
            program: true,
            bytes: files::read(program)?,
        });
        for name in ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md"] {
            files.push(File::document(name, files::read(&workspace.root().join(name))?));
        }
        let licences = licences::text(workspace, compiler, crates, &parts)?;
        files.push(File::document("THIRD-PARTY-LICENSES.txt", licences.into_bytes()));
        let list = sbom::text(source, arch, crates, &parts)?;
        files.push(File::document(sbom::NAME, list.into_bytes()));
        let built = build_information(workspace, source, arch, &tools)?;
        files.push(File::document("BUILDINFO", built.into_bytes()));
        files.extend(units(workspace)?);
        files.sort_by(|one, other| one.given.cmp(&other.given));
        Ok(Self { arch, version: source.version.clone(), files })
    }
}

impl File {
    fn document(name: &str, bytes: Vec<u8>) -> Self {
        Self {
            given: name.to_owned(),
            installed: format!("usr/share/doc/observer/{name}"),
            program: false,
            bytes,
        }
    }
}

/// What is linked in beside crates: Rust's own library and C's.
fn parts(tools: &[(&'static str, String)]) -> Vec<Part> {
    let version = |name: &str| {
        let said = tools.iter().find(|(one, _)| *one == name).map(|(_, said)| said.as_str());
        // Such as `rustc 1.95.0 (…)`, and `ldd (Debian GLIBC 2.36-9) 2.36`.
        let mut words = said.unwrap_or_default().split_whitespace();
        let number = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
        words.find(number).unwrap_or("unknown").trim_end_matches(')').to_owned()
    };
    vec![
        ("Rust standard library", version("rustc"), "MIT OR Apache-2.0"),
        ("glibc", version("C library"), "LGPL-2.1-or-later"),
        ("libgcc", version("cc"), "GPL-3.0-or-later WITH GCC-exception-3.1"),
    ]
}

/// What it was built from and by, for whoever wants to build the same.
fn build_information(
    workspace: &Workspace,
    source: &Source,
    arch: Arch,
    tools: &[(&'static str, String)],
) -> Result<String> {
    let mut linker = Command::new(workspace.linker());
    let linker = process::ask(linker.arg("--version")).unwrap_or_else(|| "unknown".to_owned());
    let mut lines = vec![
        format!("observer: {}", source.version),
        format!("commit: {}", source.commit),
        format!("SOURCE_DATE_EPOCH: {}", source.time),
        format!("architecture: {arch}"),
    ];
    lines.extend(source.homepage.iter().map(|page| format!("OBSERVER_HOMEPAGE: {page}")));
    lines.extend(tools.iter().map(|(name, said)| format!("{name}: {said}")));
    lines.push(format!("kernel programs: {}, {linker}", source.kernel_side));
    Ok(lines.join("\n") + "\n")
}

fn units(workspace: &Workspace) -> Result<Vec<File>> {
    let Ok(entries) = fs::read_dir(workspace.root().join(UNITS)) else { return Ok(Vec::new()) };
    let mut units = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if UNIT_ENDS.iter().any(|end| name.ends_with(end)) {
            units.push(File {
                given: format!("systemd/{name}"),
                installed: format!("usr/lib/systemd/system/{name}"),
                program: false,
                bytes: files::read(&entry.path())?,
            });
        }
    }
    Ok(units)
}

/// Has a program that runs here write its pages.
pub(super) fn pages(workspace: &Workspace, program: &Path) -> Result<Pages> {
    let mut files = Vec::new();
    let directory = workspace.target().join("dist/man");
    if directory.exists() {
        fs::remove_dir_all(&directory).context("earlier manual pages are in the way")?;
    }
    fs::create_dir_all(&directory).context("no directory for the manual pages")?;
    let mut man = Command::new(program);
    man.arg("man").arg("--dir").arg(&directory);
    process::quietly(man)?;
    for (name, _) in files::listed(&directory)? {
        let bytes = files::read(&directory.join(&name))?;
        files.push(File {
            given: format!("man/man1/{name}"),
            installed: format!("usr/share/man/man1/{name}"),
            program: false,
            bytes,
        });
    }
    if files.is_empty() {
        bail!("observer wrote no manual page");
    }
    for (shell, given, installed) in SHELLS {
        let script = process::ask(Command::new(program).args(["completions", shell]));
        let script = script.with_context(|| format!("observer has no completions for {shell}"))?;
        files.push(File {
            given: given.to_owned(),
            installed: installed.to_owned(),
            program: false,
            bytes: (script + "\n").into_bytes(),
        });
    }
    Ok(Pages(files))
}

/// Compressed, without name and time.
pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_tools_say() {
        let tools = [
            ("rustc", "rustc 1.95.0 (59807616e 2026-04-14)".to_owned()),
            ("cc", "cc (Debian 12.2.0-14+deb12u1) 12.2.0".to_owned()),
            ("C library", "glibc 2.36-9+deb12u14 (Debian)".to_owned()),
        ];
        let versions: Vec<_> = parts(&tools).into_iter().map(|(_, version, _)| version).collect();
        assert_eq!(versions, ["1.95.0", "2.36-9+deb12u14", "12.2.0-14+deb12u1"]);
        assert_eq!(parts(&[])[0].1, "unknown");
    }

    #[test]
    fn the_same_bytes_are_compressed_to_the_same() {
        let once = gzip(b"observer").expect("room");
        assert_eq!(once, gzip(b"observer").expect("room"));
        assert_eq!(once[4..8], [0; 4], "no time");
    }
}
