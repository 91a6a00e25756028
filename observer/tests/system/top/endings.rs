//! However it ends, the terminal is whole and nothing is left in the kernel.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::{recorded, tmux::Terminal};
use crate::{
    Need, Outcome, Test,
    observer::{provider, run},
};

/// Longest that an end may take before the test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::new("top::suspends_and_goes_on", Need::Nothing, suspends),
        Test::new("top::ends_with_the_terminal", Need::Kernel, terminal_killed),
        Test::new("top::hangs_up", Need::Kernel, hangs_up),
    ];
    for (name, signal) in [
        ("top::sigterm_leaves_the_terminal_whole", Signal::SIGTERM),
        ("top::sigint_leaves_the_terminal_whole", Signal::SIGINT),
        ("top::sighup_leaves_the_terminal_whole", Signal::SIGHUP),
        ("top::sigquit_leaves_the_terminal_whole", Signal::SIGQUIT),
    ] {
        tests.push(Test::new(name, Need::Kernel, move || ends(Some(signal))));
    }
    tests.push(Test::new("top::quitting_leaves_the_terminal_whole", Need::Kernel, || ends(None)));
    tests
}

/// Arguments of a live one.
fn live() -> String {
    provider().map(|provider| format!("--provider {provider}")).unwrap_or_default()
}

/// Numbers of the kernel programs that a process holds.
fn programs(pid: i32) -> anyhow::Result<BTreeSet<u64>> {
    let mut programs = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let ids = text.lines().filter_map(|line| line.strip_prefix("prog_id:"));
        programs.extend(ids.filter_map(|id| id.trim().parse::<u64>().ok()));
    }
    Ok(programs)
}

/// Waits until the process is gone and none of its programs is loaded.
fn is_gone(pid: i32, programs: &BTreeSet<u64>) -> Outcome {
    let end = Instant::now() + PATIENCE;
    loop {
        let there = Path::new(&format!("/proc/{pid}")).exists();
        let output = run(&["inventory"])?;
        let text = String::from_utf8(output.stdout)?;
        let items =
            text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
        let left: Vec<u64> = items
            .iter()
            .filter(|item| item["what"] == "program")
            .filter_map(|item| item["id"].as_u64())
            .filter(|id| programs.contains(id))
            .collect();
        if !there && left.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("process {pid} is there: {there}; programs left: {left:?}");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Ends it by a signal, or by its key.
fn ends(signal: Option<Signal>) -> Outcome {
    let terminal = Terminal::open((80, 24), &[])?;
    terminal.start_top(&live())?;
    terminal.shows("LIVE")?;
    let pid = terminal.program()?;
    let programs = programs(pid)?;
    ensure!(!programs.is_empty(), "it holds no program");
    match signal {
        Some(signal) => kill(Pid::from_raw(pid), signal)?,
        None => terminal.keys(&["q"])?,
    }
    is_gone(pid, &programs)?;
    let screen = terminal.until("a prompt", |screen| screen.contains("ready>"))?;
    // Whoever hung up reads nothing any more.
    if signal != Some(Signal::SIGHUP) {
        ensure!(screen.contains("observer top watched ") && screen.contains(" for "), "{screen}");
    }
    terminal.is_whole()
}

fn hangs_up() -> Outcome {
    let terminal = Terminal::open((80, 24), &[])?;
    // A shell that is told nothing: the terminal itself goes.
    terminal.line(&format!(
        "trap '' HUP; exec {} top {}",
        crate::observer::program().display(),
        live()
    ))?;
    terminal.shows("LIVE")?;
    let pid = terminal.shell()?;
    let programs = programs(pid)?;
    drop(terminal);
    is_gone(pid, &programs)
}

fn terminal_killed() -> Outcome {
    let terminal = Terminal::open((80, 24), &[])?;
    terminal.start_top(&live())?;
    terminal.shows("LIVE")?;
    let pid = terminal.program()?;
    let programs = programs(pid)?;
    ensure!(!programs.is_empty(), "it holds no program");
    kill(Pid::from_raw(terminal.server()?), Signal::SIGKILL)?;
    is_gone(pid, &programs)
}

fn suspends() -> Outcome {
    let recording = recorded::real()?;
    let terminal = Terminal::top((80, 24), &[], &recording.at_its_end())?;
    let before = terminal.press("Down", "── *:8080")?;
    for by_signal in [false, true] {
        match by_signal {
            true => kill(Pid::from_raw(terminal.program()?), Signal::SIGTSTP)?,
            false => terminal.keys(&["C-z"])?,
        }
        terminal.shows("Stopped")?;
        terminal.is_whole()?;
        terminal.line("fg")?;
        terminal.until("screen as it was", |screen| screen == before)?;
    }
    terminal.press("q", "were shown")?;
    terminal.is_whole()
}
