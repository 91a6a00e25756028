//! The Debian package, by dpkg-deb.
//!
//! It depends on nothing: the program is one static file. Maintainer scripts are in `deploy/package/deb`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    files,
    source::{EPOCH, Source},
    stage::{self, Stage},
};
use crate::{directory, process, workspace::Workspace};

/// Debian's number of the package of one version.
const REVISION: u32 = 1;

/// Where zsh finds completions in Debian, which is not where it finds them elsewhere.
const ZSH: (&str, &str) = ("usr/share/zsh/site-functions", "usr/share/zsh/vendor-completions");

/// Who maintains the package, as the licence names them. They have no address.
const MAINTAINER: &str = "The observer contributors";

/// Scripts that dpkg calls.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// The package's file name.
pub(super) fn name(version: &str, debian: &str) -> String {
    format!("observer_{version}-{REVISION}_{debian}.deb")
}

/// Writes it into `out`.
pub(super) fn write(
    workspace: &Workspace,
    stage: &Stage,
    source: &Source,
    out: &Path,
) -> Result<()> {
    let root = workspace.target().join(format!("dist/deb-{}", stage.arch));
    directory::remove(&root)?;
    let mut size = 0;
    let mut put = |inside: &str, bytes: &[u8], program: bool| -> Result<()> {
        size += bytes.len();
        file(&root.join(inside), bytes, program)
    };
    for one in &stage.files {
        let (inside, bytes) = placed(&one.installed, &one.bytes)?;
        put(&inside, &bytes, one.program)?;
    }
    let copyright = copyright(&stage.files)?;
    put("usr/share/doc/observer/copyright", copyright.as_bytes(), false)?;
    let version = format!("{}-{REVISION}", stage.version);
    let control =
        control(&version, stage.arch.debian(), size.div_ceil(1024), source.homepage.as_deref());
    file(&root.join("DEBIAN/control"), control.as_bytes(), false)?;
    for script in SCRIPTS {
        let bytes = files::read(&workspace.root().join("deploy/package/deb").join(script))?;
        file(&root.join("DEBIAN").join(script), &bytes, true)?;
    }
    directories(&root)?;
    let mut build = Command::new("dpkg-deb");
    // gzip in one thread: the same bytes from every version of it that Debian 11 to 13 have.
    build.args(["--root-owner-group", "--uniform-compression", "-Zgzip", "--build"]);
    build.arg(&root).arg(out.join(name(&stage.version, stage.arch.debian())));
    build.env(EPOCH, source.time.to_string());
    process::quietly(build).context("the Debian package was not made")
}

/// Where a file is in Debian, and what it is there: manual pages and change logs are compressed.
fn placed(installed: &str, bytes: &[u8]) -> Result<(String, Vec<u8>)> {
    if installed.starts_with("usr/share/man/") || installed.ends_with("/CHANGELOG.md") {
        return Ok((format!("{installed}.gz"), stage::gzip(bytes)?));
    }
    Ok((installed.replace(ZSH.0, ZSH.1), bytes.to_owned()))
}

/// What Debian asks for of every package: its own licences, and those of what it carries.
fn copyright(files: &[stage::File]) -> Result<String> {
    let text = |name: &str| -> Result<String> {
        let file = files.iter().find(|file| file.given == name);
        let file = file.with_context(|| format!("{name} is not among what is given away"))?;
        Ok(String::from_utf8_lossy(&file.bytes).into_owned())
    };
    Ok(format!(
        "observer is licensed under MIT or Apache-2.0, whichever you choose (LICENSE-MIT, LICENSE-APACHE here; \
         /usr/share/common-licenses/Apache-2.0).\n\n{}\n{}",
        text("LICENSE-MIT")?,
        text("THIRD-PARTY-LICENSES.txt")?
    ))
}

fn control(version: &str, architecture: &str, kibibytes: usize, homepage: Option<&str>) -> String {
    let homepage = homepage.map_or_else(String::new, |page| format!("Homepage: {page}\n"));
    format!(
        "Package: observer\n\
         Version: {version}\n\
         Architecture: {architecture}\n\
         Maintainer: {MAINTAINER}\n\
         Installed-Size: {kibibytes}\n\
         Section: net\n\
         Priority: optional\n\
         {homepage}\
         Description: observes the TCP accept path in the kernel\n \
         For each listener: how many tasks the kernel wakes for a connection (the\n \
         thundering herd), who accepts and who wakes for nothing, how full the accept\n \
         queue gets and against which limit, and how accept fails.\n \
         .\n \
         One static program that loads kernel programs (eBPF): it needs Linux 5.10 or\n \
         later with BTF, and root or capabilities.\n"
    )
}

fn file(path: &Path, bytes: &[u8], program: bool) -> Result<()> {
    files::write(path, bytes)?;
    let mode = if program { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("{} cannot be given its mode", path.display()))
}

/// Gives directories the mode that they have everywhere, whatever this shell's umask is.
fn directories(root: &Path) -> Result<()> {
    let mut open = vec![PathBuf::from(root)];
    while let Some(dir) = open.pop() {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_where_debian_has_them() {
        let at = |path: &str| placed(path, b"x").expect("room").0;
        assert_eq!(at("usr/bin/observer"), "usr/bin/observer");
        assert_eq!(at("usr/share/man/man1/observer.1"), "usr/share/man/man1/observer.1.gz");
        assert_eq!(
            at("usr/share/zsh/site-functions/_observer"),
            "usr/share/zsh/vendor-completions/_observer"
        );
    }

    #[test]
    fn a_description_goes_on_in_lines_that_begin_with_a_space() {
        let control = control("1.0.0-1", "arm64", 7, Some("https://forge.example/observer"));
        let (fields, rest) = control.split_once("\nDescription: ").expect("a description");
        assert!(fields.lines().all(|line| line.contains(": ")));
        assert!(rest.lines().skip(1).all(|line| line.starts_with(' ')), "{rest}");
    }
}
