//! However it ends, the terminal is whole and nothing is left in the kernel.

use std::{
    collections::BTreeSet,
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    process::Command,
    thread,
    time::{Duration, Instant},
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

/// Longest that something may take before the test says that it hangs.
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
    #[cfg(debug_assertions)]
    for (name, thread) in [
        ("top::a_panic_leaves_the_terminal_whole", "main"),
        ("top::a_panic_of_a_thread_leaves_the_terminal_whole", "keys"),
    ] {
        tests.push(Test::new(name, Need::Kernel, move || panics(thread)));
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
fn panics(thread: &str) -> Outcome {
    let terminal =
        Terminal::open((80, 24), &[("OBSERVER_TEST_PANIC", thread), ("RUST_BACKTRACE", "0")])?;
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
    ensure!(screen.contains(&format!("a test wanted a panic in {thread}")), "{screen}");
    terminal.line("echo status $?")?;
    terminal.shows("status 101")?;
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

/// Stops the terminal's program, as it hangs behind a network that is gone, and fills what is on its way to it: nothing
/// that is written is taken any more.
fn hung(terminal: &Terminal, tty: &str) -> anyhow::Result<Stopped> {
    let stopped = Stopped::new(terminal.server()?)?;
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut full = OpenOptions::new().write(true).custom_flags(flags).open(tty)?;
    while full.write(&[b' '; 512]).is_ok() {}
    Ok(stopped)
}

/// Whether a terminal gives a shell its lines, and not each key.
fn is_cooked(tty: &str) -> anyhow::Result<bool> {
    let mode = Command::new("stty").args(["-a", "-F", tty]).output()?;
    ensure!(mode.status.success(), "{}", String::from_utf8_lossy(&mode.stderr));
    let mode = String::from_utf8(mode.stdout)?;
    Ok(mode.split_whitespace().any(|word| word == "icanon"))
}

fn stands_still() -> Outcome {
    let terminal = Terminal::open((80, 24), &[])?;
    // At its prompt the shell would take each key again.
    terminal.start_top(&format!("{}; sleep 600", live()))?;
    terminal.shows("LIVE")?;
    let pid = terminal.program()?;
    let programs = programs(pid)?;
    let tty = terminal.tty()?;
    let _stopped = hung(&terminal, &tty)?;
    // A frame is due each second.
    thread::sleep(Duration::from_millis(1_500));
    kill(Pid::from_raw(pid), Signal::SIGTERM)?;
    is_gone(pid, &programs)?;
    ensure!(is_cooked(&tty)?, "the terminal is still raw");
    Ok(())
}

/// The terminal hangs while it is taken: what was taken, which is its mode, is given back.
fn half() -> Outcome {
    let recording = recorded::real()?;
    let terminal = Terminal::open((80, 24), &[])?;
    let (tty, shell) = (terminal.tty()?, terminal.shell()?);
    let top = format!("{} top {}", program().display(), recording.at_its_end());
    terminal.line(&format!(
        "while [ ! -e {0}.go ]; do sleep 0.1; done; {top}; echo status $?",
        recording.path().display()
    ))?;
    let end = Instant::now() + PATIENCE;
    // At its prompt the shell takes each key, too.
    while !is_cooked(&tty)? {
        ensure!(Instant::now() < end, "the shell does not begin");
        thread::sleep(Duration::from_millis(20));
    }
    let stopped = hung(&terminal, &tty)?;
    std::fs::write(format!("{}.go", recording.path().display()), "")?;
    while is_cooked(&tty)? {
        ensure!(Instant::now() < end, "it never takes the terminal");
        thread::sleep(Duration::from_millis(20));
    }
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"))?;
    let pid: i32 = children.trim().parse()?;
    kill(Pid::from_raw(pid), Signal::SIGTERM)?;
    is_gone(pid, &BTreeSet::new())?;
    ensure!(is_cooked(&tty)?, "the terminal is still raw");
    drop(stopped);
    terminal.shows("status 1")?;
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
