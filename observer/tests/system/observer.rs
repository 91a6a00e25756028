//! The program under test, as a child.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{Outcome, missed, schema::parse_report, shutdown};

/// The program: the one that was built with the tests, unless the environment names another.
pub fn program() -> PathBuf {
    env::var_os("OBSERVER_PROGRAM")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_observer")), PathBuf::from)
}

/// The provider that every observer is told to use, where the environment names one.
///
/// Whoever names one expects that it works: tests then run, and fail, where it does not.
pub fn provider() -> Option<String> {
    env::var("OBSERVER_TEST_PROVIDER").ok()
}

/// Whether a signal may come from this provider: from the one that was asked for, if one was.
pub fn expected_via(via: &Value) -> bool {
    match provider().as_deref() {
        None | Some("auto") => via.as_str().is_some_and(|via| via != "none"),
        Some(asked) => via == asked,
    }
}

/// Longest that anything may take before the test says that it hangs. No duration is asserted.
const PATIENCE: Duration = Duration::from_secs(60);

/// An `observer` that watches.
pub struct Observer {
    child: Child,
    /// The line that it printed when every program was attached.
    pub observing: String,
    /// The rest of its standard error.
    rest: Option<mpsc::Receiver<String>>,
    /// What it printed, to its end, where it is read from the beginning.
    text: Option<mpsc::Receiver<String>>,
}

/// What an observer left behind.
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error after the `observing` line.
    pub stderr: String,
}

impl Observer {
    /// Starts it with `--format json` and these arguments, and waits until it observes.
    pub fn json(arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start(&[&["--format", "json"], arguments].concat())
    }

    /// The same, whatever provider the environment names.
    pub fn json_unforced(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(program());
        command.args(["--format", "json"]).args(arguments);
        Self::begin(command)
    }

    /// Starts it with these arguments, and waits until it observes.
    pub fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(program());
        command.args(arguments);
        Self::spawn(command)
    }

    /// Starts it as `command` says, and waits until it observes.
    pub fn spawn(mut command: Command) -> anyhow::Result<Self> {
        if let Some(provider) = provider() {
            command.args(["--provider", &provider]);
        }
        Self::begin(command)
    }

    /// Starts it as `command` says and with no other argument, and waits until it observes.
    pub fn begin(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("observer does not start")?;
        let stderr = child.stderr.take().context("no standard error")?;
        let (sender, lines) = mpsc::channel();
        let (rest_sender, rest) = mpsc::channel();
        thread::spawn(move || read_stderr(stderr, &sender, &rest_sender));
        let mut said = Vec::new();
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) if line.starts_with("observing") => {
                    return Ok(Self { child, observing: line, rest: Some(rest), text: None });
                }
                Ok(line) => said.push(line),
                Err(_) => {
                    let _gone = child.kill();
                    let status = child.wait()?;
                    bail!("observer did not begin to observe ({status}): {}", said.join("\n"));
                }
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)?)
    }

    /// Interrupts it and reads the total. Letting its programs go takes it a while more, which is not
    /// waited for: [`shutdown::failures`] is asked in the end.
    pub fn total(mut self) -> anyhow::Result<Value> {
        let stdout = self.take_stdout()?;
        self.signal(Signal::SIGINT)?;
        let (sender, lines) = mpsc::channel();
        // To the end, so that nothing it may still say keeps it.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _enough = sender.send(line);
            }
        });
        loop {
            let line = match lines.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(mpsc::RecvTimeoutError::Timeout) => bail!("observer did not end"),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    self.ended_well()?;
                    bail!("observer printed no total");
                }
            };
            let report = parse_report(&line)?;
            if report["window"]["kind"] == "total" {
                shutdown::leave(move || {
                    self.ended_well()?;
                    let more = lines.iter().collect::<Vec<_>>().join("\n");
                    ensure!(more.is_empty(), "more came after the total: {more}");
                    Ok(())
                });
                check_report(&report)?;
                return Ok(report);
            }
        }
    }

    /// What it said on standard error after the `observing` line, when it has ended.
    pub fn said(&mut self) -> String {
        let rest = self.rest.take().map(|rest| rest.iter().collect::<Vec<_>>().join("\n"));
        rest.unwrap_or_default()
    }

    /// Waits for its end, which must be a success, when standard output was taken.
    fn ended_well(&mut self) -> Outcome {
        let status = self.wait_status()?;
        let rest = self.rest.take().context("standard error was taken")?;
        let said = rest.iter().collect::<Vec<_>>().join("\n");
        ensure!(status.success(), "observer ended with {status}: {said}");
        Ok(())
    }

    /// Waits for its own end and reads the total.
    pub fn wait_total(self) -> anyhow::Result<Value> {
        self.wait()?.total()
    }

    /// Reads what it prints from now on, however much that is.
    pub fn read(&mut self) -> Outcome {
        let mut stdout = self.take_stdout()?;
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut text = String::new();
            let _cut = stdout.read_to_string(&mut text);
            let _gone = sender.send(text);
        });
        self.text = Some(receiver);
        Ok(())
    }

    /// Waits for its end.
    pub fn wait(mut self) -> anyhow::Result<Ended> {
        if self.text.is_none() {
            self.read()?;
        }
        let receiver = self.text.take().context("nobody reads it")?;
        let Ok(text) = receiver.recv_timeout(PATIENCE) else {
            self.child.kill()?;
            bail!("observer did not end");
        };
        let status = self.child.wait()?;
        let rest = self.rest.take().context("standard error was taken")?;
        Ok(Ended { status, stdout: text, stderr: rest.iter().collect::<Vec<_>>().join("\n") })
    }

    /// Takes its standard output, to be read or closed by the test.
    pub fn take_stdout(&mut self) -> anyhow::Result<std::process::ChildStdout> {
        self.child.stdout.take().context("standard output was taken")
    }

    /// Waits for its end when standard output was taken.
    pub fn wait_status(&mut self) -> anyhow::Result<ExitStatus> {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if std::time::Instant::now() > deadline {
                self.child.kill()?;
                bail!("observer did not end");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        // Also when a test fails half-way; a child that has been waited for is left alone.
        if let Ok(None) = self.child.try_wait() {
            let _gone = self.child.kill();
            let _gone = self.child.wait();
        }
    }
}

