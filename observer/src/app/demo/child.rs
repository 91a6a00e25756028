//! A child of the demo: started with pipes, listened to with a time limit, and always ended.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{self, Read, Write},
    os::{
        fd::AsFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{self, ChildStderr, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{SigSet, Signal, kill},
    },
    unistd::Pid,
};

use super::{interrupt::Interrupts, progress::Progress};

/// How long a child that is dropped may take to end by itself.
const GRACE: Duration = Duration::from_millis(200);

/// Why the demo does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// A signal asked for the end.
    Signal(u8),
    /// A child failed: what it said, and the code that it exited with.
    Child { said: String, code: u8 },
    /// Something else failed.
    Error(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// Which of a child's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Stdout,
    Stderr,
}

/// What a wait for a child listens to besides.
pub(super) struct Waiting<'a> {
    pub(super) interrupts: &'a Interrupts,
    pub(super) progress: &'a mut Progress,
}

/// A running child. Dropping it kills it, by its pid.
pub(super) struct Child {
    process: process::Child,
    stdin: Option<ChildStdin>,
    stdout: Stream<ChildStdout>,
    stderr: Stream<ChildStderr>,
    /// What to call it in an error.
    name: &'static str,
}

impl Child {
    /// Starts this very program with other arguments.
    pub(super) fn start(
        name: &'static str,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe()
            .context("this program's own file cannot be found; is /proc mounted?")?;
        let parent = process::id();
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the demo, which then ends its children in order.
            .process_group(0);
        // SAFETY: only system calls that are safe after fork, and no allocation.
        unsafe {
            command.pre_exec(move || {
                SigSet::empty().thread_set_mask()?;
                prctl::set_pdeathsig(Signal::SIGKILL)?;
                // The parent may have died before it was asked for.
                if std::os::unix::process::parent_id() == parent {
                    Ok(())
                } else {
                    Err(Errno::ESRCH.into())
                }
            });
        }
        let mut process = command
            .spawn()
            .with_context(|| format!("{} cannot be started again", program.display()))?;
        let pipe = "a pipe that was asked for";
        Ok(Self {
            name,
            stdin: process.stdin.take(),
            stdout: Stream::new(process.stdout.take().context(pipe)?),
            stderr: Stream::new(process.stderr.take().context(pipe)?),
            process,
        })
    }

    /// Writes a line to it.
    pub(super) fn tell(&mut self, line: &str) -> io::Result<()> {
        match &mut self.stdin {
            Some(stdin) => writeln!(stdin, "{line}"),
            None => Ok(()),
        }
    }

