//! Building the program so that neither place nor time of the build is in it.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{files, judge, source};
use crate::{arch::Arch, compiler::Compiler, process, workspace::Workspace};

/// Cargo's profile for what is given away.
const PROFILE: &str = "dist";

/// What is given to rustc, the same wherever it is built: of all that differs between two builds a build id tells nothing
/// else. The linker is called in the workspace's root.
const FLAGS: [&str; 4] = [
    "-Clink-arg=-Wl,--build-id=none",
    "-Cforce-unwind-tables=no",
    // Rust's own linker does not tell such sections by their files.
    "-Clink-arg=-fuse-ld=bfd",
    "-Clink-arg=-Wl,--script=xtask/src/dist/discard.ld",
];

/// Paths of this machine, and what they are called in the program.
type Renamed = Vec<(PathBuf, OsString)>;

/// Builds the program and returns where it is.
///
/// # Errors
///
/// When it does not compile, and when what came out is not what is promised of it.
pub(super) fn build(
    workspace: &Workspace,
    compiler: &Compiler,
    arch: Arch,
    source: &source::Source,
) -> Result<PathBuf> {
    let target = target(workspace, arch);
    fs::create_dir_all(&target).with_context(|| format!("no directory {}", target.display()))?;
    let renamed = renamed(workspace, compiler);
    let wrapper = target.join("rustc-wrapper");
    write_wrapper(&wrapper, &renamed)?;
    let mut cargo = compiler.cargo(workspace, &FLAGS.map(str::to_owned));
    cargo.args(["build", "--locked", "--profile", PROFILE, "--target", arch.target()]);
    cargo.args(["--package", "observer", "--bin", "observer", "--target-dir"]).arg(&target);
    cargo.env("RUSTC_WRAPPER", &wrapper).env("CARGO_INCREMENTAL", "0");
    cargo.env(source::COMMIT, &source.commit).env(source::EPOCH, source.time.to_string());
    let shown = process::line(&cargo);
    let status = cargo.status().with_context(|| format!("`{shown}` did not start"))?;
    if !status.success() {
        bail!("observer was not built for {arch}: Cargo's messages above say why");
    }
    let program = place(workspace, arch);
    let bytes = files::read(&program)?;
    let local: Vec<_> = renamed.iter().map(|(path, _)| path.display().to_string()).collect();
    let complaints = judge::complaints(&bytes, &local)?;
    if !complaints.is_empty() {
        bail!("{}: {}", program.display(), complaints.join("; "));
    }
    for object in objects(workspace, arch)? {
        if let Some(path) = judge::local(&files::read(&object)?, &local) {
            bail!("{}: this machine's path {path} is in it", object.display());
        }
    }
    Ok(program)
}

/// The kernel objects, which are packed in the program.
fn objects(workspace: &Workspace, arch: Arch) -> Result<Vec<PathBuf>> {
    let scripts = target(workspace, arch).join(arch.target()).join(PROFILE).join("build");
    let entries = fs::read_dir(&scripts).with_context(|| format!("no {}", scripts.display()))?;
    let objects = entries.flatten().map(|entry| entry.path().join("out/observer"));
    let objects: Vec<_> = objects.filter(|path| path.is_file()).collect();
    if objects.is_empty() {
        bail!("{} has no kernel object", scripts.display());
    }
    Ok(objects)
}

/// Where Cargo builds: a directory of its own for each, as their compilers differ, and a script that runs here would be
/// built by turns.
fn target(workspace: &Workspace, arch: Arch) -> PathBuf {
    workspace.target().join(format!("dist/build-{arch}"))
}

/// Where a program is that was built.
pub(super) fn place(workspace: &Workspace, arch: Arch) -> PathBuf {
    target(workspace, arch).join(arch.target()).join(PROFILE).join("observer")
}

/// The paths that a build would leave in the program, the more general first: the last one that fits counts.
fn renamed(workspace: &Workspace, compiler: &Compiler) -> Renamed {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let mut renamed = vec![];
    renamed.extend(home.map(|home| (home, "/cargo".into())));
    renamed.extend(compiler.library_source(workspace));
    renamed.push((workspace.root().to_owned(), "/observer".into()));
    renamed.push((workspace.target().to_owned(), "/observer/target".into()));
    renamed
}

/// Writes what Cargo calls instead of rustc. Flags of Cargo do not reach the kernel programs, which a build script
/// compiles with flags of its own; this does.
fn write_wrapper(path: &Path, renamed: &Renamed) -> Result<()> {
    let mut text = "#!/bin/sh\nexec \"$@\"".to_owned();
    for (from, to) in renamed {
        let both = format!("{}={}", from.display(), to.display());
        text.push_str(&format!(" \\\n  --remap-path-prefix='{}'", both.replace('\'', "'\\''")));
    }
    text.push('\n');
    // Where it is the same, its time stays too, and nothing is built anew.
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    files::write(path, text.as_bytes())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("{} cannot be made a program", path.display()))
}
