//! Compiling and becoming the program that has the other commands.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitCode, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{process, workspace::Workspace};

/// How long Cargo may take to find that nothing has to be compiled.
const FRESH: Duration = Duration::from_millis(700);

/// Compiles `xtask`, where it is not compiled, and becomes it. Returns only where that fails.
pub(crate) fn hand_on(workspace: &Workspace, words: &[OsString]) -> Result<ExitCode> {
    let mut build = cargo(workspace, "build");
    let child =
        build.spawn().with_context(|| format!("`{}` did not start", process::line(&build)))?;
    if !wait(child)?.success() {
        bail!("`cargo xtask` was not built: Cargo's messages above say why");
    }
    let mut run = cargo(workspace, "run");
    let error = run.arg("--").args(words).exec();
    Err(error).with_context(|| format!("`{}` did not start", process::line(&run)))
}

/// A command of Cargo on `xtask`, in the caller's directory: paths among the words are relative to that.
fn cargo(workspace: &Workspace, command: &str) -> Command {
    let mut cargo = Command::new(workspace.cargo().get_program());
    cargo.args([command, "--quiet", "--package", "xtask", "--bin", "xtask", "--manifest-path"]);
    cargo.arg(workspace.root().join("Cargo.toml"));
    cargo
}

/// Waits for Cargo, and says what it does where that takes longer than a look.
fn wait(mut child: Child) -> Result<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < FRESH {
        if let Some(status) = child.try_wait().context("Cargo was lost")? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(20));
    }
    eprintln!("xtask: compiling the commands beside setup, build and run (half a minute, once)");
    child.wait().context("Cargo was lost")
}
