//! The iterator over open files: which epoll instances watch which listeners.

use std::fs::File;

use anyhow::{Context as _, Result};
use aya::{
    maps::{Array, MapData},
    programs::{Iter, Program, ProgramError},
};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

use observer_common::watch::{WatchKind, WatchRecord};

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

/// Maximum number of passes of one look: a wait queue has room for
/// [`WAITERS_WALKED`](observer_common::watch::WAITERS_WALKED) times as many.
const PASSES: usize = 64;

/// The iterator over open files, and whether it goes on with what it has cut.
pub struct Watches {
    resumes: Array<MapData, u64>,
}

impl Watches {
    /// Takes what it needs out of an object.
    ///
    /// # Errors
    ///
    /// When the object lacks it: a defect of the build.
    pub fn take(loaded: &mut Loaded) -> Result<Self> {
        let map = loaded.ebpf.take_map(".data.resumes");
        Ok(Self { resumes: map.context("the object has no map .data.resumes")?.try_into()? })
    }

    /// What is told of all open files, in as many passes as it takes.
    ///
    /// # Errors
    ///
    /// When the program was not loaded, or the kernel refuses to begin or ends a pass early.
    pub fn look(&mut self, loaded: &mut Loaded) -> Result<Vec<WatchRecord>> {
        self.resumes.set(0, 0, 0).context("cannot write how the iterator begins")?;
        let mut found = records(pass(loaded)?)?;
        for _ in 1..PASSES {
            if !found.iter().any(is_cut) {
                break;
            }
            found.retain(|record| !is_cut(record));
            self.resumes.set(0, 1, 0).context("cannot write how the iterator goes on")?;
            found.extend(records(pass(loaded)?)?);
        }
        Ok(found)
    }
}

fn is_cut(record: &WatchRecord) -> bool {
    WatchKind::of(record) == Some(WatchKind::Cut)
}

/// One pass over all open files, which begins when the file is read.
fn pass(loaded: &mut Loaded) -> Result<File> {
    let program = loaded.ebpf.program_mut(PROGRAM).context("the object lacks the iterator")?;
    let program: &mut Iter = program.try_into()?;
    let link = program.attach().context("the kernel refused to attach it")?;
    Ok(program.take_link(link)?.into_file()?)
}

/// What one look tells, where nothing else is observed.
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
    Watches::take(&mut loaded)?.look(&mut loaded)
}
