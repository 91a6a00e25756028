//! A child process whose lines are read as they come, and whose time is limited.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Once,
        atomic::{AtomicI32, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::process;

/// How often the child is looked at while it prints nothing.
const TICK: Duration = Duration::from_millis(200);

/// How much time the child has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// Before it is ended.
    pub(crate) run: Duration,
    /// To end once it was told to, and for output that still comes after its end.
    pub(crate) grace: Duration,
}

/// How the child ended.
#[derive(Debug)]
pub(crate) enum End {
    /// By itself.
    Status(ExitStatus),
    /// By us, with all of its process group.
    TimedOut,
}

/// Runs a command in a process group of its own, and gives each line of its standard output to
/// `read`. The group, and nothing else, is ended when the time is over or when we are told to end.
pub(crate) fn stream(
    mut command: Command,
    limit: Limit,
    mut read: impl FnMut(&str),
) -> Result<End> {
    let shown = process::line(&command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut child = command.spawn().with_context(|| format!("`{shown}` did not start"))?;
    let group = Pid::from_raw(i32::try_from(child.id()).context("a process id out of range")?);
    GROUP.store(group.as_raw(), Ordering::Relaxed);
    // The terminal's Ctrl-C does not reach a process group in the background. A process has one handler.
    static HANDLED: Once = Once::new();
    let mut handled = Ok(());
    HANDLED.call_once(|| handled = ctrlc::set_handler(end_by_signal));
    handled.context("signals cannot be handled")?;

    let stdout = child.stdout.take().context("a child without its standard output")?;
    let (sender, lines) = mpsc::channel();
    // Not joined: a process that outlives the child may keep the pipe open.
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });

    let deadline = Instant::now() + limit.run;
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => read(&line),
            Err(RecvTimeoutError::Timeout) => {}
            // Its output is closed, but it may still have something to do.
            Err(RecvTimeoutError::Disconnected) => thread::sleep(TICK / 4),
        }
        if ended.is_none() {
            ended = child.try_wait()?.map(|status| (status, Instant::now()));
        }
        if let Some((status, at)) = ended
            && (closed(&lines, &mut read) || at.elapsed() > limit.grace)
        {
            return Ok(End::Status(status));
        }
        if Instant::now() > deadline {
            end_group(&mut child, group, limit.grace)?;
            return Ok(End::TimedOut);
        }
    }
}

/// The group of the child that runs.
static GROUP: AtomicI32 = AtomicI32::new(0);

fn end_by_signal() {
    // Only fails where the group has ended already.
    let _: nix::Result<()> = killpg(Pid::from_raw(GROUP.load(Ordering::Relaxed)), Signal::SIGTERM);
    std::process::exit(130);
}

/// Reads what is there; whether nothing can follow.
fn closed(lines: &mpsc::Receiver<String>, read: &mut impl FnMut(&str)) -> bool {
    loop {
        match lines.try_recv() {
            Ok(line) => read(&line),
            Err(error) => return error == mpsc::TryRecvError::Disconnected,
        }
    }
}

/// Politely first, so that tests put back what they changed.
fn end_group(child: &mut Child, group: Pid, grace: Duration) -> Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        // Only fails where the group has ended already.
        let _: nix::Result<()> = killpg(group, signal);
        let told = Instant::now();
        while told.elapsed() < grace && killpg(group, None).is_ok() {
            child.try_wait()?;
            thread::sleep(TICK / 4);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test, because a process has one handler of signals.
    #[test]
    fn lines_come_and_time_is_limited() {
        let mut shell = Command::new("sh");
        // The grandchild ignores the polite signal, and must be ended all the same.
        shell.args(["-c", "echo one; (trap '' TERM; sleep 60) & echo $!; sleep 60"]);
        let mut lines = Vec::new();
        let limit = Limit { run: Duration::from_secs(1), grace: Duration::from_millis(300) };
        let end = stream(shell, limit, |line| lines.push(line.to_owned()));
        assert!(matches!(end, Ok(End::TimedOut)), "{end:?}");
        assert_eq!(lines[0], "one");
        let grandchild = Pid::from_raw(lines[1].parse().expect("a process id"));
        // It may be a zombie that waits for init, which is as good.
        let stat = std::fs::read_to_string(format!("/proc/{grandchild}/stat"));
        assert!(stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")));
    }
}
