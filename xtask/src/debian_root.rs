//! Minimal roots of Debian releases, made by mmdebstrap from the archive that this machine's apt knows, and entered in
//! mount namespaces of their own: what is mounted goes with what was started.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{arch::Arch, archive::Suite, workspace::Workspace};

/// What makes a root, and the suite that it is taken from.
const MAKER: (&str, &str) = ("mmdebstrap", "bookworm");

/// Seconds that making a root may take.
const LIMIT: &str = "900";

/// What a root is made of.
#[derive(Debug)]
pub(crate) struct Recipe<'a> {
    pub(crate) suite: &'a str,
    /// mmdebstrap's name for which packages there are at least.
    pub(crate) variant: &'a str,
    /// More packages.
    pub(crate) packages: &'a [&'a str],
    /// apt's sources, in deb822 format.
    pub(crate) sources: &'a str,
}

/// Makes a root at `target`: a directory, or an archive where it ends in `.tar`.
pub(crate) fn make(workspace: &Workspace, recipe: &Recipe<'_>, target: &Path) -> Result<()> {
    let arch = Arch::here().context("roots are made on x86_64 and on aarch64")?;
    let maker = workspace.tools().join(MAKER.0);
    let program = maker.join("usr/bin").join(MAKER.0);
    if !program.is_file() {
        fs::create_dir_all(&maker).with_context(|| format!("no {}", maker.display()))?;
        Suite::open(&workspace.target().join("vm/apt"), MAKER.1, arch)?
            .unpack(&[MAKER.0.to_owned()], &maker)?;
    }
    let mut command = Command::new("timeout");
    // What it mounts goes with it, whatever ends it: a root is removed with all that is in it.
    command.arg(LIMIT).args(["unshare", "--mount", "perl"]).arg(&program);
    command.args(["--quiet", "--variant", recipe.variant]);
    if !recipe.packages.is_empty() {
        command.arg(format!("--include={}", recipe.packages.join(",")));
    }
    command
        .arg(format!("--architectures={}", arch.debian()))
        .arg(recipe.suite)
        .arg(target)
        .arg("-");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("mmdebstrap did not start")?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(recipe.sources.as_bytes()).context("mmdebstrap takes no sources")?;
    drop(stdin);
    let output = child.wait_with_output().context("mmdebstrap was lost")?;
    if !output.status.success() {
        bail!("mmdebstrap failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
