//! A server that runs, with all its processes.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Outcome, observer::run};

/// Longest that a server may take to begin, before the test says that it does not.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest that it may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// A port that nobody listens on.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Connections that wait on a port.
pub fn waiting(port: u16) -> anyhow::Result<u64> {
    listed(port)?["accept_queue"]["now"].as_u64().context("it does not listen")
}

/// The listener on a port, as it is listed; `null` where there is none.
fn listed(port: u16) -> anyhow::Result<Value> {
    let output = run(&["listeners", "--port", &port.to_string(), "--format", "json"])?;
    let list: Value = serde_json::from_slice(&output.stdout)?;
    Ok(list["listeners"][0].clone())
}

/// Waits until something holds.
pub fn until(holds: impl Fn() -> anyhow::Result<bool>) -> Outcome {
    let began = Instant::now();
    while !holds()? {
        ensure!(began.elapsed() < PATIENCE, "it does not come to hold");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A server with a directory of its own. All its processes end with it.
pub struct Running {
    child: Child,
    pub port: u16,
    directory: TempDir,
}

impl Running {
    /// Starts it, and waits until it listens.
    pub fn start(mut command: Command, port: u16, directory: TempDir) -> anyhow::Result<Self> {
        let log = fs::File::create(directory.path().join("output"))?;
        // Apache ends its whole process group.
        command.current_dir(directory.path()).process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("the server does not start")?;
        let mut server = Self { child, port, directory };
        let began = Instant::now();
        while server.limit()?.is_none() {
            let ended = server.child.try_wait()?;
            if ended.is_some() || began.elapsed() > PATIENCE {
                let said = fs::read_to_string(server.directory.path().join("output"))?;
                bail!("it does not listen ({ended:?}): {said}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        server.come_to_rest()?;
        Ok(server)
    }

    /// Waits until it starts no more processes for a while: workers come after the listener.
    fn come_to_rest(&self) -> Outcome {
        let began = Instant::now();
        let mut before = self.pids();
        loop {
            thread::sleep(Duration::from_millis(150));
            let now = self.pids();
            if now == before {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "it does not come to rest: {now:?}");
            before = now;
        }
    }

    /// The limit of its queue; `None` where it does not listen.
    fn limit(&self) -> anyhow::Result<Option<u64>> {
        Ok(listed(self.port)?["backlog"]["limit"].as_u64())
    }

    /// Waits until its limit is as it should be.
    pub fn until(&self, wanted: impl Fn(u64) -> bool) -> Outcome {
        until(|| Ok(self.limit()?.is_some_and(&wanted)))?;
        self.come_to_rest()
    }

    /// Changes a file of its directory.
    pub fn edit(&self, file: &str, change: impl Fn(&str) -> String) -> Outcome {
        let path = self.directory.path().join(file);
        let before = fs::read_to_string(&path)?;
        let after = change(&before);
        ensure!(after != before, "nothing changed in {before}");
        Ok(fs::write(path, after)?)
    }

    /// Its directory.
    pub fn root(&self) -> anyhow::Result<&str> {
        self.directory.path().to_str().context("a path")
    }

    /// Stops all its processes, those first that may start others.
    pub fn stop(&self) -> Outcome {
        let mut stopped = Vec::new();
        loop {
            let pids = self.pids();
            let Some(pid) = pids.into_iter().find(|pid| !stopped.contains(pid)) else {
                return Ok(());
            };
            // One that ended meanwhile is no matter.
            let _gone = kill(Pid::from_raw(pid), Signal::SIGSTOP);
            self.until_stopped(pid)?;
            stopped.push(pid);
        }
    }

    /// Waits until a process is stopped, which its signal alone does not say.
    fn until_stopped(&self, pid: i32) -> Outcome {
        let began = Instant::now();
        loop {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
            if matches!(state, None | Some('T' | 'Z' | 'X')) {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "{pid} of port {} does not stop", self.port);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets them go on.
    pub fn go_on(&self) {
        for pid in self.pids() {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGCONT);
        }
    }

    /// Its processes, the first before its children.
    fn pids(&self) -> Vec<i32> {
        let mut pids = vec![i32::try_from(self.child.id()).unwrap_or(i32::MAX)];
        let mut at = 0;
        while let Some(pid) = pids.get(at) {
            // A child is that of the thread that started it.
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let children: Vec<i32> = tasks.flat_map(|task| children(&task.path())).collect();
            pids.extend(children);
            at += 1;
        }
        pids
    }
}

fn children(task: &Path) -> Vec<i32> {
    let text = fs::read_to_string(task.join("children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

impl Drop for Running {
    fn drop(&mut self) {
        self.go_on();
        let pids = self.pids();
        // The first one ends the others.
        let _gone = kill(Pid::from_raw(pids[0]), Signal::SIGTERM);
        let began = Instant::now();
        while let Ok(None) = self.child.try_wait() {
            if began.elapsed() > GRACE {
                for pid in pids.iter().rev() {
                    let _gone = kill(Pid::from_raw(*pid), Signal::SIGKILL);
                }
                let _gone = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A process that says a line when it is ready, and ends with this.
pub struct Piped {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Piped {
    /// Starts it.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Self { child, output })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its line.
    pub fn line(&mut self) -> Outcome {
        ensure!(self.output.read_line(&mut String::new())? > 0, "it ended");
        Ok(())
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
