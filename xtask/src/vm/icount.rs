//! Machines whose clock counts instructions, for what is measured and not tested.

use std::{collections::BTreeMap, fs, io, path::PathBuf, time::Duration};

use anyhow::{Result, anyhow, bail};

use super::{
    console::{Console, Event, Outcome},
    directory,
    emulator::Emulator,
    initramfs::{self, Programs, Work},
    job::Job,
    kernel,
    plan::{Series, machines},
    qemu::{self, Accel, Files},
};
use crate::{arch::Arch, workspace::Workspace};

/// Counting makes emulation slower still.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// What the machines run.
#[derive(Debug)]
pub(crate) struct Counted {
    vm: PathBuf,
    emulator: Emulator,
    programs: Programs,
}

/// What one machine told.
#[derive(Debug)]
pub(crate) struct Told {
    /// `/proc/version`.
    pub(crate) version: String,
    pub(crate) figures: Vec<String>,
}

impl Counted {
    /// Builds what runs inside: init's program, which has roles for it, and observer.
    ///
    /// # Errors
    ///
    /// Says what is missing here.
    pub(crate) fn new(workspace: &Workspace, others: BTreeMap<String, PathBuf>) -> Result<Self> {
        let vm = directory(workspace)?;
        let emulator = Emulator::obtain(workspace, Arch::X86_64)?;
        let mut programs = initramfs::build(workspace, &vm, Work::Own, Arch::X86_64)?;
        programs.others = others;
        Ok(Self { vm, emulator, programs })
    }

    /// Runs this program with these arguments in a machine, and tells `progress` of each result.
    ///
    /// # Errors
    ///
    /// When there is no such kernel, and when anything in the machine went wrong.
    pub(crate) fn run(
        &self,
        series: &Series,
        arguments: Vec<String>,
        mut progress: impl FnMut(&str),
    ) -> Result<Told> {
        let kernel = kernel::obtain(&self.vm, series)?;
        let name = format!("{}-counted", series.name);
        let files = Files {
            kernel: kernel.image.clone(),
            initramfs: self.vm.join(format!("{name}.cpio")),
            arch: series.arch,
            cpus: (1, 1),
            log: self.vm.join("logs").join(format!("{name}.log")),
            limit: LIMIT,
        };
        let job = Job { arguments, ..Job::default() };
        initramfs::write(&files.initramfs, &kernel, &self.programs, &job)?;
        let mut console = Console::default();
        let end = qemu::run(&self.emulator, Accel::Counted, &files, |bytes| {
            for event in console.read(bytes) {
                match event {
                    Event::Done(name, Outcome::Skipped(why)) => {
                        progress(&format!("{name}: {why}"));
                    }
                    Event::Done(name, _) => progress(&name),
                    Event::Kernel(_) | Event::Begins(_) => {}
                }
            }
        });
        // Tens of megabytes that the next run writes anew.
        let _: io::Result<()> = fs::remove_file(&files.initramfs);
        let mut complaints = console.failures().to_vec();
        complaints.extend(console.complaints(&end?));
        if !complaints.is_empty() {
            bail!("{} (all of it: {})", complaints.join("; "), files.log.display());
        }
        Ok(Told { version: console.version().to_owned(), figures: console.figures().to_vec() })
    }
}

/// The kernels of these names, or all.
///
/// # Errors
///
/// Names what is not a series of the matrix.
pub(crate) fn series(names: &[String]) -> Result<Vec<&'static Series>> {
    let machines = machines(names, &[]).map_err(|error| anyhow!(error))?;
    Ok(machines
        .iter()
        .filter(|machine| machine.scope.is_first())
        .map(|machine| machine.series)
        .collect())
}