    /// Sends it SIGINT.
    pub(super) fn interrupt(&self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.process.id())?);
        // Not reaped yet, so that the pid is still its own.
        kill(pid, Signal::SIGINT).with_context(|| format!("{} cannot be interrupted", self.name))
    }

    /// Its next line on one of its outputs.
    pub(super) fn line(
        &mut self,
        output: Output,
        limit: Duration,
        waiting: &mut Waiting<'_>,
    ) -> Result<String, Stop> {
        let deadline = Instant::now() + limit;
        loop {
            let (lines, ended) = match output {
                Output::Stdout => (&mut self.stdout.lines, self.stdout.ended),
                Output::Stderr => (&mut self.stderr.lines, self.stderr.ended),
            };
            if let Some(line) = lines.pop_front() {
                if output == Output::Stderr {
                    self.stderr.taken.push(line.clone());
                }
                return Ok(line);
            }
            if ended {
                let (_, stderr) = self.end(limit, waiting)?;
                return Err(anyhow!("{} ended too early; run again: {stderr}", self.name).into());
            }
            self.listen(deadline, waiting)?;
        }
    }

    /// Closes its input and waits for its end; an exit code other than 0 is an error. Returns
    /// the lines of its standard output that were not read before, and all of standard error.
    pub(super) fn end(
        &mut self,
        limit: Duration,
        waiting: &mut Waiting<'_>,
    ) -> Result<(VecDeque<String>, String), Stop> {
        let deadline = Instant::now() + limit;
        self.stdin = None;
        while !(self.stdout.ended && self.stderr.ended) {
            self.listen(deadline, waiting)?;
        }
        // Both outputs are closed: it has exited, or is about to.
        let status = self.process.wait()?;
        self.stderr.taken.extend(self.stderr.lines.drain(..));
        let said = self.stderr.taken.join("\n");
        if status.success() {
            return Ok((std::mem::take(&mut self.stdout.lines), said));
        }
        match (status.code().and_then(|code| u8::try_from(code).ok()), said.is_empty()) {
            (Some(code), false) => Err(Stop::Child { said, code }),
            _ => {
                let signal = status.signal().map_or("no words", |_| "a signal");
                Err(anyhow!("{} ended with {signal}; run again: {status}", self.name).into())
            }
        }
    }

    /// Waits for something from the child, a signal, or the time limit.
    fn listen(&mut self, deadline: Instant, waiting: &mut Waiting<'_>) -> Result<(), Stop> {
        let (stdout, stderr, signals) = {
            let ask = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut asked = vec![ask(waiting.interrupts.as_fd())];
            // A pipe that has ended would be ready for ever.
            if !self.stdout.ended {
                asked.push(ask(self.stdout.pipe.as_fd()));
            }
            if !self.stderr.ended {
                asked.push(ask(self.stderr.pipe.as_fd()));
            }
            match poll(&mut asked, PollTimeout::from(100_u8)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let mut ready = asked.iter().map(|fd| fd.any().unwrap_or(false));
            let signals = ready.next() == Some(true);
            let stdout = !self.stdout.ended && ready.next() == Some(true);
            (stdout, !self.stderr.ended && ready.next() == Some(true), signals)
        };
        if signals && let Some(number) = waiting.interrupts.take()? {
            return Err(Stop::Signal(number));
        }
        if stdout {
            self.stdout.read()?;
        }
        if stderr {
            self.stderr.read()?;
        }
        if Instant::now() > deadline {
            let name = self.name;
            return Err(
                anyhow!("{name} did not answer in time; run again on a quieter host").into()
            );
        }
        waiting.progress.tick();
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A workload that is idle ends by itself with its input, and reaps its workers; killed,
        // it leaves that to init. One that has been waited for is over at the first look.
        self.stdin = None;
        let deadline = Instant::now() + GRACE;
        while let Ok(None) = self.process.try_wait() {
            if Instant::now() > deadline {
                let _ = self.process.kill();
                let _ = self.process.wait();
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// One output of a child, split into lines.
struct Stream<P> {
    pipe: P,
    partial: Vec<u8>,
    lines: VecDeque<String>,
    /// Lines that were read before, where they are kept.
    taken: Vec<String>,
    ended: bool,
}

impl<P: Read> Stream<P> {
    fn new(pipe: P) -> Self {
        let (partial, lines, taken) = (Vec::new(), VecDeque::new(), Vec::new());
        Self { pipe, partial, lines, taken, ended: false }
    }

    /// Reads what is there; only called when something is.
    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let length = self.pipe.read(&mut buffer)?;
        self.ended = length == 0;
        self.partial.extend_from_slice(&buffer[..length]);
        while let Some(end) = self.partial.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.lines.push_back(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        if self.ended && !self.partial.is_empty() {
            let rest = std::mem::take(&mut self.partial);
            self.lines.push_back(String::from_utf8_lossy(&rest).into_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_split_into_lines_wherever_reads_end() {
        let parts: [&[u8]; 3] = [b"one\ntw", b"o\n\nlast", b""];
        let mut whole = Stream::new(parts[0].chain(parts[1]).chain(parts[2]));
        while !whole.ended {
            whole.read().expect("memory can be read");
        }
        assert_eq!(whole.lines, ["one", "two", "", "last"]);
    }
}
