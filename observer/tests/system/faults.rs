//! Bad input and bad surroundings: one sentence, the right exit status, nothing left behind.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use aya::programs::loaded_programs;
use nix::sys::signal::Signal;

use crate::{
    Need, Outcome, Skip, Test,
    observer::{Observer, program, provider, run},
    role::{Actor, as_role, connect},
};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("faults::bad_usage_is_2", Need::Nothing, bad_usage),
        Test::new("faults::without_root_the_capabilities_are_named", Need::Root, not_root),
        Test::new("faults::without_btf_it_is_not_possible", Need::Root, no_btf),
        Test::new("faults::a_pid_that_is_not_there", Need::Kernel, no_such_pid),
        Test::new("faults::a_provider_that_is_not_there", Need::Kernel, no_such_provider),
        Test::new("faults::a_port_that_nobody_listens_on", Need::Kernel, nobody_listens),
        Test::new("faults::sigterm_prints_the_total", Need::Kernel, sigterm),
        Test::new("faults::nothing_is_left_in_the_kernel", Need::Kernel, nothing_left),
    ]
}

/// One line on standard error, which names what it must.
fn one_sentence(output: &Output, code: i32, words: &[&str]) -> Outcome {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(code), "{} instead of {code}: {text}", output.status);
    ensure!(text.lines().count() == 1, "not one sentence: {text}");
    for word in words {
        ensure!(text.contains(word), "{word:?} is not in {text:?}");
    }
    ensure!(output.stdout.is_empty(), "something was printed all the same");
    Ok(())
}

fn bad_usage() -> Outcome {
    for arguments in [
        &["--interval", "0"][..],
        &["--interval", "0s"],
        &["--duration", "soon"],
        &["--duration", "-5s"],
        &["--pid", "0"],
        &["--pid", "-1"],
        &["--pid", "nginx"],
        &["--port", "0"],
        &["--port", "65536"],
        &["--format", "xml"],
        &["--provider", "magic"],
        &["--no-such-flag"],
        &["no-such-command"],
        &["demo", "--workers", "0"],
        &["demo", "--strategy", "hope"],
    ] {
        let output = run(arguments)?;
        ensure!(output.status.code() == Some(2), "{arguments:?}: {}", output.status);
        ensure!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
    Ok(())
}

/// The program where anybody may run it.
fn as_nobody(arguments: &[&str]) -> anyhow::Result<Output> {
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let copy = directory.path().join("observer");
    fs::copy(program(), &copy)?;
    Ok(Command::new(&copy).args(arguments).uid(65_534).gid(65_534).output()?)
}

fn not_root() -> Outcome {
    one_sentence(&as_nobody(&["--duration", "1s"])?, 4, &["CAP_BPF", "CAP_PERFMON", "sudo"])?;
    let doctor = as_nobody(&["doctor"])?;
    ensure!(doctor.status.code() == Some(4), "doctor: {}", doctor.status);
    let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
    ensure!(text.contains("CAP_BPF"), "doctor: {text}");
    let demo = as_nobody(&["demo", "--connections", "1"])?;
    ensure!(demo.status.code() == Some(4), "demo: {demo:?}");
    Ok(())
}

fn no_btf() -> Outcome {
    // The fifth field of a line is where it is mounted, seen from this process's root.
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    if !mounts.lines().any(|line| line.split(' ').nth(4) == Some("/")) {
        let reason = "/ is no mount point, so that what is mounted would show elsewhere";
        return Err(Skip(reason.to_owned()).into());
    }
    let output = as_role("without-btf")?.output()?;
    one_sentence(&output, 4, &["type information", "CONFIG_DEBUG_INFO_BTF"])
}

fn no_such_pid() -> Outcome {
    let mut child = Command::new(program()).arg("--version").stdout(Stdio::null()).spawn()?;
    child.wait()?;
    let pid = child.id().to_string();
    one_sentence(&run(&["--pid", &pid, "--duration", "1s"])?, 1, &[&pid, "no process"])
}

fn no_such_provider() -> Outcome {
    let mut there = Vec::new();
    for provider in ["fentry", "kprobe", "tracepoint"] {
        let output = run(&["--provider", provider, "--duration", "100ms"])?;
        if output.status.success() {
            there.push(provider);
        } else {
            one_sentence(&output, 4, &["provider", "observer"])?;
        }
    }
    ensure!(!there.is_empty(), "no provider can be forced, though observer can run here");
    if let Some(asked) = provider().filter(|asked| asked != "auto") {
        ensure!(there.contains(&asked.as_str()), "{asked} cannot be forced: {there:?} can");
    }
    Ok(())
}

fn nobody_listens() -> Outcome {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.local_addr()?.port().to_string()
    };
    let output = run(&["--port", &port, "--duration", "200ms"])?;
    ensure!(output.status.success(), "{}", output.status);
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.contains(&format!("no listener matched --port {port}")), "{text}");
    let report = Observer::json(&["--port", &port, "--duration", "200ms"])?.wait_total()?;
    ensure!(report["listeners"].as_array().is_some_and(Vec::is_empty), "{report}");
    Ok(())
}

fn sigterm() -> Outcome {
    let mut actor = Actor::start("listen")?;
    let port = actor.port()?;
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let observer = Observer::json(&["--port", &port.to_string()])?;
        connect(port)?;
        observer.signal(signal)?;
        let reports = observer.wait()?.reports()?;
        let total = reports.last().context("no total")?;
        ensure!(total["window"]["kind"] == "total", "{signal}: {total}");
        ensure!(total["listeners"][0]["accepted"] == 1, "{signal}: {total}");
    }
    Ok(())
}

/// Ids of the programs in the kernel that are of the kinds that observer loads.
fn tracing_programs() -> BTreeSet<u32> {
    // kprobe, tracepoint, raw tracepoint and tracing, in include/uapi/linux/bpf.h.
    const TRACING: [u32; 4] = [2, 5, 17, 26];
    loaded_programs()
        // One that is freed while it is looked at is gone.
        .filter_map(Result::ok)
        .filter(|one| TRACING.contains(&(one.program_type() as u32)))
        .map(|program| program.id())
        .collect()
}

fn nothing_left() -> Outcome {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        // Programs of the test before may still be on their way out.
        let before = tracing_programs();
        let mut observer = Observer::json(&[])?;
        let ours: BTreeSet<u32> = tracing_programs().difference(&before).copied().collect();
        ensure!(ours.len() >= 3, "{} programs are found while it runs", ours.len());
        let pid = observer.pid();
        observer.signal(signal)?;
        // Its output has to be read for it to end.
        drop(observer.take_stdout()?);
        observer.wait_status()?;
        // The kernel frees programs some time after the last descriptor is closed.
        let patience = Instant::now() + Duration::from_secs(30);
        while !tracing_programs().is_disjoint(&ours) {
            ensure!(Instant::now() < patience, "programs of {pid} are left after {signal}");
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}
