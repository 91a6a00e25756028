//! An observer whose reports are read as they come, and whose memory is looked at.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    Outcome,
    observer::{Observer, check_report, number},
    schema::parse_report,
};

/// Longest that a report may take before the test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The path of a count in a listener's row, and its sum over listeners and intervals.
type Sums = [(&'static str, u64); 5];

/// When it reports.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Often {
    /// An interval twice a second, and the total.
    TwiceASecond,
    /// The total only.
    InTheEnd,
}

/// One that watches.
pub struct Watching {
    observer: Option<Observer>,
    often: Often,
    lines: Receiver<String>,
    total: Option<Value>,
    sums: Sums,
    /// How many intervals were told by readings that were not of one moment.
    pub unsettled: u64,
    /// What it had resident before anything happened, in pages.
    pub pages_before: u64,
    /// And when everything had happened, with its last reports.
    pub pages_after: u64,
}

impl Watching {
    /// Starts it with these arguments. It reports twice a second, and the first reports are waited for;
    /// or only in the end, where one is long.
    pub fn start(arguments: &[&str], often: Often) -> anyhow::Result<Self> {
        let often_words: &[&str] = match often {
            Often::TwiceASecond => &["--interval", "500ms"],
            Often::InTheEnd => &["--duration", "1h"],
        };
        let mut observer = Observer::json(&[arguments, often_words].concat())?;
        let stdout = observer.take_stdout()?;
        let (sender, lines) = mpsc::channel();
        // As they come: a full pipe would hold it up.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let sums = ["/accepted", "/queued", "/wakeups/won", "/wakeups/lost", "/wakeups/silent"]
            .map(|path| (path, 0));
        let mut watching = Self {
            observer: Some(observer),
            often,
            lines,
            total: None,
            sums,
            unsettled: 0,
            pages_before: 0,
            pages_after: 0,
        };
        watching.reports()?;
        watching.pages_before = watching.pages()?;
        Ok(watching)
    }

    /// What it has resident now, after two more reports, in pages.
    pub fn pages_now(&mut self) -> anyhow::Result<u64> {
        self.reports()?;
        self.pages()
    }

    /// Ends the window: two more reports, a look at its memory, and the total.
    pub fn end(&mut self) -> Outcome {
        self.reports()?;
        self.pages_after = self.pages()?;
        let mut observer = self.observer.take().context("it has ended")?;
        observer.signal(Signal::SIGINT)?;
        while self.total.is_none() {
            self.next()?;
        }
        ensure!(observer.wait_status()?.success(), "observer failed");
        Ok(())
    }

    /// The report of the whole window.
    pub fn report(&self) -> anyhow::Result<&Value> {
        self.total.as_ref().context("no total")
    }

    /// A count of the total, over all its listeners.
    pub fn sum(&self, path: &str) -> anyhow::Result<u64> {
        sum(self.report()?, path)
    }

    /// The same over the intervals.
    pub fn sum_of_intervals(&self, path: &str) -> anyhow::Result<u64> {
        let found = self.sums.iter().find(|(name, _)| *name == path);
        found.map(|(_, sum)| *sum).with_context(|| format!("{path} is not summed up"))
    }

    /// Reads those that are in the pipe, and two that begin from here on.
    fn reports(&mut self) -> Outcome {
        if self.often == Often::InTheEnd {
            return Ok(());
        }
        let over = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let mut later = 0;
        while later < 2 {
            later += usize::from(self.next()? >= over);
        }
        Ok(())
    }

    /// Reads one; when its window began.
    fn next(&mut self) -> anyhow::Result<String> {
        let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
            bail!("observer made no report");
        };
        self.take(&line)
    }

    fn take(&mut self, line: &str) -> anyhow::Result<String> {
        let report = parse_report(line)?;
        check_report(&report)?;
        let start = report["window"]["start"].as_str().context("no start")?.to_owned();
        if report["window"]["kind"] == "total" {
            self.total = Some(report);
            return Ok(start);
        }
        self.unsettled += u64::from(report["audit"]["unsettled"] != 0);
        for (path, so_far) in &mut self.sums {
            *so_far += sum(&report, path)?;
        }
        Ok(start)
    }

    /// What it has resident (the second number of `/proc/PID/statm`).
    fn pages(&self) -> anyhow::Result<u64> {
        let pid = self.observer.as_ref().context("it has ended")?.pid();
        let text = fs::read_to_string(format!("/proc/{pid}/statm"))?;
        Ok(text.split_whitespace().nth(1).context("no resident pages")?.parse()?)
    }
}

/// A count of a report, over all its listeners.
fn sum(report: &Value, path: &str) -> anyhow::Result<u64> {
    let listeners = report["listeners"].as_array().context("listeners")?;
    let counts = listeners.iter().map(|one| one.pointer(path).context("missing"));
    // What is not known had no room, which is said elsewhere; where wakeups are not known, they are no object.
    let known = counts.filter(|count| count.as_ref().is_ok_and(|count| !count.is_null()));
    known.map(|count| count.and_then(number)).sum()
}
