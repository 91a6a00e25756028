//! The iterator over open files: which epoll instances watch which listeners.

use std::fs::File;

use anyhow::{Context as _, Result};
use aya::programs::{Iter, Program, ProgramError};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

use observer_common::watch::WatchRecord;

use crate::{
    bpf::load::{self, Loaded},
    host::watches::records,
    kernel::facts::Facts,
    plan::of_iterator,
};

/// The kernel program.
pub(super) const PROGRAM: &str = "watches";

/// What it goes through (`bpf_iter_task_file`, Linux 5.8).
pub(super) const OVER: &str = "task_file";

/// Loads the iterator's program, while the kernel's types are at hand.
///
/// # Errors
///
/// When the kernel refuses it: before Linux 5.8, or for want of a capability.
pub fn load(loaded: &mut Loaded) -> Result<(), ProgramError> {
    let Loaded { ebpf, btf } = loaded;
    match ebpf.program_mut(PROGRAM) {
        Some(Program::Iter(program)) => program.load(OVER, btf),
        Some(_) => Err(ProgramError::UnexpectedProgramType),
        None => Err(ProgramError::InvalidName { name: PROGRAM.to_owned() }),
    }
}

/// One pass over all open files, which begins when the file is read: records of
/// [`observer_common::watch::WatchRecord`], one after the other.
///
/// # Errors
///
/// When the program was not loaded, or the kernel refuses to begin.
pub fn pass(loaded: &mut Loaded) -> Result<File> {
    let program = loaded.ebpf.program_mut(PROGRAM).context("the object lacks the iterator")?;
    let program: &mut Iter = program.try_into()?;
    let link = program.attach().context("the kernel refused to attach it")?;
    Ok(program.take_link(link)?.into_file()?)
}

/// What one pass tells, where nothing else is observed.
///
/// # Errors
///
/// When this process may not load kernel programs, or the kernel has no such iterator.
pub fn once() -> Result<Vec<WatchRecord>> {
    let plan = of_iterator(&Facts::gather(&[], &[]))?;
    // As for a session: where it cannot be raised, what does not fit says so.
    let _unchanged = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let mut loaded = load::load(&plan, &[], false)?;
    load(&mut loaded).context("the kernel refused the iterator over files")?;
    Ok(records(pass(&mut loaded)?)?)
}
