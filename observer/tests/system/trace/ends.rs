//! How a trace begins and ends: its time, a signal, a closed pipe, and arguments that do not fit.

use std::{io::Read as _, process::Command};

use anyhow::ensure;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    Need, Outcome, Test,
    observer::{Observer, program, run},
    role::{Actor, connect},
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("trace::ends::with_its_time", Need::Kernel, duration),
        Test::new("trace::ends::with_its_processes", Need::Kernel, processes),
        Test::new("trace::ends::a_closed_pipe_is_no_error", Need::Kernel, closed_pipe),
        Test::new("trace::ends::a_file_for_viewers_is_whole", Need::Kernel, whole),
        Test::new("trace::ends::arguments_that_do_not_fit", Need::Nothing, arguments),
    ]
}

fn start(arguments: &[&str]) -> anyhow::Result<Observer> {
    let mut command = Command::new(program());
    command.arg("trace").args(arguments);
    Observer::spawn(command)
}

fn duration() -> Outcome {
    let mut server = Actor::start("listen")?;
    let port = server.port()?;
    let observer = start(&["--port", &port.to_string(), "--duration", "400ms"])?;
    connect(port)?;
    let ended = observer.wait()?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    let first = ended.stdout.lines().next().unwrap_or_default();
    for column in ["SECONDS", "EVENT", "LISTENER", "WHAT"] {
        ensure!(first.contains(column), "{first}");
    }
    for kind in [" queued ", " accepted "] {
        ensure!(ended.stdout.contains(kind), "{}", ended.stdout);
    }
    ensure!(ended.stdout.contains(&format!("127.0.0.1:{port}")), "{}", ended.stdout);
    ensure!(ended.stderr.contains("1 accepted"), "{}", ended.stderr);
    Ok(())
}

fn processes() -> Outcome {
    let mut server = Actor::start("listen-late")?;
    let pid = server.pid().to_string();
    let observer = start(&["--pid", &pid, "--format", "json"])?;
    // It is waited for, and told of when it comes.
    server.next()?;
    let port = server.port()?;
    connect(port)?;
    server.kill()?;
    let ended = observer.wait()?;
    ensure!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    let waits = format!("no listener is held by process {pid} or a descendant yet");
    ensure!(ended.stderr.contains(&waits), "{}", ended.stderr);
    ensure!(ended.stderr.contains(&format!("process {pid} has ended")), "{}", ended.stderr);
    for kind in ["listening", "queued", "accepted", "closed"] {
        ensure!(ended.stdout.contains(&format!("\"kind\":\"{kind}\"")), "{}", ended.stdout);
    }
    Ok(())
}

fn closed_pipe() -> Outcome {
    let mut server = Actor::start("listen")?;
    let port = server.port()?;
    let mut observer = start(&["--port", &port.to_string(), "--format", "json"])?;
    drop(observer.take_stdout()?);
    connect(port)?;
    let status = observer.wait_status()?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// Also when a signal ended it; one that was cut off is read to there, as the format has it.
fn whole() -> Outcome {
    let mut server = Actor::start("listen")?;
    let port = server.port()?;
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut observer = start(&["--port", &port.to_string(), "--format", "trace-event"])?;
        let mut stdout = observer.take_stdout()?;
        for _ in 0..3 {
            connect(port)?;
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
        observer.signal(signal)?;
        let mut text = String::new();
        stdout.read_to_string(&mut text)?;
        ensure!(observer.wait_status()?.success(), "{text}");
        let records: Vec<Value> = serde_json::from_str(&text)?;
        let count = |phase: &str| records.iter().filter(|one| one["ph"] == phase).count();
        ensure!(count("b") == 3 && count("e") == 3, "{text}");
        // Every record is a line, so that what is cut off ends with a whole one.
        for line in text.lines().filter(|line| line.starts_with('{')) {
            serde_json::from_str::<Value>(line.trim_end_matches(','))?;
        }
    }
    let nothing = start(&["--port", &port.to_string(), "--format", "trace-event"])?;
    nothing.signal(Signal::SIGINT)?;
    let ended = nothing.wait()?;
    ensure!(serde_json::from_str::<Vec<Value>>(&ended.stdout)?.is_empty(), "{}", ended.stdout);
    Ok(())
}

fn arguments() -> Outcome {
    let cases: [(&[&str], &str); 4] = [
        (&["--connection", "--format", "trace-event"], "--connection is for text and JSON"),
        (&["--connection", "--kind", "queued"], "cannot be used with"),
        (&["--kind", "accept"], "accept_error"),
        (&["--duration", "0s"], "a time of zero"),
    ];
    for (arguments, said) in cases {
        let output = run(&[&["trace"], arguments].concat())?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(2), "{arguments:?}: {}: {stderr}", output.status);
        ensure!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
    Ok(())
}
