//! An observer that reports every so often, read as it reports, and what /proc tells of it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Command,
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    observer::{Observer, check_report},
    schema::parse_report,
};

/// Longest that a report may take before the test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// One that reports.
pub struct Reports {
    observer: Observer,
    lines: Receiver<String>,
}

impl Reports {
    /// Starts it with these arguments, an interval among them, and waits until it observes.
    pub fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        Self::of(Observer::json(arguments)?)
    }

    /// Starts it as `command` says.
    pub fn spawn(command: Command) -> anyhow::Result<Self> {
        Self::of(Observer::spawn(command)?)
    }

    fn of(mut observer: Observer) -> anyhow::Result<Self> {
        let stdout = observer.take_stdout()?;
        let (sender, lines) = mpsc::channel();
        // As they come: a full pipe would hold it up.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _enough = sender.send(line);
            }
        });
        Ok(Self { observer, lines })
    }

    /// The next report.
    pub fn next(&self) -> anyhow::Result<Value> {
        let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
            bail!("observer made no report");
        };
        let report = parse_report(&line)?;
        check_report(&report)?;
        Ok(report)
    }

    /// Reads so many reports of intervals.
    pub fn skip(&self, count: usize) -> anyhow::Result<()> {
        (0..count).try_for_each(|_| {
            let report = self.next()?;
            ensure!(report["window"]["kind"] == "interval", "{}", report["window"]);
            Ok(())
        })
    }

    /// Interrupts it, and waits for its end: the reports that were not read yet, and the total.
    pub fn end(mut self) -> anyhow::Result<(Vec<Value>, Value)> {
        self.observer.signal(Signal::SIGINT)?;
        let mut intervals = Vec::new();
        let total = loop {
            let report = self.next()?;
            if report["window"]["kind"] == "total" {
                break report;
            }
            intervals.push(report);
        };
        let status = self.observer.wait_status()?;
        ensure!(status.success(), "observer ended with {status}");
        Ok((intervals, total))
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.observer.signal(Signal::SIGKILL)?;
        let status = self.observer.wait_status()?;
        ensure!(!status.success(), "it ended by itself: {status}");
        Ok(())
    }

    /// CPU time that it has used, threads that ended included, in ticks of a hundredth of a second
    /// (`do_task_stat`, `USER_HZ`).
    pub fn ticks(&self) -> anyhow::Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.observer.pid()))?;
        let (_, fields) = stat.rsplit_once(')').context("no name")?;
        // The state of the process is the first of them, and the third field of all.
        let times = fields.split_whitespace().skip(11).take(2);
        times.map(|text| Ok(text.parse::<u64>()?)).sum()
    }

    /// What it has resident, in KiB.
    pub fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.observer.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }

    /// How often its threads have gone to sleep and were woken: of those that there are now.
    pub fn sleeps(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.observer.pid()))? {
            // One may end meanwhile.
            let Ok(status) = fs::read_to_string(task?.path().join("status")) else { continue };
            let name = "voluntary_ctxt_switches:";
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context(name)?;
            sum += line.trim().parse::<u64>()?;
        }
        Ok(sum)
    }

    /// How many buffers of perf events it has mapped. Those of probes are not mapped.
    pub fn perf_buffers(&self) -> anyhow::Result<usize> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.observer.pid()))?;
        Ok(maps.lines().filter(|line| line.ends_with("anon_inode:[perf_event]")).count())
    }
}
