//! A tool beside which something is measured: started, known to be attached, and ended.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::process;

/// Time in which a tool attaches, and in which it ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time after which it is asked again to end.
const AGAIN: Duration = Duration::from_secs(5);

/// Sign that a tool is attached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ready {
    /// A line that begins so, on either stream.
    Says(&'static str),
    /// Time after its start, where it says nothing.
    After(Duration),
}

/// A tool that runs.
#[derive(Debug)]
pub(crate) struct Tool {
    child: Child,
    /// Lines that it says from then on, where somebody listens.
    lines: Option<Receiver<String>>,
    /// Line that it said when it was attached.
    pub(crate) said: String,
    /// Time from its start to that line.
    pub(crate) took: Duration,
}

impl Tool {
    /// Starts a tool, and returns when it is attached.
    ///
    /// # Errors
    ///
    /// In its own words, when it ends instead.
    pub(crate) fn start(command: Command, ready: Ready) -> Result<Self> {
        // Reports of a thousand listeners each second are nothing to keep.
        let mut tool = Self::start_listening(command, ready)?;
        tool.lines = None;
        Ok(tool)
    }

    /// Starts a tool whose lines are kept until its end.
    ///
    /// # Errors
    ///
    /// In its own words, when it ends instead.
    pub(crate) fn start_listening(mut command: Command, ready: Ready) -> Result<Self> {
        let name = process::line(&command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| format!("`{name}` did not start"))?;
        let (sender, lines) = mpsc::channel();
        let streams: [Option<Box<dyn std::io::Read + Send>>; 2] = [
            child.stdout.take().map(|stream| Box::new(stream) as Box<_>),
            child.stderr.take().map(|stream| Box::new(stream) as Box<_>),
        ];
        for stream in streams.into_iter().flatten() {
            let sender = sender.clone();
            // Read to the end, also when nobody listens any more: a full pipe would stop the tool.
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _nobody_listens = sender.send(line);
                }
            });
        }
        drop(sender);
        let mut tool = Self { child, lines: None, said: String::new(), took: Duration::ZERO };
        let deadline = started + PATIENCE;
        let until = match ready {
            Ready::Says(_) => deadline,
            Ready::After(time) => started + time,
        };
        let mut heard = String::new();
        loop {
            match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Ready::Says(beginning) = ready
                        && line.starts_with(beginning)
                    {
                        tool.took = started.elapsed();
                        tool.said = line;
                        tool.lines = Some(lines);
                        return Ok(tool);
                    }
                    heard = line;
                }
                Err(RecvTimeoutError::Timeout) if matches!(ready, Ready::After(_)) => {
                    return match tool.child.try_wait()? {
                        None => {
                            tool.lines = Some(lines);
                            Ok(tool)
                        }
                        Some(status) => Err(anyhow!("{name} ended ({status}): {heard}")),
                    };
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{name} was not attached after {} s: {heard}", PATIENCE.as_secs())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = tool.child.wait()?;
                    bail!("{name} ended ({status}): {heard}");
                }
            }
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        // A process id fits.
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Takes it off the CPU, or lets it go on; its kernel programs do not notice.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<()> {
        let signal = if frozen { Signal::SIGSTOP } else { Signal::SIGCONT };
        kill(self.pid(), signal).context("the tool has ended")?;
        Ok(())
    }

    /// Ends it, and returns what it said since it was attached, where somebody listened.
    pub(crate) fn end(mut self) -> Result<Vec<String>> {
        self.freeze(false)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            // More than once: bpftrace loses one now and then.
            kill(self.pid(), Signal::SIGINT)?;
            let again = Instant::now() + AGAIN;
            while Instant::now() < again {
                if self.child.try_wait()?.is_some() {
                    return Ok(self.lines.iter().flatten().collect());
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        bail!("a tool does not end")
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // It has ended already where everything went well.
        let _: std::io::Result<()> = self.child.kill();
        let _: std::io::Result<_> = self.child.wait();
    }
}
