//! SIGUSR1 too early, too often, and with nobody who reads what is said.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{recordings, until};
use crate::{
    Need, Outcome, Test,
    export::running::{free_port, get},
    observer::{program, provider},
};

/// Signals: what was said of each of them would fill a pipe.
const MANY: usize = 300;

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("export::signals_that_come_early_end_nothing", Need::Kernel, early),
        Test::new("export::signals_do_not_wait_for_who_reads", Need::Kernel, unread),
    ]
}

/// An exporter whose standard error is the test's.
struct Bare {
    child: Child,
    port: u16,
}

impl Bare {
    fn start(arguments: &[&str], stderr: io::PipeWriter) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(program());
        command.args(["export", "--interval", "300ms", "--port", "1"]);
        command.args(["--listen", &format!("127.0.0.1:{port}")]).args(arguments);
        if let Some(provider) = provider() {
            command.args(["--provider", &provider]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn()?;
        Ok(Self { child, port })
    }

    fn signal(&self, signal: Signal) -> Outcome {
        Ok(kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)?)
    }

    fn metrics(&self) -> anyhow::Result<String> {
        let (head, page) = get(self.port, "/metrics", &[])?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        Ok(page)
    }

    /// Whether it ignores SIGUSR1 now.
    fn ignores(&self) -> anyhow::Result<bool> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = u64::from_str_radix(mask.context("it has ended")?.trim(), 16)?;
        Ok(mask & (1 << (Signal::SIGUSR1 as u64 - 1)) != 0)
    }

    /// Ends it, which must be a success.
    fn end(mut self) -> Outcome {
        self.signal(Signal::SIGTERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// From the moment that it ignores them, signals cost it nothing while it loads its programs.
fn early() -> Outcome {
    let place = tempfile::tempdir()?;
    let path = place.path().to_str().context("a path")?;
    let (reader, writer) = io::pipe()?;
    let exporter = Bare::start(&["--flight-recorder", path], writer)?;
    let mut reader = BufReader::new(reader);
    while !exporter.ignores()? {
        thread::sleep(Duration::from_millis(1));
    }
    for _ in 0..10 {
        exporter.signal(Signal::SIGUSR1)?;
    }
    let mut said = String::new();
    while !said.contains("observing") {
        ensure!(reader.read_line(&mut said)? > 0, "it does not observe: {said}");
    }
    until(|| Ok(exporter.metrics().is_ok()))?;
    let rest = thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
    exporter.end()?;
    ensure!(rest.join().is_ok_and(|read| read.is_ok()), "what it said cannot be read");
    Ok(())
}

/// Standard error is a full pipe: a recording is written, scrapes are answered, and there is one refusal in the end.
fn unread() -> Outcome {
    let place = tempfile::tempdir()?;
    let path = place.path().to_str().context("a path")?;
    let (mut reader, writer) = io::pipe()?;
    let own = writer.try_clone()?;
    let exporter = Bare::start(&["--flight-recorder", path], writer)?;
    until(|| Ok(exporter.metrics().is_ok()))?;
    // Opened once more, because only the test is to be told that it is full.
    let mut filler = OpenOptions::new()
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(format!("/proc/self/fd/{}", own.as_raw_fd()))?;
    let full = [b'\n'; 4096];
    let error = loop {
        if let Err(error) = filler.write_all(&full) {
            break error;
        }
    };
    ensure!(error.kind() == io::ErrorKind::WouldBlock, "{error}");
    drop((filler, own));
    for number in 0..MANY {
        exporter.signal(Signal::SIGUSR1)?;
        // Not so fast that they become one.
        thread::sleep(Duration::from_millis(2));
        if number % 50 == 0 {
            exporter.metrics()?;
        }
    }
    until(|| {
        let recordings = recordings(place.path())?;
        Ok(recordings.iter().any(|path| fs::metadata(path).is_ok_and(|data| data.len() > 0)))
    })?;
    exporter.metrics()?;
    let said = thread::spawn(move || {
        let mut said = String::new();
        reader.read_to_string(&mut said).map(|_| said)
    });
    exporter.end()?;
    let said = said.join().map_err(|_| anyhow::anyhow!("nobody read it"))??;
    let refusals = said.matches("no recording is written for SIGUSR1").count();
    ensure!(refusals == 1, "{refusals} refusals: {said}");
    ensure!(said.contains("SIGUSR1: the last minutes are written to"), "{said}");
    Ok(())
}
