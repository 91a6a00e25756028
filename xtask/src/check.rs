//! Formatting, imports, lints of both sides, documentation: one line each, and a tool's output only where
//! it complains.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, Write as _},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::{
    imports, paths, process,
    setup::{Core, Ready, needed::bpf_target},
    workspace::Workspace,
};

/// The kernel side's package.
const KERNEL_SIDE: &str = "observer-ebpf";

/// Runs every check, even after one has failed, so that one run shows all there is to repair.
pub(crate) fn check(workspace: &Workspace, ready: &Ready) -> Result<ExitCode> {
    let mut clippy = workspace.cargo();
    clippy.args(["clippy", "--quiet", "--all-targets", "--", "--deny", "warnings"]);
    let mut doc = workspace.cargo();
    doc.args(["doc", "--quiet", "--no-deps", "--document-private-items"]);
    doc.env("RUSTDOCFLAGS", "-Dwarnings");
    let mut fmt = workspace.cargo();
    fmt.args(["fmt", "--all", "--check"]);

    let mut good = step("fmt", fmt)?;
    good &= ours("imports", &imports::complaints(workspace)?);
    good &= ours("paths in pages", &paths::complaints(workspace)?);
    good &= step("clippy", clippy)?;
    good &= kernel_side(workspace, ready)?;
    good &= step("doc", doc)?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A check of our own, by its complaints.
fn ours(name: &str, complaints: &[String]) -> bool {
    println!("check: {name} ... {}", if complaints.is_empty() { "ok" } else { "FAILED" });
    complaints.iter().for_each(|complaint| println!("{complaint}"));
    complaints.is_empty()
}

fn kernel_side(workspace: &Workspace, ready: &Ready) -> Result<bool> {
    if process::ask(ready.command("cargo").args(["clippy", "--version"])).is_some() {
        let mut clippy = for_bpf(workspace, ready, "clippy", &[]);
        clippy.args(["--", "--deny", "warnings"]);
        return step("clippy of the kernel side", clippy);
    }
    println!("check: the kernel side's toolchain has no clippy, so its compiler's warnings count");
    step("warnings of the kernel side", for_bpf(workspace, ready, "check", &["-Dwarnings"]))
}

/// A Cargo command on the kernel side for the BPF target, with the flags that aya-build gives.
fn for_bpf(workspace: &Workspace, ready: &Ready, subcommand: &str, flags: &[&str]) -> Command {
    let mut rustflags =
        OsString::from(format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH));
    for flag in flags {
        // What separates flags in this variable.
        rustflags.push("\u{1f}");
        rustflags.push(flag);
    }
    let mut command = ready.command("cargo");
    command.arg(subcommand).args([
        "--quiet",
        "--package",
        KERNEL_SIDE,
        "--features",
        "bpf",
        "--release",
    ]);
    command.args(["--target", bpf_target()]);
    // Not the host's target directory: another compiler would have it built anew by turns.
    command.arg("--target-dir").arg(workspace.target().join("check-bpf"));
    command.env("CARGO_ENCODED_RUSTFLAGS", rustflags).env_remove("RUSTC");
    command.current_dir(workspace.root());
    match ready.core() {
        Core::Source => command.args(["-Z", "build-std=core"]),
        // A stable compiler, and the crates that may use BPF assembly all the same: aya-ebpf and the
        // kernel programs, whose binary is `observer`. observer's build script names the same.
        Core::Compiled | Core::Missing => command.env("RUSTC_BOOTSTRAP", "aya_ebpf,observer"),
    };
    command
}

fn step(name: &str, mut command: Command) -> Result<bool> {
    print!("check: {name} ... ");
    io::stdout().flush().context("standard output is closed")?;
    if io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let (status, output) = process::capture(command)?;
    println!("{}", if status.success() { "ok" } else { "FAILED" });
    if !status.success() {
        print!("{output}");
    }
    Ok(status.success())
}
