//! The system tests on other kernels, each in a virtual machine that needs no root.
//!
//! The way: which machines (`plan`), QEMU and the kernels from Debian's archive (`sources`, `archive`,
//! `emulator`, `kernel`), the guest's programs and root (`initramfs`, `cpio`, `job`), running them (`qemu`;
//! `guest` is what runs inside), and what their consoles tell (`protocol`, `console`, `report`).

pub(crate) mod archive;
mod console;
pub(crate) mod counted;
mod cpio;
mod docs;
pub(crate) mod emulator;
mod findings;
pub(crate) mod guest;
mod initramfs;
mod job;
mod kernel;
mod plan;
mod protocol;
pub(crate) mod qemu;
mod report;
mod shell;
mod sources;

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, mpsc},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;

pub(crate) use self::report::Totals;
use self::{
    console::{Console, Event},
    emulator::Emulator,
    findings::Told,
    initramfs::Programs,
    job::Job,
    kernel::Kernel,
    plan::{Machine, Provider, machines},
    qemu::{Accel, Files},
    report::Report,
};
use crate::workspace::Workspace;

/// At most so many machines at once, each of which keeps one CPU and a gigabyte busy.
const LANES: usize = 4;

/// What the tests of a guest are cut to where nobody says otherwise: emulation is twenty to fifty
/// times slower than the host. And that nobody else is on that machine.
const CUT: [(&str, &str); 4] = [
    ("OBSERVER_TEST_CONNECTIONS", "20"),
    ("OBSERVER_TEST_OWN_MACHINE", "1"),
    ("OBSERVER_TEST_TOGETHER", "1"),
    ("OBSERVER_TEST_WORKERS", "1,2,8"),
];

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
    /// Write docs/kernels.md from what the machines tell, all of which must run
    #[arg(long, conflicts_with_all = ["kernel", "provider", "filter", "shell"])]
    docs: bool,
    /// Print what `observer doctor -v` says in each guest
    #[arg(long, hide = true)]
    doctor: bool,
    /// When no further machine begins: what is left then is a skip.
    #[arg(skip)]
    deadline: Option<Instant>,
    /// Arguments of the test harness, such as a part of a test's name
    #[arg(last = true, value_name = "FILTER")]
    filter: Vec<String>,
}

impl VmArgs {
    /// The whole matrix, as far as it can begin before `deadline`.
    pub(crate) fn whole(deadline: Option<Instant>) -> Self {
        Self {
            kernel: Vec::new(),
            provider: Vec::new(),
            accel: Accel::Tcg,
            shell: false,
            docs: false,
            doctor: false,
            deadline,
            filter: Vec::new(),
        }
    }
}

/// Runs the machines, and ends with `N passed, N failed, N skipped`.
pub(crate) fn vm(workspace: &Workspace, args: &VmArgs) -> Result<ExitCode> {
    if args.shell {
        let machines = machines(&args.kernel, &args.provider).map_err(|error| anyhow!(error))?;
        let series = machines.last().context("no kernel")?.series;
        return shell::shell(workspace, &directory(workspace)?, series, args.accel);
    }
    let totals = run(workspace, args, None)?;
    let Totals { passed, failed, skipped } = totals;
    if passed + failed == 0 {
        println!("error: no test ran");
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
) -> Result<Totals> {
    let machines = machines(&args.kernel, &args.provider).map_err(|error| anyhow!(error))?;
    let vm = directory(workspace)?;
    let count = machines.len();
    let mut report = Report::new(io::stdout());
    let emulator = initramfs::can_build().and_then(|()| Emulator::obtain(workspace));
    let mut queue = VecDeque::new();
    let mut kernels: BTreeMap<_, Result<Kernel, String>> = BTreeMap::new();
    for machine in machines {
        let series = machine.series;
        let kernel = kernels.entry(series.name).or_insert_with(|| {
            emulator.as_ref().map_err(|error| format!("{error:#}"))?;
            kernel::obtain(&vm, series).map_err(|error| format!("{error:#}"))
        });
        match kernel {
            Ok(kernel) => queue.push_back((machine, kernel.clone())),
            Err(reason) => report.skip(machine, reason),
        }
    }
    let Ok(emulator) = &emulator else { return Ok(report.finish().0) };
    if queue.is_empty() {
        return Ok(report.finish().0);
    }
    let programs = initramfs::build(workspace, &vm, initramfs::Work::Tests)?;
    let lanes = thread::available_parallelism().map_or(1, usize::from).min(LANES);
    let run = Run { args, vm: &vm, emulator, programs: &programs, report: Mutex::new(report) };
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
                    let late = |deadline| Instant::now() > deadline + machine.scope.spare();
                    if run.args.deadline.is_some_and(late) {
                        let reason = "no time was left for it; `cargo xtask vm` runs it";
                        lock(&run.report).skip(machine, reason);
                        continue;
                    }
                    run.machine(machine, &kernel);
                }
            });
        }
    });
    let report = run.report.into_inner().map_err(|_| anyhow!("a machine's thread panicked"))?;
    let (totals, told) = report.finish();
    if args.docs {
        if totals.failed != 0 || told.len() != count {
            bail!("docs/kernels.md is made from a run of all machines in which no test failed");
        }
        let page = workspace.root().join("docs/kernels.md");
        fs::write(&page, docs::page(&told))
            .with_context(|| format!("{} cannot be written", page.display()))?;
    }
    Ok(totals)
}

/// A thread that panicked with the lock has said so already.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What all machines of a run share.
struct Run<'a> {
    args: &'a VmArgs,
    vm: &'a Path,
    emulator: &'a Emulator,
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
        report.told(Told {
            machine,
            version: console.version().to_owned(),
            doctor: serde_json::from_str(&console.doctor().join("\n")).ok(),
            figures: console.figures().to_vec(),
        });
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
            cpus: machine.series.cpus,
            log: log.to_owned(),
            limit: qemu::LIMIT,
        };
        initramfs::write(&files.initramfs, kernel, self.programs, &self.job(machine))?;
        let started = Instant::now();
        let mut began = started;
        let end = qemu::run(self.emulator, self.args.accel, &files, |bytes| {
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
        if job.arguments.is_empty() {
            let left_out = machine.scope.leaves_out();
            let skip = left_out.into_iter().flat_map(|part| ["--skip", part]);
            job.arguments = skip.map(str::to_owned).collect();
            let only = machine.scope.only();
            if !only.is_empty() {
                job.variables.push(("OBSERVER_TEST_ONLY".to_owned(), only.join(" ")));
            }
            if machine.scope.is_first() {
                job.doctor = ["--format", "json"].map(str::to_owned).to_vec();
            }
        }
        if self.args.doctor {
            job.doctor = vec!["-v".to_owned()];
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
