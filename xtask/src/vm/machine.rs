//! Running one machine: its tests, and once more alone those that failed.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    args::VmArgs,
    console::{Console, End, Event, Outcome},
    emulator::Emulator,
    initramfs::{self, Programs},
    job::Job,
    kernel::Kernel,
    plan::{self, Machine, Scope},
    qemu::{self, Files},
    report::Report,
    results::Told,
};
use crate::arch::Arch;

/// What the tests of a guest are cut to where nobody says otherwise: emulation is twenty to fifty
/// times slower than the host. And that nobody else is on that machine.
const CUT: [(&str, &str); 4] = [
    ("OBSERVER_TEST_CONNECTIONS", "10"),
    ("OBSERVER_TEST_OWN_MACHINE", "1"),
    ("OBSERVER_TEST_TOGETHER", "1"),
    ("OBSERVER_TEST_WORKERS", "1,2,8"),
];

/// A thread that panicked with the lock has said so already.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all machines of a run share.
pub(super) struct Run<'a> {
    pub(super) args: &'a VmArgs,
    /// Where machines and what they need are kept.
    pub(super) vm: &'a Path,
    /// Of each architecture: what runs its machines, and what runs in them.
    pub(super) tools: &'a BTreeMap<Arch, (Emulator, Programs)>,
    pub(super) report: Mutex<Report<io::Stdout>>,
}

impl Run<'_> {
    /// Runs one machine and tells what it told.
    pub(super) fn machine(&self, machine: Machine, kernel: &Kernel) {
        let name = format!("{}-{}", machine.series.name, machine.provider);
        let started = Instant::now();
        let mut console = Console::default();
        let files = self.files(machine, kernel, &name, qemu::LIMIT);
        let ended = self.boot(machine, kernel, &files, &self.job(machine), &mut console, true);
        let complaints = match &ended {
            Ok((end, _)) => console.complaints(end),
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
        let path = files.log.display().to_string();
        report.end(machine, started.elapsed(), failures, &complaints, &path);
        drop(report);
        if failures.is_empty() && complaints.is_empty() {
            // Kept for failures; leaving this one behind would harm nobody.
            let _: io::Result<()> = fs::remove_file(&files.log);
        }
        for test in plan::to_run_again(console.failed()) {
            self.again(machine, kernel, test);
        }
    }

    /// Runs a test that failed once more, alone in a machine of its own.
    fn again(&self, machine: Machine, kernel: &Kernel, test: &str) {
        let started = Instant::now();
        let name = format!("{}-{}-again", machine.series.name, machine.provider);
        let files = self.files(machine, kernel, &name, qemu::LIMIT_OF_ONE);
        let mut job = self.job(machine);
        job.doctor.clear();
        job.arguments = ["--exact", test].map(str::to_owned).to_vec();
        let mut console = Console::default();
        let ended = self.boot(machine, kernel, &files, &job, &mut console, false);
        let (outcome, mut said) = match ended {
            Ok((end, outcome)) => (outcome, console.complaints(&end)),
            Err(error) => (None, vec![format!("{error:#}")]),
        };
        // A machine in trouble is no pass, whatever the test said before.
        let outcome = if said.is_empty() { outcome } else { None };
        said.extend(console.failures().iter().cloned());
        if said.is_empty() {
            let _: io::Result<()> = fs::remove_file(&files.log);
        }
        let mut report = lock(&self.report);
        report.text(machine, &said);
        report.again(machine, test, outcome.as_ref(), started.elapsed());
    }

    fn files(&self, machine: Machine, kernel: &Kernel, name: &str, limit: Duration) -> Files {
        Files {
            kernel: kernel.image.clone(),
            initramfs: self.vm.join(format!("{name}.cpio")),
            arch: machine.series.arch,
            cpus: (machine.series.cpus, machine.series.possible_cpus),
            log: self.vm.join("logs").join(format!("{name}.log")),
            limit,
        }
    }

    /// Runs a machine with a job to its end; returns the last result of a test beside. Each result is
    /// told where it is `reported`.
    fn boot(
        &self,
        machine: Machine,
        kernel: &Kernel,
        files: &Files,
        job: &Job,
        console: &mut Console,
        reported: bool,
    ) -> Result<(End, Option<Outcome>)> {
        let (emulator, programs) =
            self.tools.get(&machine.series.arch).context("nothing to run it with")?;
        initramfs::write(&files.initramfs, kernel, programs, job)?;
        let started = Instant::now();
        let mut began = started;
        let mut last = None;
        let end = qemu::run(emulator, self.args.accel, files, |bytes| {
            for event in console.read(bytes) {
                let mut report = lock(&self.report);
                match event {
                    Event::Kernel(version) if reported => {
                        report.kernel(machine, &version, started.elapsed());
                    }
                    Event::Kernel(_) => {}
                    Event::Begins(_) => began = Instant::now(),
                    Event::Done(name, outcome) => {
                        if reported {
                            report.test(machine, &name, &outcome, began.elapsed());
                        }
                        last = Some(outcome);
                        began = Instant::now();
                    }
                }
            }
        });
        // Tens of megabytes that the next run writes anew.
        let _: io::Result<()> = fs::remove_file(&files.initramfs);
        Ok((end?, last))
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
            if self.args.docs && machine.scope.is_first() {
                job.doctor = ["--format", "json"].map(str::to_owned).to_vec();
            }
        }
        if self.args.doctor {
            job.doctor = vec!["-v".to_owned()];
        }
        if machine.scope == Scope::Possible {
            job.variables.push(("OBSERVER_TEST_MANY_CPUS".to_owned(), "1".to_owned()));
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