impl Ended {
    /// The reports, when it ended well.
    pub fn reports(self) -> anyhow::Result<Vec<Value>> {
        ensure!(self.status.success(), "observer ended with {}: {}", self.status, self.stderr);
        self.stdout.lines().map(parse_report).collect()
    }

    /// The total, the last of them.
    pub fn total(self) -> anyhow::Result<Value> {
        let total = self.reports()?.pop().context("observer printed no report")?;
        ensure!(total["window"]["kind"] == "total", "the last report is no total: {total}");
        check_report(&total)?;
        Ok(total)
    }
}

fn read_stderr(stderr: ChildStderr, first: &mpsc::Sender<String>, rest: &mpsc::Sender<String>) {
    let mut observing = false;
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let is_last = line.starts_with("observing");
        let sent = if observing { rest.send(line) } else { first.send(line) };
        if sent.is_err() {
            return;
        }
        observing |= is_last;
    }
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(program());
    command.args(arguments);
    let watches = arguments.first().is_some_and(|first| first.starts_with('-'));
    if watches
        && !arguments.contains(&"--provider")
        && let Some(provider) = provider()
    {
        command.args(["--provider", &provider]);
    }
    command.stdin(Stdio::null()).output().context("observer does not start")
}

/// What must hold in every report, whatever was observed.
pub fn check_report(report: &Value) -> anyhow::Result<()> {
    missed::look_at(report)?;
    ensure!(report["schema_version"] == 1, "schema_version");
    let listeners = report["listeners"].as_array().context("listeners")?;
    let audit = &report["audit"];
    let incomplete = listeners.iter().filter(|one| one["incomplete"] == true).count();
    ensure!(audit["incomplete"] == incomplete, "{incomplete} listeners are incomplete: {audit}");
    let exact = |name: &str| report["providers"][name]["exact"] == true;
    if incomplete > 0 || audit["unsettled"] != 0 {
        ensure!(!exact("accepts") && !exact("wakeups"), "{}: {audit}", report["providers"]);
    }
    let kinds = audit["no_room"].as_object().context("no_room")?;
    let sum = kinds.values().map(number).sum::<anyhow::Result<u64>>()?;
    ensure!(audit["map_full"] == sum, "what had no room does not add up: {audit}");
    for listener in listeners {
        let workers = listener["workers"].as_array().context("workers")?;
        // One that had no room says nothing.
        let is_known = !listener["accepted"].is_null();
        ensure!(is_known || listener["incomplete"] == true, "unknown without a reason: {listener}");
        for row in workers.iter().chain(is_known.then_some(listener)) {
            let wakeups = &row["wakeups"];
            let outcomes: u64 = ["won", "lost", "failed", "silent", "pending"]
                .iter()
                .map(|name| number(&wakeups[*name]))
                .sum::<anyhow::Result<u64>>()?;
            ensure!(
                outcomes == number(&wakeups["total"])?,
                "outcomes do not add up to the total: {wakeups}"
            );
        }
        if !is_known {
            for name in ["queued", "discarded", "wakeups", "herd_ratio"] {
                ensure!(listener[name].is_null(), "{name} is known: {listener}");
            }
            continue;
        }
        let sum =
            workers.iter().map(|one| number(&one["accepted"])).sum::<anyhow::Result<u64>>()?;
        ensure!(sum == number(&listener["accepted"])?, "workers do not add up: {listener}");
        let depths = listener["accept_queue"]["histogram"].as_array().context("histogram")?;
        let counted =
            depths.iter().map(|one| number(&one["count"])).sum::<anyhow::Result<u64>>()?;
        ensure!(counted == number(&listener["queued"])?, "depths do not add up: {listener}");
    }
    Ok(())
}

/// A count in a report.
pub fn number(value: &Value) -> anyhow::Result<u64> {
    value.as_u64().with_context(|| format!("not a count: {value}"))
}

/// The listeners of a report that are on `port`.
pub fn on_port(report: &Value, port: u16) -> Vec<&Value> {
    let listeners = report["listeners"].as_array().map(Vec::as_slice).unwrap_or_default();
    listeners.iter().filter(|one| one["port"] == port).collect()
}

/// The only listener of a report that is on `port`.
pub fn only_on_port(report: &Value, port: u16) -> anyhow::Result<&Value> {
    match on_port(report, port)[..] {
        [one] => Ok(one),
        ref several => bail!("{} listeners on port {port}, not one: {report}", several.len()),
    }
}
