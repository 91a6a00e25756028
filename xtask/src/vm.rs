//! The system tests on other kernels, each in a virtual machine that needs no root.
//!
//! The way: which machines (`plan`), their kernels from Debian's archive (`sources`, `archive`,
//! `kernel`), the guest's programs and root (`initramfs`, `cpio`, `job`), running them (`qemu`;
//! `guest` is what runs inside), and what their consoles tell (`protocol`, `console`, `report`).

mod archive;
mod console;
mod cpio;
pub(crate) mod guest;
mod initramfs;
mod job;
mod kernel;
mod plan;
mod protocol;
mod qemu;
mod report;
mod shell;
mod sources;

use std::{
    collections::{BTreeMap, VecDeque},
    env, fs, io,
    path::Path,
    process::ExitCode,
    sync::Mutex,
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;

use self::{
    console::{Console, Event},
    initramfs::Programs,
    job::Job,
    kernel::Kernel,
    plan::{ANY_KERNEL, Machine, Provider, machines},
    qemu::{Accel, Files},
    report::Report,
};
use crate::workspace::Workspace;

/// At most so many machines at once, each of which keeps one CPU and a gigabyte busy.
const LANES: usize = 4;

/// What the tests of a guest are cut to where nobody says otherwise: emulation is twenty to fifty
/// times slower than the host.
const CUT: [(&str, &str); 2] =
    [("OBSERVER_TEST_CONNECTIONS", "30"), ("OBSERVER_TEST_WORKERS", "1,2,8")];

/// The command's arguments.
#[derive(Debug, Args)]
pub(crate) struct VmArgs {
    /// Only this kernel series, such as 6.12 (repeatable)
    #[arg(long, value_name = "SERIES")]
    kernel: Vec<String>,
    /// Only this provider, also where it is not known to work (repeatable)
    #[arg(long, value_enum, value_name = "PROVIDER")]
    provider: Vec<Provider>,
    /// What runs the guest's instructions
    #[arg(long, value_enum, default_value_t = Accel::Tcg)]
    accel: Accel,
    /// A shell in a guest, for a person
    #[arg(long)]
    shell: bool,
    /// Print what `observer doctor -v` says in each guest
    #[arg(long, hide = true)]
    doctor: bool,
    /// Arguments of the test harness, such as a part of a test's name
    #[arg(last = true, value_name = "FILTER")]
    filter: Vec<String>,
}

/// Runs the machines, and ends with `N passed, N failed, N skipped`.
pub(crate) fn vm(workspace: &Workspace, args: &VmArgs) -> Result<ExitCode> {
    let machines = machines(&args.kernel, &args.provider).map_err(|error| anyhow!(error))?;
    let vm = workspace.target().join("vm");
    fs::create_dir_all(vm.join("logs"))
        .with_context(|| format!("{} cannot be made", vm.display()))?;
    if args.shell {
        let series = machines.last().context("no kernel")?.series;
        return shell::shell(workspace, &vm, series, args.accel);
    }
    let mut report = Report::new(io::stdout());
    let mut queue = VecDeque::new();
    let mut kernels = BTreeMap::new();
    for machine in machines {
        let series = machine.series;
        let kernel = kernels.entry(series.name).or_insert_with(|| {
            qemu::find()?;
            kernel::obtain(&vm, series)
        });
        match kernel {
            Ok(kernel) => queue.push_back((machine, kernel.clone())),
            Err(error) => report.skip(machine, &format!("{error:#}")),
        }
    }
    if queue.is_empty() {
        return Ok(report.finish());
    }
    let programs = initramfs::build(workspace, &vm)?;
    let lanes = thread::available_parallelism().map_or(1, usize::from).min(LANES);
    let run = Run { args, vm: &vm, programs: &programs, report: Mutex::new(report) };
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                loop {
                    // Let go of the queue before the machine runs.
                    let next = lock(&queue).pop_front();
                    let Some((machine, kernel)) = next else { break };
                    run.machine(machine, &kernel);
                }
            });
        }
    });
    let report = run.report.into_inner().map_err(|_| anyhow!("a machine's thread panicked"))?;
    Ok(report.finish())
}

/// A thread that panicked with the lock has said so already.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What all machines of a run share.
struct Run<'a> {
    args: &'a VmArgs,
    vm: &'a Path,
    programs: &'a Programs,
    report: Mutex<Report<io::Stdout>>,
}

impl Run<'_> {
    /// Runs one machine and tells what it told.
    fn machine(&self, machine: Machine, kernel: &Kernel) {
        let name = format!("{}-{}", machine.series.name, machine.provider);
        let log = self.vm.join("logs").join(format!("{name}.log"));
        let started = Instant::now();
        let mut console = Console::default();
        let ended = self.boot(machine, kernel, &name, &log, &mut console);
        let complaints = match &ended {
            Ok(end) => console.complaints(end),
            Err(error) => vec![format!("{error:#}")],
        };
        let failures = console.failures();
        let mut report = lock(&self.report);
        if self.args.doctor {
            report.text(machine, console.doctor());
        }
        let path = log.display().to_string();
        report.end(machine, started.elapsed(), failures, &complaints, &path);
        if failures.is_empty() && complaints.is_empty() {
            // Kept for failures; leaving this one behind would harm nobody.
            let _: io::Result<()> = fs::remove_file(&log);
        }
    }

    fn boot(
        &self,
        machine: Machine,
        kernel: &Kernel,
        name: &str,
        log: &Path,
        console: &mut Console,
    ) -> Result<console::End> {
        let files = Files {
            kernel: kernel.image.clone(),
            initramfs: self.vm.join(format!("{name}.cpio")),
            log: log.to_owned(),
        };
        initramfs::write(&files.initramfs, kernel, self.programs, &self.job(machine))?;
        let started = Instant::now();
        let mut began = started;
        let end = qemu::run(self.args.accel, &files, |bytes| {
            for event in console.read(bytes) {
                let mut report = lock(&self.report);
                match event {
                    Event::Kernel(version) => report.kernel(machine, &version, started.elapsed()),
                    Event::Begins(_) => began = Instant::now(),
                    Event::Done(name, outcome) => {
                        report.test(machine, &name, &outcome, began.elapsed());
                        began = Instant::now();
                    }
                }
            }
        });
        // Tens of megabytes that the next run writes anew.
        let _: io::Result<()> = fs::remove_file(&files.initramfs);
        end
    }

    fn job(&self, machine: Machine) -> Job {
        let mut job = Job { arguments: self.args.filter.clone(), ..Job::default() };
        if job.arguments.is_empty() && !machine.whole {
            let skip = ANY_KERNEL.iter().flat_map(|part| ["--skip", part]);
            job.arguments = skip.map(str::to_owned).collect();
        }
        let provider = machine.provider.to_string();
        job.variables.push(("OBSERVER_TEST_PROVIDER".to_owned(), provider));
        for (name, cut) in CUT {
            let value = env::var(name).unwrap_or_else(|_| cut.to_owned());
            job.variables.push((name.to_owned(), value));
        }
        job
    }
}
