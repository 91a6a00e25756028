//! A machine with one program and nothing else of a system: no C library, no file beside it. A static shell mounts what
//! a kernel has, and is the first process.

use std::{fs, io, path::Path};

use anyhow::{Context as _, Result, anyhow, bail};

use super::{
    console::End,
    cpio::Archive,
    directory,
    emulator::Emulator,
    kernel,
    plan::{Series, machines},
    qemu::{self, Accel, Files, LIMIT},
    shell,
};
use crate::workspace::Workspace;

/// What the shell does before the program's turn. The kernel says what it has to say before.
const BEFORE: &str = "#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs dev /dev
busybox mount -t tmpfs tmpfs /tmp
busybox ip link set lo up
busybox dmesg -n 1
";

/// How a terminal is told to wipe out the rest of a line.
const WIPED: &str = "\x1b[K";

/// How a command's end is told.
const ENDED: &str = "ended with status";

/// What one command printed, and its exit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) lines: Vec<String>,
}

/// Runs a program in a machine, once with each of `arguments`, which are words without quotes.
///
/// # Errors
///
/// When there is no such kernel, and when the machine did not come to its end.
pub(crate) fn run(
    workspace: &Workspace,
    series: &str,
    program: &Path,
    arguments: &[String],
) -> Result<Vec<Said>> {
    let vm = directory(workspace)?;
    let series = named(series)?;
    let emulator = Emulator::obtain(workspace, series.arch)?;
    let kernel = kernel::obtain(&vm, series)?;
    let busybox = shell::obtain(&vm, series.arch)?;
    let name = format!("{}-alone", series.name);
    let files = Files {
        kernel: kernel.image.clone(),
        initramfs: vm.join(format!("{name}.cpio")),
        arch: series.arch,
        cpus: (series.cpus, series.possible_cpus),
        log: vm.join("logs").join(format!("{name}.log")),
        limit: LIMIT,
    };
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("{} cannot be read", path.display()));
    let root = root(&read(&busybox)?, &read(program)?, &script(arguments))?;
    fs::write(&files.initramfs, root).context("the machine's root cannot be written")?;
    let mut console = Vec::new();
    let end = qemu::run(&emulator, Accel::Tcg, &files, |bytes| console.extend_from_slice(bytes));
    // Tens of megabytes that the next run writes anew.
    let _: io::Result<()> = fs::remove_file(&files.initramfs);
    let said = parts(&String::from_utf8_lossy(&console));
    if end? != (End::Exited { well: true }) || said.len() != arguments.len() {
        bail!("it did not come to its end (all that it said: {})", files.log.display());
    }
    Ok(said)
}

/// The series of this name, a variant too.
fn named(name: &str) -> Result<&'static Series> {
    let machines = machines(&[name.to_owned()], &[]).map_err(|error| anyhow!(error))?;
    Ok(machines.first().context("a series without machines")?.series)
}

fn script(arguments: &[String]) -> String {
    let mut script = BEFORE.to_owned();
    for words in arguments {
        script.push_str(&format!("/observer {words}\necho \"{ENDED} $?\"\n"));
    }
    script.push_str("busybox poweroff -f\n");
    script
}

fn root(busybox: &[u8], program: &[u8], script: &str) -> io::Result<Vec<u8>> {
    let mut archive = Archive::new(Vec::new());
    for directory in ["bin", "dev", "proc", "sys", "tmp"] {
        archive.directory(directory)?;
    }
    archive.device("dev/console", (5, 1))?;
    archive.file("bin/busybox", 0o755, busybox)?;
    archive.file("init", 0o755, script.as_bytes())?;
    archive.file("observer", 0o755, program)?;
    archive.finish()
}

/// What each command said: the console's lines up to those that tell an end.
fn parts(console: &str) -> Vec<Said> {
    let mut parts = Vec::new();
    let mut lines = Vec::new();
    for line in console.lines().map(|line| line.trim_end_matches('\r')) {
        // What shows progress on a terminal wipes it out before something else is said.
        let line = line.rsplit(WIPED).next().unwrap_or_default();
        match line.strip_prefix(ENDED).and_then(|status| status.trim().parse().ok()) {
            Some(status) => parts.push(Said { status, lines: std::mem::take(&mut lines) }),
            None => lines.push(line.to_owned()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_of_the_other_architecture_is_found_too() {
        for name in ["5.10", "6.12-arm64"] {
            assert_eq!(named(name).expect("a series").name, name);
        }
        assert!(named("6.12-mips").is_err());
    }

    #[test]
    fn what_a_command_said_ends_with_its_status() {
        let console = "booting\r\n| 1/1\x1b[K/ 1/1\x1b[Kobserver 1\r\n\x1b[Kended with status 0\r\nno\r\nended with status 4\r\n[ 1.0] reboot: Power down\r\n";
        let said = |status, lines: &[&str]| Said {
            status,
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        };
        assert_eq!(parts(console), [said(0, &["booting", "observer 1"]), said(4, &["no"])]);
    }

    #[test]
    fn each_command_is_run_and_its_end_told() {
        let script = script(&["--version".to_owned(), "doctor".to_owned()]);
        assert!(script.ends_with(
            "/observer --version\necho \"ended with status $?\"\n/observer doctor\necho \"ended with status $?\"\n\
             busybox poweroff -f\n"
        ));
    }
}
