//! An nginx that polls, for the tests.
//!
//! Debian's is built without the poll module, and in epoll it waits exclusively, so that no
//! setting of it shows a herd. Debian's *source* of it does, through the machine's own apt: its
//! mirrors, its proxies and its checks of signatures.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::apt_sources;
use crate::{process, workspace::Workspace};

/// Names one to use instead; the tests read it.
pub(crate) const CHOICE: &str = "OBSERVER_TEST_NGINX";

/// What stands for it among what set-up could not get.
pub(crate) const NAME: &str = "an nginx that polls";

/// Nothing that needs another library's headers.
const CONFIGURATION: [&str; 4] = [
    "--with-poll_module",
    "--without-http_rewrite_module",
    "--without-http_gzip_module",
    // nginx makes warnings errors, and a compiler that is newer than it warns of more.
    "--with-cc-opt=-Wno-error",
];

/// Where the machine's sources are.
const SOURCES: [&str; 2] = ["/etc/apt/sources.list", "/etc/apt/sources.list.d"];

/// Where the binary is kept: beside the other tools, for the tests to find.
fn kept(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("nginx/nginx")
}

/// Whether it is here and works.
pub(crate) fn is_built(workspace: &Workspace) -> bool {
    // It tells about itself on standard error.
    Command::new(kept(workspace))
        .arg("-V")
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stderr).contains("--with-poll_module"))
}

/// Gets the source and builds it.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let kept = kept(workspace);
    eprintln!("setup: building an nginx that polls into {} (a minute)", kept.display());
    // Of our own, so that two set-ups at once do not meet in it.
    let scratch = Scratch::make(kept.with_file_name(format!("build-{}", std::process::id())))?;
    let archive = fetch(&scratch.0)?;
    let tree = scratch.0.join("tree");
    fs::create_dir(&tree)?;
    // As root, tar would give the files to the ids in the archive.
    let unpack = [OsStr::new("--no-same-owner"), OsStr::new("--strip-components=1")];
    run("tar", unpack.into_iter().chain(["-xf".as_ref(), archive.as_os_str()]), &tree)?;
    run(tree.join("configure"), CONFIGURATION, &tree)?;
    run("make", ["-j2"], &tree)?;
    fs::rename(tree.join("objs/nginx"), &kept)
        .with_context(|| format!("{} could not be written", kept.display()))
}

/// Downloads the archives of Debian's source package; returns upstream's.
fn fetch(scratch: &Path) -> Result<PathBuf> {
    apt_root(scratch)?;
    let package = scratch.join("package");
    fs::create_dir(&package)?;
    let config = scratch.join("apt.conf");
    let apt = |args: &[&str]| {
        let config = [OsStr::new("--quiet"), "-c".as_ref(), config.as_os_str()];
        run("apt-get", config.into_iter().chain(args.iter().map(OsStr::new)), &package)
    };
    // One source out of several may fail; whether it matters shows in the download.
    let updated = apt(&["--option", "APT::Update::Error-Mode=any", "update"]);
    // Upstream's archive is all that is built: Debian's changes to it, and the description that names
    // both, may be gone from a mirror while the archive stays.
    let source = ["source", "--download-only", "--tar-only", "--only-source", "nginx"];
    if let Err(error) = apt(&source) {
        return Err(updated.err().unwrap_or(error));
    }
    let mut files = fs::read_dir(&package)?.filter_map(|entry| Some(entry.ok()?.path()));
    files
        .find(|path| path.file_name().is_some_and(is_upstream))
        .context("Debian's source package of nginx has no upstream archive")
}

fn is_upstream(name: &OsStr) -> bool {
    // Its signature, *.orig.tar.gz.asc, may lie beside it.
    name.to_str().is_some_and(|name| name.contains(".orig.tar.") && !name.ends_with(".asc"))
}

