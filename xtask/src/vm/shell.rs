//! A shell in a guest, for a person.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};

use super::{
    emulator::Emulator,
    initramfs,
    job::Job,
    kernel,
    plan::Series,
    qemu::{self, Accel},
};
use crate::{arch::Arch, archive::Suite, workspace::Workspace};

/// The package that brings a static shell, and a suite that has it.
const PACKAGE: &str = "busybox-static";
const SUITE: &str = "trixie";

/// Boots a guest whose console is this terminal.
pub(crate) fn shell(
    workspace: &Workspace,
    vm: &Path,
    series: &Series,
    accel: Accel,
) -> Result<ExitCode> {
    let emulator = Emulator::obtain(workspace, series.arch)?;
    let kernel = kernel::obtain(vm, series)
        .with_context(|| format!("there is no kernel {} to boot", series.name))?;
    let shell = obtain(vm, series.arch).with_context(|| {
        format!("a guest's shell comes from the package {PACKAGE}, which cannot be had")
    })?;
    let mut programs = initramfs::build(workspace, vm, initramfs::Work::Tests, series.arch)?;
    programs.shell = Some(shell);
    let root = vm.join("shell.cpio");
    initramfs::write(&root, &kernel, &programs, &Job { shell: true, ..Job::default() })?;
    eprintln!("vm: Linux {}; Ctrl-A X ends the machine", kernel.release);
    let mut qemu = qemu::command(
        &emulator,
        series.arch,
        accel,
        (series.cpus, series.possible_cpus),
        &kernel.image,
        &root,
    );
    let status = qemu.args(["-serial", "mon:stdio"]).status();
    let status = status.context("QEMU did not start")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// busybox, kept from an earlier time or fetched.
pub(super) fn obtain(vm: &Path, arch: Arch) -> Result<PathBuf> {
    let kept = vm.join(format!("busybox-{arch}"));
    if kept.is_file() {
        return Ok(kept);
    }
    let unpacked = vm.join("busybox-unpacked");
    Suite::open(&vm.join("apt"), SUITE, arch)?.unpack(&[PACKAGE.to_owned()], &unpacked)?;
    let inside = ["bin/busybox", "usr/bin/busybox"].map(|path| unpacked.join(path));
    let found = inside.iter().find(|path| path.is_file()).context("no busybox in its package")?;
    let partial = vm.join("busybox-partial");
    fs::copy(found, &partial).context("busybox cannot be kept")?;
    fs::rename(&partial, &kept).context("busybox cannot be kept")?;
    fs::remove_dir_all(&unpacked).context("what busybox was unpacked into cannot be removed")?;
    Ok(kept)
}
