//! The system tests on other kernels, each in a virtual machine that needs no root.
//!
//! The way: which machines (`plan`), QEMU and the kernels from Debian's archive (`emulator`,
//! `kernel`), the guest's programs and root (`initramfs`, `cpio`, `job`), running them (`machine`,
//! `qemu`; `init` is what runs inside), what their consoles tell (`protocol`, `console`), and what is made
//! of it (`results`, `report`, `docs`). `icount` runs a program where the clock counts instructions, `alone` where
//! nothing else of a system is.

pub(crate) mod alone;
mod args;
mod console;
mod cpio;
mod docs;
pub(crate) mod emulator;
pub(crate) mod icount;
pub(crate) mod init;
mod initramfs;
mod job;
mod kernel;
mod machine;
mod plan;
mod protocol;
pub(crate) mod qemu;
mod report;
mod results;
mod shell;

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    fs, io,
    path::PathBuf,
    process::ExitCode,
    sync::{Mutex, mpsc},
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};

pub(crate) use self::{
    args::VmArgs,
    plan::{series_names, to_run_again},
    report::{Ended, Totals},
};
use self::{
    emulator::Emulator,
    kernel::Kernel,
    machine::{Run, lock},
    plan::machines,
    report::Report,
};
use crate::{not_run, workspace::Workspace};

/// At most so many machines at once, each of which keeps one CPU and a gigabyte busy.
const LANES: usize = 4;

/// Runs the machines, and ends with `N passed, N failed, N skipped`.
pub(crate) fn vm(workspace: &Workspace, args: &VmArgs) -> Result<ExitCode> {
    if args.shell {
        let machines = machines(&args.kernel, &args.provider).map_err(|error| anyhow!(error))?;
        let series = machines.last().context("no kernel")?.series;
        return shell::shell(workspace, &directory(workspace)?, series, args.accel);
    }
    let Ended { totals, flaky, skips, lacks } = run(workspace, args, None)?;
    let Totals { passed, failed, skipped } = totals;
    lacks.iter().for_each(|lack| println!("{lack}"));
    flaky.iter().for_each(|test| println!("flaky: {test}: failed, and passed alone"));
    skips.lines().iter().for_each(|skip| println!("skipped: {skip}"));
    let mut complaints: Vec<_> = not_run::complaint(&lacks, not_run::in_ci()).into_iter().collect();
    if passed + failed == 0 {
        complaints.push("no test ran".to_owned());
    }
    complaints.iter().for_each(|complaint| println!("error: {complaint}"));
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    let good = failed == 0 && complaints.is_empty();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where machines and what they need are kept.
pub(crate) fn directory(workspace: &Workspace) -> Result<PathBuf> {
    let vm = workspace.target().join("vm");
    fs::create_dir_all(vm.join("logs"))
        .with_context(|| format!("{} cannot be made", vm.display()))?;
    Ok(vm)
}

/// Runs the machines. What cannot be had is a skip of that machine. As long as the sender of `busy`
/// lives, something else runs beside them, and they leave it one of the CPUs.
pub(crate) fn run(
    workspace: &Workspace,
    args: &VmArgs,
    busy: Option<mpsc::Receiver<Infallible>>,
) -> Result<Ended> {
    let machines = machines(&args.kernel, &args.provider).map_err(|error| anyhow!(error))?;
    let vm = directory(workspace)?;
    let count = machines.len();
    let mut report = Report::new(io::stdout(), count);
    let mut emulators: BTreeMap<_, Result<Emulator>> = BTreeMap::new();
    let mut queue = VecDeque::new();
    let mut kernels: BTreeMap<_, Result<Kernel, String>> = BTreeMap::new();
    for machine in machines {
        let series = machine.series;
        let kernel = kernels.entry(series.name).or_insert_with(|| {
            let obtained = || Emulator::obtain(workspace, series.arch);
            let emulator = emulators.entry(series.arch).or_insert_with(obtained);
            emulator.as_ref().map_err(|error| format!("{error:#}"))?;
            kernel::obtain(&vm, series).map_err(|error| format!("{error:#}"))
        });
        match kernel {
            Ok(kernel) => queue.push_back((machine, kernel.clone())),
            Err(reason) => report.skip(machine, reason),
        }
    }
    if queue.is_empty() {
        return Ok(report.finish().0);
    }
    let mut tools = BTreeMap::new();
    for (arch, emulator) in emulators {
        // Of one that cannot be had no machine is in the queue.
        if let Ok(emulator) = emulator {
            let programs = initramfs::build(workspace, &vm, initramfs::Work::Tests, arch)?;
            tools.insert(arch, (emulator, programs));
        }
    }
    let lanes = thread::available_parallelism().map_or(1, usize::from).min(LANES);
    let run = Run { args, vm: &vm, tools: &tools, report: Mutex::new(report) };
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        let mut busy = busy;
        for _ in 0..lanes {
            let busy = busy.take();
            let (run, queue) = (&run, &queue);
            scope.spawn(move || {
                if let Some(busy) = busy {
                    // Nothing is ever sent: it ends when the sender is gone.
                    let _gone = busy.recv();
                }
                loop {
                    // Let go of the queue before the machine runs.
                    let next = lock(queue).pop_front();
                    let Some((machine, kernel)) = next else { break };
                    run.machine(machine, &kernel);
                }
            });
        }
    });
    let report = run.report.into_inner().map_err(|_| anyhow!("a machine's thread panicked"))?;
    let (ended, told) = report.finish();
    if args.docs {
        if ended.totals.failed != 0 || told.len() != count {
            bail!("docs/kernels.md is made from a run of all machines in which no test failed");
        }
        let page = workspace.root().join("docs/kernels.md");
        fs::write(&page, docs::page(&told))
            .with_context(|| format!("{} cannot be written", page.display()))?;
    }
    Ok(ended)
}
