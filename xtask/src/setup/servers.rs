//! Servers and tools for the tests, which are Debian's and are unpacked, not installed: no service is started, and nothing of
//! the machine's own is touched.
//!
//! apt decides what a server needs beside what is installed here, so that it runs with the machine's C library.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use super::nginx::reason;
use crate::{process, workspace::Workspace};

/// What stands for them among what set-up could not get.
pub(crate) const NAME: &str = "servers of Debian";

/// Programs that tests start, and the packages that bring them. The tests name the packages too
/// (`observer/tests/system/servers.rs`, `observer/tests/system/deploy.rs`).
pub(crate) const SERVERS: [(&str, &str); 11] = [
    ("apache2", "apache2-bin"),
    ("buildah", "buildah"),
    ("gunicorn", "gunicorn"),
    ("haproxy", "haproxy"),
    ("lighttpd", "lighttpd"),
    ("memcached", "memcached"),
    ("node", "nodejs"),
    ("php-fpm", "php-fpm"),
    // With promtool.
    ("prometheus", "prometheus"),
    ("redis-server", "redis-server"),
    ("uwsgi-core", "uwsgi-core"),
];

/// Where a package is unpacked: beside the other tools, for the tests to find.
fn kept(workspace: &Workspace, package: &str) -> PathBuf {
    workspace.tools().join("servers").join(package)
}

/// Whether a package was unpacked.
pub(crate) fn is_kept(workspace: &Workspace, package: &str) -> bool {
    kept(workspace, package).is_dir()
}

/// Fetches a package with what it needs and is not installed here, and unpacks them.
pub(crate) fn unpack(workspace: &Workspace, package: &str) -> Result<()> {
    let kept = kept(workspace, package);
    eprintln!("setup: unpacking {package} into {}", kept.display());
    // It appears under its name when it is whole.
    let partial = kept.with_file_name(format!(".partial-{package}-{}", std::process::id()));
    let unpacked = unpack_into(&partial, package);
    let renamed = unpacked.and_then(|()| {
        fs::rename(partial.join("root"), &kept)
            .with_context(|| format!("{} could not be written", kept.display()))
    });
    if partial.exists() {
        fs::remove_dir_all(&partial)
            .with_context(|| format!("{} could not be removed", partial.display()))?;
    }
    renamed
}

fn unpack_into(partial: &std::path::Path, package: &str) -> Result<()> {
    let (debs, root) = (partial.join("debs"), partial.join("root"));
    for directory in [&debs.join("partial"), &root] {
        fs::create_dir_all(directory)
            .with_context(|| format!("{} could not be made", directory.display()))?;
    }
    let mut fetch = Command::new("apt-get");
    fetch.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
    fetch.args(["--quiet", "--yes", "--download-only", "--no-install-recommends"]);
    // Only these directories are written to: there is nothing to lock, and apt's own user may not reach them.
    fetch.args(["--option", "Debug::NoLocking=1", "--option", "APT::Sandbox::User="]);
    fetch.arg("--option").arg(format!("Dir::Cache::archives={}", debs.display()));
    fetch.args(["install", package]);
    let (status, output) = process::capture(fetch)?;
    if !status.success() {
        bail!("{}", reason(&output));
    }
    for entry in fs::read_dir(&debs).context("the downloads cannot be read")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let mut extract = Command::new("dpkg-deb");
            extract.arg("--extract").arg(path).arg(&root);
            process::quietly(extract)?;
        }
    }
    Ok(())
}
