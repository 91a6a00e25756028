//! Running QEMU: one child, read as it writes, and ended when it takes too long or says nothing.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use nix::sys::{prctl, signal::Signal};

use super::{console::End, emulator::Emulator};
use crate::arch::Arch;

/// The kernel's command line. Attaching and detaching wait for grace periods of RCU, which take
/// tens of milliseconds unless they are expedited.
const COMMAND_LINE: &str = "loglevel=5 panic=-1 oops=panic mitigations=off \
                            rcupdate.rcu_expedited=1 rdinit=/init -- guest";

/// How long a machine of one test may run.
pub(crate) const LIMIT_OF_ONE: Duration = Duration::from_secs(3 * 60);

/// How long a machine of tests may run, and how long any may say nothing.
pub(crate) const LIMIT: Duration = Duration::from_secs(20 * 60);
const SILENCE: Duration = Duration::from_secs(180);

const TICK: Duration = Duration::from_millis(200);

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Accel {
    /// QEMU itself: needs nothing, and is slow
    Tcg,
    /// The host's kernel: needs access to /dev/kvm
    Kvm,
    /// QEMU itself, with a clock that goes on by one nanosecond for each instruction
    #[value(skip)]
    Counted,
}

/// What a machine is started from.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
    pub(crate) arch: Arch,
    /// CPUs of the guest, and how many it could come to have; one where instructions are counted.
    pub(crate) cpus: (u8, u8),
    /// Where to keep all that the console says.
    pub(crate) log: PathBuf,
    /// How long the machine may run.
    pub(crate) limit: Duration,
}

/// What stands for the first serial line, which is the console.
fn console(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "ttyS0",
        Arch::Aarch64 => "ttyAMA0",
    }
}

/// QEMU with a guest whose console is our standard output.
pub(crate) fn command(
    emulator: &Emulator,
    arch: Arch,
    accel: Accel,
    (cpus, possible): (u8, u8),
    kernel: &Path,
    initramfs: &Path,
) -> Command {
    let mut qemu = emulator.command();
    if arch == Arch::Aarch64 {
        qemu.args(["-machine", "virt,gic-version=3"]);
    }
    match (accel, arch) {
        (Accel::Kvm, _) => qemu.args(["-accel", "kvm", "-cpu", "host"]),
        // The architecture's own way to sign addresses takes longer than all else to emulate.
        (Accel::Tcg | Accel::Counted, Arch::Aarch64) => {
            qemu.args(["-accel", "tcg,thread=single", "-cpu", "max,pauth-impdef=on"])
        }
        // One thread: Debian 12's QEMU crashes guests that patch kernel text while another thread
        // runs it. Without cmpxchg16b: it leaves garbage in the flags at times, so that every
        // fourth boot of a kernel whose slab allocator uses it ends in a double fault. Without fast
        // string operations: QEMU copies and clears by them one byte at a time, which is a quarter of
        // what observer's start costs a guest.
        (Accel::Tcg | Accel::Counted, Arch::X86_64) => {
            qemu.args(["-accel", "tcg,thread=single", "-cpu", "max,cx16=off,erms=off"])
        }
    };
    if accel == Accel::Counted {
        // With one CPU all instructions are one's own; time without any is passed over.
        qemu.args(["-icount", "shift=0,sleep=off", "-smp", "1"]);
    } else {
        qemu.args(["-smp", &cpus.to_string()]);
    }
    qemu.args(["-m", "1024", "-nodefaults", "-no-user-config", "-nographic"]);
    // With panic=-1 in the guest a panic ends QEMU.
    qemu.arg("-no-reboot").arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
    // Of CPUs that a machine could come to have, kernels before 6.9 take this word for it.
    let possible =
        if possible > cpus { format!("possible_cpus={possible} ") } else { String::new() };
    let console = console(arch);
    qemu.args(["-append", &format!("{possible}console={console} {COMMAND_LINE}")]);
    qemu
}

/// Runs a machine to its end, and gives what its console says to `read`.
pub(crate) fn run(
    emulator: &Emulator,
    accel: Accel,
    files: &Files,
    mut read: impl FnMut(&[u8]),
) -> Result<End> {
    let mut qemu =
        command(emulator, files.arch, accel, files.cpus, &files.kernel, &files.initramfs);
    qemu.args(["-serial", "stdio", "-monitor", "none"]);
    let mut log = fs::File::create(&files.log)
        .with_context(|| format!("{} cannot be written", files.log.display()))?;
    qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.try_clone()?);
    let ours = Signal::SIGKILL;
    // SAFETY: prctl is a system call and nothing else, which is allowed between fork and exec.
    unsafe { qemu.pre_exec(move || Ok(prctl::set_pdeathsig(ours)?)) };
    let mut child = qemu.spawn().context("QEMU did not start")?;
    let mut stdout = child.stdout.take().context("no standard output")?;
    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(size @ 1..) = stdout.read(&mut buffer) {
            if sender.send(buffer[..size].to_vec()).is_err() {
                break;
            }
        }
    });
    let started = Instant::now();
    let mut heard = started;
    let end = loop {
        match receiver.recv_timeout(TICK) {
            Ok(bytes) => {
                heard = Instant::now();
                log.write_all(&bytes).context("a console's log cannot be written")?;
                read(&bytes);
            }
            // QEMU closed it, and does so only at its end.
            Err(RecvTimeoutError::Disconnected) => {
                break End::Exited { well: wait(&mut child)? };
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if started.elapsed() > files.limit {
            break End::TimedOut(files.limit.as_secs());
        }
        if heard.elapsed() > SILENCE {
            break End::Silent(SILENCE.as_secs());
        }
    };
    if !matches!(end, End::Exited { .. }) {
        child.kill().context("QEMU cannot be ended")?;
        child.wait().context("QEMU's end was lost")?;
    }
    // Its other end is closed by now.
    let _: thread::Result<()> = reader.join();
    Ok(end)
}

fn wait(child: &mut Child) -> Result<bool> {
    Ok(child.wait().context("QEMU's end was lost")?.success())
}
