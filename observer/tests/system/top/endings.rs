//! However it ends, the terminal is whole and nothing is left in the kernel.

use std::{
    fs::OpenOptions, io::Write as _, os::unix::fs::OpenOptionsExt as _, process::Command, thread,
    time::Duration,
};

use anyhow::ensure;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{recorded, tmux::Terminal};
use crate::{
    Need, Outcome, Test,
    gone::{is_gone, programs},
    observer::{program, provider},
};

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
    #[cfg(debug_assertions)]
    for (name, place, other) in [
        ("top::a_panic_leaves_the_terminal_whole", "main", "main"),
        ("top::a_panic_of_a_thread_leaves_the_terminal_whole", "keys", "keys"),
    ] {
        tests.push(Test::new(name, Need::Kernel, move || panics(place, other)));
    }
    tests.push(Test::new("top::taking_half_of_the_terminal_gives_it_back", Need::Nothing, half));
    tests.push(Test::new("top::ends_while_the_terminal_takes_nothing", Need::Kernel, stands_still));
    tests.push(Test::new("top::quitting_leaves_the_terminal_whole", Need::Kernel, || ends(None)));
    tests
}

/// Arguments of a live one.
fn live() -> String {
    provider().map(|provider| format!("--provider {provider}")).unwrap_or_default()
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

/// A panic that a test may ask for where observer is built with debug assertions, as these tests are then.
#[cfg(debug_assertions)]
fn panics(place: &str, thread: &str) -> Outcome {
    let terminal = Terminal::open((80, 24), &[("OBSERVER_TEST_PANIC", place)])?;
    terminal.start_top(&live())?;
    terminal.shows("LIVE")?;
    let pid = terminal.program()?;
    let programs = programs(pid)?;
    ensure!(!programs.is_empty(), "it holds no program");
    terminal.keys(&["Down"])?;
    is_gone(pid, &programs)?;
    let screen = terminal.until("a prompt", |screen| screen.contains("ready>"))?;
    let told = format!("thread '{thread}'");
    let is_told = |line: &str| line.starts_with(&told) && line.contains("panicked at");
    ensure!(screen.lines().any(is_told), "{screen}");
    ensure!(screen.contains(&format!("a test wanted a panic in {place}")), "{screen}");
    terminal.line("echo status $?")?;
    terminal.shows("status 101")?;
    terminal.is_whole()
}

/// Standard output is the terminal, but cannot be written to: raw mode was taken when that shows.
fn half() -> Outcome {
    let recording = recorded::real()?;
    let terminal = Terminal::open((80, 24), &[])?;
    let arguments = recording.at_its_end();
    terminal
        .line(&format!("{} top {arguments} 1</dev/tty; echo status $?", program().display()))?;
    let screen = terminal.shows("status 1")?;
    ensure!(screen.contains("cannot take the terminal"), "{screen}");
    terminal.is_whole()
}

fn hangs_up() -> Outcome {
    let terminal = Terminal::open((80, 24), &[])?;
    // A shell that is told nothing: the terminal itself goes.
    terminal.line(&format!("trap '' HUP; exec {} top {}", program().display(), live()))?;
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

/// A process that stands still until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn new(pid: i32) -> anyhow::Result<Self> {
        let stopped = Self(Pid::from_raw(pid));
        kill(stopped.0, Signal::SIGSTOP)?;
        Ok(stopped)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _gone = kill(self.0, Signal::SIGCONT);
    }
}

/// The terminal's program hangs, as one does behind a network that is gone: nothing that is written is taken.
fn stands_still() -> Outcome {
    let terminal = Terminal::open((80, 24), &[])?;
    terminal.start_top(&live())?;
    terminal.shows("LIVE")?;
    let pid = terminal.program()?;
    let programs = programs(pid)?;
    let tty = terminal.tty()?;
    let stopped = Stopped::new(terminal.server()?)?;
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut full = OpenOptions::new().write(true).custom_flags(flags).open(&tty)?;
    while full.write(&[b' '; 512]).is_ok() {}
    // A frame is due each second.
    thread::sleep(Duration::from_millis(1_500));
    kill(Pid::from_raw(pid), Signal::SIGTERM)?;
    is_gone(pid, &programs)?;
    let mode = Command::new("stty").args(["-a", "-F", &tty]).output()?;
    let mode = String::from_utf8(mode.stdout)?;
    ensure!(mode.split_whitespace().any(|word| word == "icanon"), "{mode}");
    drop(stopped);
    Ok(())
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
