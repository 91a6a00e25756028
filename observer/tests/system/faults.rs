//! Bad input and bad surroundings: one sentence, the right exit status, nothing left behind.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;

use crate::{
    Need, Outcome, Test,
    observer::{Observer, PROGRAM, run},
    role::{Actor, connect},
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
    let program = directory.path().join("observer");
    fs::copy(PROGRAM, &program)?;
    Ok(Command::new(&program).args(arguments).uid(65_534).gid(65_534).output()?)
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
    // In a mount namespace of its own the type information is covered by an empty directory.
    let script = format!("mount -t tmpfs none /sys/kernel/btf && exec {PROGRAM} --duration 1s");
    let output = Command::new("unshare").args(["-m", "sh", "-c", &script]).output()?;
    one_sentence(&output, 4, &["type information", "CONFIG_DEBUG_INFO_BTF"])
}

fn no_such_pid() -> Outcome {
    let mut child = Command::new("true").spawn()?;
    child.wait()?;
    let pid = child.id().to_string();
    one_sentence(&run(&["--pid", &pid, "--duration", "1s"])?, 1, &[&pid, "no process"])
}

fn no_such_provider() -> Outcome {
    for provider in ["fentry", "kprobe"] {
        let output = run(&["--provider", provider, "--duration", "1s"])?;
        one_sentence(&output, 4, &["--provider tracepoint"])?;
    }
    let forced = run(&["--provider", "tracepoint", "--duration", "100ms"])?;
    ensure!(forced.status.success(), "{}", forced.status);
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

/// Ids of the tracing programs that are in the kernel under a name of ours.
fn our_programs() -> BTreeSet<u32> {
    aya::programs::loaded_programs()
        // One that is freed while it is looked at is gone.
        .filter_map(Result::ok)
        .filter(|one| matches!(one.name_as_str(), Some("data_ready" | "waking" | "syscall_exit")))
        .map(|program| program.id())
        .collect()
}

fn nothing_left() -> Outcome {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        // Programs of the test before may still be on their way out.
        let before = our_programs();
        let mut observer = Observer::json(&[])?;
        let ours: BTreeSet<u32> = our_programs().difference(&before).copied().collect();
        ensure!(ours.len() == 3, "{} programs are found while it runs, not 3", ours.len());
        let pid = observer.pid();
        observer.signal(signal)?;
        // Its output has to be read for it to end.
        drop(observer.take_stdout()?);
        observer.wait_status()?;
        // The kernel frees programs some time after the last descriptor is closed.
        let patience = Instant::now() + Duration::from_secs(30);
        while !our_programs().is_disjoint(&ours) {
            ensure!(Instant::now() < patience, "programs of {pid} are left after {signal}");
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}
