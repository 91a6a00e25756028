//! Processes of a role, and how they are scheduled.

use std::fs;

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    libc,
    sched::{CpuSet, sched_setaffinity},
    sys::{
        prctl,
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork},
};

/// Processes that end with this one, or before.
#[derive(Debug, Default)]
pub(super) struct Children(Vec<Pid>);

impl Children {
    /// Forks; this program has one thread only.
    pub(super) fn fork(&mut self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        // SAFETY: a role starts no thread, so that no lock is held by a thread that is not there.
        match unsafe { fork() }.context("a worker cannot be forked")? {
            ForkResult::Parent { child } => self.0.push(child),
            ForkResult::Child => {
                let _unless_it_cannot = prctl::set_pdeathsig(Signal::SIGKILL);
                let failed = work().err();
                eprintln!("a worker stopped: {failed:?}");
                // SAFETY: ends this process without what the parent would do at its end.
                unsafe { libc::_exit(1) }
            }
        }
        Ok(())
    }

    /// Number of times that they went to sleep, by the kernel's count.
    pub(super) fn sleeps(&self) -> Result<u64> {
        let of = |pid: &Pid| -> Result<u64> {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            Ok(line.context("the kernel does not count switches")?.trim().parse()?)
        };
        self.0.iter().map(of).sum()
    }

    /// Nanoseconds on a CPU, of them and of this process.
    pub(super) fn on_cpu(&self) -> Result<u64> {
        self.0.iter().chain([&Pid::this()]).map(|pid| on_cpu(*pid)).sum()
    }
}

/// Nanoseconds that a process of one thread was on a CPU (the first number of its schedstat).
fn on_cpu(pid: Pid) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    Ok(text.split_whitespace().next().context("the kernel does not tell times")?.parse()?)
}

impl Drop for Children {
    fn drop(&mut self) {
        for child in &self.0 {
            let _ended_before: nix::Result<()> = kill(*child, Signal::SIGKILL);
            let _gone = waitpid(*child, None);
        }
    }
}

/// SCHED_IDLE: it runs when nobody else wants to.
pub(super) fn be_patient() -> Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters live, and 0 is this process.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    Errno::result(result).context("SCHED_IDLE")?;
    Ok(())
}

/// SCHED_FIFO: it runs when it can, and others when it waits.
pub(super) fn be_ahead(priority: i32) -> Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the parameters live, and 0 is this process.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    Errno::result(result).context("SCHED_FIFO")?;
    Ok(())
}

/// Runs on this CPU only.
pub(super) fn stay_on(cpu: usize) -> Result<()> {
    let mut one = CpuSet::new();
    one.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &one).with_context(|| format!("staying on CPU {cpu}"))
}
