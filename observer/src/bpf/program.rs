//! One kernel program: loading and attaching it. The only place that tells program kinds apart.

use std::{any::Any, path::Path};

use anyhow::{Context as _, Result, anyhow, bail};
use aya::programs::{BtfTracePoint, FEntry, FExit, KProbe, Program, ProgramError};
use nix::errno::Errno;

use crate::{
    bpf::load::Loaded,
    probes::{Kind, Probe},
};

/// What keeps a program attached: dropping it detaches.
pub(super) type Link = Box<dyn Any + Send>;

/// Loads one probe's program.
///
/// # Errors
///
/// The kernel's refusal.
pub(super) fn load(loaded: &mut Loaded, probe: &Probe, hook: &str) -> Result<(), ProgramError> {
    let Loaded { ebpf, btf } = loaded;
    let Some(program) = ebpf.program_mut(probe.program) else {
        return Err(ProgramError::InvalidName { name: probe.program.to_owned() });
    };
    match program {
        Program::BtfTracePoint(program) => program.load(hook, btf),
        Program::FEntry(program) => program.load(hook, btf),
        Program::FExit(program) => program.load(hook, btf),
        Program::KProbe(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// Takes a loaded program, of this name, back from the kernel.
///
/// # Errors
///
/// When it was not loaded.
pub(super) fn unload(loaded: &mut Loaded, program: &str) -> Result<(), ProgramError> {
    match loaded.ebpf.program_mut(program) {
        Some(Program::Iter(program)) => program.unload(),
        Some(Program::BtfTracePoint(program)) => program.unload(),
        Some(Program::FEntry(program)) => program.unload(),
        Some(Program::FExit(program)) => program.unload(),
        Some(Program::KProbe(program)) => program.unload(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// Loads and attaches one probe's program.
pub(super) fn attach(loaded: &mut Loaded, probe: &Probe, hook: &str) -> Result<Link> {
    unless_loaded(load(loaded, probe, hook))?;
    let program: &mut Program = loaded
        .ebpf
        .program_mut(probe.program)
        .ok_or_else(|| anyhow!("the object has no program {}", probe.program))?;
    let refused = "the kernel refused to attach it";
    let link: Link = match probe.kind {
        Kind::BtfTracepoint => {
            let program: &mut BtfTracePoint = program.try_into()?;
            let link = program.attach().context(refused)?;
            Box::new(program.take_link(link)?)
        }
        Kind::Fentry => {
            let program: &mut FEntry = program.try_into()?;
            let link = program.attach().context(refused)?;
            Box::new(program.take_link(link)?)
        }
        Kind::Kprobe | Kind::Kretprobe => {
            if !Path::new(KPROBES).exists() {
                bail!("this kernel has no kprobes (CONFIG_KPROBE_EVENTS)");
            }
            let program: &mut KProbe = program.try_into()?;
            let link = program.attach(hook, 0).context(refused)?;
            Box::new(program.take_link(link)?)
        }
        Kind::Fexit => {
            let program: &mut FExit = program.try_into()?;
            let link = program.attach().context(refused)?;
            Box::new(program.take_link(link)?)
        }
    };
    Ok(link)
}

/// A program that an earlier candidate had loaded needs only attaching.
fn unless_loaded(result: Result<(), ProgramError>) -> Result<()> {
    match result {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        result => result.context("the kernel refused to load it"),
    }
}

/// The kernel's own word for a refusal.
pub(super) fn reason(error: &anyhow::Error) -> String {
    let code = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<std::io::Error>())
        .and_then(std::io::Error::raw_os_error);
    match code {
        // It has no name for programs.
        Some(ENOTSUPP) => "the kernel has no way to attach there (ENOTSUPP)".to_owned(),
        Some(code) => {
            let errno = Errno::from_raw(code);
            format!("{} ({errno:?})", errno.desc())
        }
        None => error.root_cause().to_string(),
    }
}

/// include/linux/errno.h, for what the kernel itself does not support.
const ENOTSUPP: i32 = 524;

/// Where the kernel shows that it has kprobes (`perf_kprobe`, CONFIG_KPROBE_EVENTS).
const KPROBES: &str = "/sys/bus/event_source/devices/kprobe";
