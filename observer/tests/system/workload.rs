//! A workload: a real server and its client, which count for themselves.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::observer::program;

/// A workload that is ready.
pub struct Workload {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Coordinator, listeners, workers.
    pub ready: Ready,
}

/// What a workload says first.
#[derive(Clone, Debug, Deserialize)]
pub struct Ready {
    /// The coordinator.
    pub pid: u32,
    /// Inode number of the network namespace.
    pub netns: u64,
    /// Its listeners.
    pub listeners: Vec<At>,
}

/// Where a listener is.
#[derive(Clone, Debug, Deserialize)]
pub struct At {
    /// Local port.
    pub port: u16,
    /// Inode number of the socket.
    pub inode: u64,
}

/// What the workers of one round counted.
#[derive(Clone, Debug, Deserialize)]
pub struct Tally {
    /// Connections made.
    pub connections: u64,
    /// Each worker's own.
    pub workers: Vec<WorkerTally>,
}

/// What one worker counted, and what the kernel counted about it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct WorkerTally {
    /// Thread id.
    pub tid: u32,
    /// Connections it accepted.
    pub accepted: u64,
    /// Its accept calls that said EAGAIN.
    pub eagain: u64,
    /// Returns of its wait call.
    pub wait_returns: u64,
    /// Its voluntary context switches, as getrusage has them.
    pub voluntary_switches: u64,
    /// Those of them that were for a lock.
    pub lock_sleeps: u64,
}

impl WorkerTally {
    /// Its wakeups from waiting, by the kernel's count of its sleeps.
    pub fn wakeups(&self) -> u64 {
        self.voluntary_switches - self.lock_sleeps
    }
}

impl Workload {
    /// Starts one; it is ready when this returns.
    pub fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(program());
        command.arg("workload").args(arguments);
        Self::spawn(command)
    }

    /// Starts one as `command` says.
    pub fn spawn(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the workload does not start")?;
        let input = child.stdin.take().context("no standard input")?;
        let mut output = BufReader::new(child.stdout.take().context("no standard output")?);
        let ready = serde_json::from_str(&line(&mut output)?)?;
        Ok(Self { child, input, output, ready })
    }

    /// Process id of what was started.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Begins a round.
    pub fn go(&mut self) -> anyhow::Result<()> {
        Ok(writeln!(self.input, "go")?)
    }

    /// Waits for the round's end.
    pub fn tally(&mut self) -> anyhow::Result<Tally> {
        Ok(serde_json::from_str(&line(&mut self.output)?)?)
    }

    /// Runs a round.
    pub fn round(&mut self) -> anyhow::Result<Tally> {
        self.go()?;
        self.tally()
    }

    /// Ends it, and waits for its end.
    pub fn quit(mut self) -> anyhow::Result<()> {
        writeln!(self.input, "quit")?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the workload ended with {status}");
        Ok(())
    }

    /// Ends it from outside.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Its workers end with it: they asked the kernel for that.
            let _gone = self.child.kill();
            let _gone = self.child.wait();
        }
    }
}

fn line(output: &mut BufReader<ChildStdout>) -> anyhow::Result<String> {
    let mut line = String::new();
    let read = output.read_line(&mut line).context("the workload cannot be read")?;
    ensure!(read != 0, "the workload ended early");
    Ok(line)
}
