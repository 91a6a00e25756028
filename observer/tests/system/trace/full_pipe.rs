//! Standard output as a full pipe that nobody reads: a signal ends observer all the same, what is in the pipe are whole
//! lines, and nothing stays in the kernel. Whoever reads again in time gets everything.

use std::{
    fs,
    io::Read as _,
    os::fd::AsFd as _,
    process::{ChildStdout, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    fcntl::{FcntlArg, fcntl},
    sys::signal::Signal,
};
use serde_json::Value;

use crate::{
    Need, Outcome, Test,
    gone::{is_gone, programs},
    observer::{Observer, program},
    role::{Actor, connect},
};

/// Longest that anything may take before the test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Room in the pipe: the least that the kernel gives.
const ROOM: usize = 4_096;

/// Connections whose events are several times as much.
const CONNECTIONS: usize = 60;

pub fn tests() -> Vec<Test> {
    let mut tests = vec![Test::new(
        "trace::full_pipe::whoever_reads_again_gets_everything",
        Need::Kernel,
        read_again,
    )];
    let commands: [(&str, &[&str]); 5] = [
        ("trace", &["trace", "--format", "json"]),
        ("trace_lines", &["trace"]),
        ("trace_stories", &["trace", "--connection"]),
        ("watching", &["--format", "json", "--interval", "100ms"]),
        ("recording", &["record", "--events", "--output", "-"]),
    ];
    for (name, arguments) in commands {
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let name = format!("trace::full_pipe::{signal}_ends_{name}").to_lowercase();
            tests.push(Test::new(name, Need::Kernel, move || ends(arguments, signal)));
        }
    }
    tests
}

/// Observer with its pipe full, and the pipe.
fn stuck(arguments: &[&str]) -> anyhow::Result<(Observer, ChildStdout)> {
    let mut server = Actor::start("listen")?;
    let port = server.port()?;
    let mut command = Command::new(program());
    command.args(arguments).args(["--port", &port.to_string()]);
    let mut observer = Observer::spawn(command)?;
    let pipe = observer.take_stdout()?;
    fcntl(pipe.as_fd(), FcntlArg::F_SETPIPE_SZ(i32::try_from(ROOM)?))?;
    for _ in 0..CONNECTIONS {
        connect(port)?;
    }
    let end = Instant::now() + PATIENCE;
    // It is full when observer waits for room in it.
    while !waits(observer.pid())? {
        if Instant::now() > end {
            bail!("observer does not wait for room in the pipe");
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok((observer, pipe))
}

/// Whether a process waits for a file to take more, or writes to it.
fn waits(pid: u32) -> anyhow::Result<bool> {
    let call = fs::read_to_string(format!("/proc/{pid}/syscall"))?;
    let number = call.split_whitespace().next().and_then(|number| number.parse().ok());
    #[cfg(target_arch = "x86_64")]
    let calls = [libc::SYS_write, libc::SYS_ppoll, libc::SYS_poll];
    #[cfg(not(target_arch = "x86_64"))]
    let calls = [libc::SYS_write, libc::SYS_ppoll];
    Ok(calls.iter().any(|one| number == Some(*one)))
}

fn ends(arguments: &[&str], signal: Signal) -> Outcome {
    let (mut observer, mut pipe) = stuck(arguments)?;
    let pid = i32::try_from(observer.pid())?;
    let programs = programs(pid)?;
    ensure!(!programs.is_empty(), "it holds no program");
    observer.signal(signal)?;
    let status = observer.wait_status()?;
    is_gone(pid, &programs)?;
    let said = observer.said();
    ensure!(status.code() == Some(1) && said.contains("nobody read it for"), "{status}: {said}");
    let mut text = String::new();
    pipe.read_to_string(&mut text)?;
    ensure!(!text.is_empty() && text.len() <= ROOM, "{} bytes", text.len());
    // A report alone may be longer than what a pipe takes at once.
    let is_cut = arguments.contains(&"--interval") || arguments.contains(&"record");
    ensure!(is_cut || text.ends_with('\n'), "{text:?}");
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines().filter(|line| line.starts_with('{')) {
        serde_json::from_str::<Value>(line).with_context(|| line.to_owned())?;
    }
    Ok(())
}

fn read_again() -> Outcome {
    let (mut observer, mut pipe) = stuck(&["trace", "--format", "json"])?;
    observer.signal(Signal::SIGINT)?;
    thread::sleep(Duration::from_millis(300));
    let mut text = String::new();
    pipe.read_to_string(&mut text)?;
    let status = observer.wait_status()?;
    let said = observer.said();
    ensure!(status.success(), "{status}: {said}");
    let events: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let accepted = events.iter().filter(|one| one["kind"] == "accepted").count();
    ensure!(accepted == CONNECTIONS, "{accepted}: {said}");
    ensure!(said.contains(&format!("{CONNECTIONS} accepted")), "{said}");
    Ok(())
}