/// apt with lists and a cache of its own, which needs no root and changes nothing of the
/// machine's; keys, proxies and passwords stay the machine's.
fn apt_root(scratch: &Path) -> Result<()> {
    for directory in ["sources", "state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(scratch.join(directory))?;
    }
    let mut found = false;
    for file in SOURCES.iter().flat_map(files) {
        // What we may not read, apt may not either.
        let (Some(name), Ok(text)) = (file.file_name(), fs::read_to_string(&file)) else {
            continue;
        };
        let sources = match file.extension().and_then(OsStr::to_str) {
            Some("list") => apt_sources::from_list(&text),
            Some("sources") => apt_sources::from_deb822(&text),
            _ => continue,
        };
        found |= !sources.is_empty();
        fs::write(scratch.join("sources").join(name), sources)?;
    }
    if !found {
        bail!("no file in /etc/apt names a main suite of Debian to get nginx's source from");
    }
    let root = scratch.to_str().filter(|root| !root.contains('"'));
    let root = root.with_context(|| format!("apt cannot work in {}", scratch.display()))?;
    fs::write(scratch.join("apt.conf"), settings(root)).context("no settings for apt")
}

/// A file, or those in a directory.
fn files(path: &&str) -> Vec<PathBuf> {
    fs::read_dir(path).map_or_else(
        |_| vec![PathBuf::from(path)],
        |entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
    )
}

/// Read after the machine's own settings (`apt-get -c`).
fn settings(root: &str) -> String {
    // apt as root downloads as _apt, which may not reach a checkout in root's home.
    // After an update, other programs are told about the machine's lists, which did not change.
    format!(
        "Dir::Etc::SourceList \"/dev/null\";\n\
         Dir::Etc::SourceParts \"{root}/sources\";\n\
         Dir::State \"{root}/state\";\n\
         Dir::Cache \"{root}/cache\";\n\
         APT::Sandbox::User \"root\";\n\
         #clear APT::Update;\n"
    )
}

/// Runs a command; where it fails, says the line of its output that tells most.
fn run<A: AsRef<OsStr>>(
    program: impl AsRef<Path>,
    args: impl IntoIterator<Item = A>,
    directory: &Path,
) -> Result<()> {
    let program = program.as_ref();
    let mut command = Command::new(program);
    command.args(args).current_dir(directory).env("LC_ALL", "C");
    let (status, output) = process::capture(command)?;
    if !status.success() {
        bail!("{} failed ({status}): {}", program.display(), reason(&output));
    }
    Ok(())
}

/// The line of a command's output that tells most.
pub(super) fn reason(output: &str) -> &str {
    let lines = || output.lines().map(str::trim).filter(|line| !line.is_empty());
    lines()
        .find(|line| line.starts_with("E: ") || line.contains("error:"))
        .or_else(|| lines().next_back())
        .unwrap_or("it said nothing")
}

/// A directory that goes with us.
struct Scratch(PathBuf);

impl Scratch {
    fn make(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path)
            .with_context(|| format!("{} could not be made", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("setup: remove {} by hand: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_archive_is_found_among_the_others() {
        let names = [
            "nginx_1.26.3-3.debian.tar.xz",
            "nginx_1.26.3-3.dsc",
            "nginx_1.26.3.orig.tar.gz.asc",
            "nginx_1.26.3.orig.tar.gz",
        ];
        let found = names.iter().position(|name| is_upstream(OsStr::new(name)));
        assert_eq!(found, Some(3));
    }

    #[test]
    fn a_failure_is_told_in_one_line() {
        let apt = "Err:1 http://one.example trixie InRelease\n\
                   E: Failed to fetch http://one.example\nE: Some index files failed\n";
        assert_eq!(reason(apt), "E: Failed to fetch http://one.example");
        assert_eq!(reason("a.c:1:2: error: no\nmake: *** [all] Error 1\n"), "a.c:1:2: error: no");
        assert_eq!(reason("checking for OS\n./configure: no\n\n"), "./configure: no");
        assert_eq!(reason(""), "it said nothing");
    }
}
