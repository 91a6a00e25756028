//! The command: its end, its signals, its user, and that nothing of it is left.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::{Pid, User},
};

use super::{Check, Done, one_line, well};
use crate::{Need, Outcome, Test};

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("check_command::its_status_is_passed_through_and_wins", Need::Kernel, status),
        Test::new("check_command::one_that_cannot_be_started_is_said", Need::Kernel, not_started),
        Test::new(
            "check_command::its_standard_streams_and_environment_are_its_own",
            Need::Kernel,
            streams,
        ),
        Test::new(
            "check_command::its_end_is_seen_where_children_are_ignored",
            Need::Kernel,
            ignored,
        ),
        Test::new("check_command::daemons_are_followed_to_their_end", Need::Kernel, daemon),
        Test::new("check_command::at_the_end_of_time_all_is_ended", Need::Kernel, time_over),
        Test::new("check_command::what_ignores_sigterm_is_killed", Need::Kernel, ignores),
        Test::new("check_command::a_crash_at_the_end_is_a_failure", Need::Kernel, crash),
        Test::new("check_command::signals_are_passed_on", Need::Kernel, signals),
        Test::new("check_command::a_second_signal_ends_the_window", Need::Kernel, twice),
        Test::new("check_command::one_signal_ends_daemons", Need::Kernel, stop_daemons),
        Test::new("check_command::it_does_not_outlive_observer", Need::Kernel, killed),
        Test::new("check_command::it_runs_as_who_called_sudo", Need::Kernel, sudo),
        Test::new("check_command::no_command_runs_where_observer_cannot", Need::Root, refused),
    ]
}

const PASSES: [&str; 2] = ["--min-accepted", "1"];
const BREAKS: [&str; 2] = ["--min-accepted", "1000"];

/// As a supervisor starts observer that takes no leave of its children: the signal of their end is ignored.
fn ignored() -> Outcome {
    let mut check =
        Check::new(&[&PASSES[..], &["--duration", "20s"]].concat())?.of(&["sh", "-c", "exit 7"]);
    // Debian's sh does not ignore that signal when it is told to.
    let mut shell = Command::new("bash");
    shell.args(["-c", "trap '' CHLD; exec \"$@\"", "bash"]);
    shell.arg(check.command.get_program()).args(check.command.get_args());
    check.command = shell;
    check.run()?.is(7, &["exited with status 7"]).map(well)?
}

fn status() -> Outcome {
    for (role, code, words) in
        [("check-fails", 5, "exited with status 5"), ("check-dies", 134, "was ended by SIGABRT")]
    {
        let failed = format!("the command failed (exit status {code})");
        let done = Check::new(&PASSES)?.of_role(role)?.run()?;
        done.is(code, &["check failed", &failed, "the limit holds", words])?;
        let done = Check::new(&BREAKS)?.of_role(role)?.run()?;
        done.is(code, &[&failed, "the limit is broken", "broken --min-accepted 1000: 3"])?;
    }
    Check::new(&BREAKS)?
        .of_role("check-connects-2")?
        .run()?
        .is(3, &["exited with status 0"])
        .map(well)?
}

fn not_started() -> Outcome {
    for (word, code, why) in [
        ("/nonexistent", 127, "No such file"),
        ("no-such-command-anywhere", 127, "No such file"),
        ("/etc/passwd", 126, "Permission denied"),
        ("/", 126, "Permission denied"),
    ] {
        let done = Check::new(&PASSES)?.of(&[word]).run()?;
        let told = format!("check failed: {word} cannot be started: {why}");
        let done = done.is(code, &[&told])?;
        ensure!(!done.stderr.contains("broken"), "limits of nothing: {}", done.stderr);
    }
    Ok(())
}

fn streams() -> Outcome {
    let script =
        "cat; echo to-stderr >&2; echo $KEPT; trap '' PIPE; pwd; grep SigBlk /proc/self/status";
    let mut check = Check::new(&["--min-accepted", "0"])?.of(&["/bin/sh", "-c", script]);
    check.input = "from standard input\n".to_owned();
    check.command.env("KEPT", "kept").current_dir("/usr");
    let done = check.run()?.is(0, &["to-stderr", "check passed"])?;
    let expected = "from standard input\nkept\n/usr\nSigBlk:\t0000000000000000\n";
    ensure!(done.stdout == expected, "{:?}", done.stdout);
    Ok(())
}

fn daemon() -> Outcome {
    let done = Check::new(&["--min-accepted", "7"])?.of_role("check-daemon")?.run()?;
    done.is(
        0,
        &["one process that it started goes on", "exited with status 0", "ok --min-accepted 7: 7"],
    )
    .map(well)?
}

fn time_over() -> Outcome {
    let time = ["--min-accepted", "5", "--duration", "1500ms"];
    let (done, pids) = Running::start(Check::new(&time)?.of_role("check-stays")?)?.done()?;
    done.is(0, &["still ran after 1.5 s: observer ended it, and it was ended by SIGTERM"])?;
    all_gone(&pids)?;
    let (done, pids) = Running::start(Check::new(&time)?.of_role("check-daemon-stays")?)?.done()?;
    done.is(0, &["exited with status 0", "check passed"])?;
    all_gone(&pids)
}

fn ignores() -> Outcome {
    let time = ["--min-accepted", "5", "--duration", "1s"];
    let (done, pids) = Running::start(Check::new(&time)?.of_role("check-ignores")?)?.done()?;
    done.is(0, &["observer ended it, and it was ended by SIGKILL"])?;
    all_gone(&pids)?;
    let mut running = Running::start(Check::new(&time)?.of_role("check-children-ignore")?)?;
    for _ in 0..4 {
        running.ready()?;
    }
    let (done, pids) = running.done()?;
    ensure!(pids.len() == 5, "{pids:?}");
    done.is(0, &["was ended by SIGTERM"])?;
    all_gone(&pids)
}

fn crash() -> Outcome {
    let time = ["--min-accepted", "1", "--duration", "1s"];
    let done = Check::new(&time)?.of_role("check-crashes-at-the-end")?.run()?;
    done.is(134, &["still ran after 1.0 s", "was ended by SIGABRT"]).map(well)?
}

fn signals() -> Outcome {
    let mut running = Running::start(Check::new(&PASSES)?.of_role("check-signals")?)?;
    for signal in [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGTERM] {
        running.signal(signal)?;
        let got = running.line()?;
        ensure!(got == signal.as_str(), "{got:?}, not {signal}");
    }
    let (done, _) = running.done()?;
    done.is(0, &["exited with status 0", "check passed"]).map(well)?
}

fn twice() -> Outcome {
    let mut running = Running::start(Check::new(&PASSES)?.of_role("check-signals")?)?;
    running.signal(Signal::SIGINT)?;
    let got = running.line()?;
    ensure!(got == "SIGINT", "{got:?}");
    // Signals that come at once are one wish.
    sleep(Duration::from_millis(600));
    running.signal(Signal::SIGINT)?;
    // It is ended by SIGTERM, as at the end of time.
    let got = running.line()?;
    ensure!(got == "SIGTERM", "{got:?}");
    let (done, _) = running.done()?;
    done.is(0, &["still ran when it was asked for the end", "exited with status 0"]).map(well)?
}

fn stop_daemons() -> Outcome {
    let running = Running::start(Check::new(&PASSES)?.of_role("check-daemon-stays")?)?;
    running.signal(Signal::SIGTERM)?;
    let (done, pids) = running.done()?;
    done.is(0, &["exited with status 0", "check passed"])?;
    all_gone(&pids)
}

fn killed() -> Outcome {
    for role in ["check-stays", "check-daemon-stays", "check-ignores"] {
        let mut running = Running::start(Check::new(&PASSES)?.of_role(role)?)?;
        running.child.kill()?;
        running.child.wait()?;
        all_gone(&running.pids)?;
    }
    Ok(())
}

fn sudo() -> Outcome {
    let nobody = User::from_name("nobody")?.context("nobody is not known here")?;
    let script = "id -u; id -g; id -G; echo $HOME $USER $LOGNAME $SHELL $KEPT $SUDO_COMMAND; \
                  grep -E 'NoNewPrivs|CapEff' /proc/self/status; cat";
    let mut check = Check::new(&["--min-accepted", "0"])?.of(&["/bin/sh", "-c", script]);
    check.input = "input\n".to_owned();
    let command = &mut check.command;
    command.env("SUDO_UID", nobody.uid.to_string()).env("SUDO_GID", nobody.gid.to_string());
    command.env("SUDO_USER", "nobody").env("SUDO_COMMAND", "observer").env("KEPT", "kept");
    command.env("HOME", "/root").env("USER", "root").env("LOGNAME", "root").env("SHELL", "/bin/sh");
    let user = format!(" as nobody (uid {}): ", nobody.uid);
    let done = check.run()?.is(0, &[&user])?;
    let expected = format!(
        "{} {gid} {gid} {} nobody nobody {} kept observer CapEff: 0000000000000000 NoNewPrivs: 0 input",
        nobody.uid,
        nobody.dir.display(),
        nobody.shell.display(),
        gid = nobody.gid,
    );
    ensure!(one_line(&done.stdout) == one_line(&expected), "{}", done.stdout);
    // It is ended all the same.
    let mut check = Check::new(&["--min-accepted", "0", "--duration", "1s"])?;
    check.command.env("SUDO_UID", nobody.uid.to_string()).env("SUDO_GID", nobody.gid.to_string());
    let script = "echo ready $$; exec sleep 3600";
    let (done, pids) = Running::start(check.of(&["/bin/sh", "-c", script]))?.done()?;
    done.is(0, &["was ended by SIGTERM"])?;
    all_gone(&pids)?;
    // Nonsense does not run it as root.
    let mut check = Check::new(&["--min-accepted", "0"])?.of(&["/bin/sh", "-c", "echo ran"]);
    check.command.env("SUDO_UID", "nobody");
    let done = check.run()?.is(1, &["SUDO_UID is no id"])?;
    ensure!(done.stdout.is_empty(), "it ran: {}", done.stdout);
    Ok(())
}

/// There is no room in the kernel maps for so many listeners.
fn refused() -> Outcome {
    let check =
        Check::new(&["--min-accepted", "0", "--map-memory", "1", "--max-listeners", "4000000"])?;
    let done = check.of(&["/bin/sh", "-c", "echo ran"]).run()?;
    ensure!(done.code != 0 && done.stdout.is_empty(), "it ran: {} {}", done.code, done.stderr);
    Ok(())
}

/// A check whose command says `ready` and its process id.
struct Running {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    check: Check,
    /// Processes that said that they are ready.
    pids: Vec<i32>,
}

impl Running {
    /// Starts it, and waits until its command is ready.
    fn start(mut check: Check) -> anyhow::Result<Self> {
        let command =
            check.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let output = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut running = Self { child, output, check, pids: Vec::new() };
        running.ready()?;
        Ok(running)
    }

    /// Waits until a process says that it is ready.
    fn ready(&mut self) -> Outcome {
        let line = self.line()?;
        let rest = line.strip_prefix("ready").with_context(|| format!("not ready: {line:?}"))?;
        self.pids.extend(rest.trim().parse::<i32>());
        Ok(())
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            let _over = self.child.kill();
            bail!("the command says nothing more");
        }
        Ok(line.trim_end().to_owned())
    }

    /// Sends observer a signal, and nobody else.
    fn signal(&self, signal: Signal) -> Outcome {
        Ok(kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)?)
    }

    /// Waits for its end.
    fn done(self) -> anyhow::Result<(Done, Vec<i32>)> {
        let output = self.child.wait_with_output()?;
        Ok((self.check.done(output)?, self.pids))
    }
}

/// Longest that processes may take to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until none of these processes is there.
fn all_gone(pids: &[i32]) -> Outcome {
    ensure!(!pids.is_empty(), "no process");
    let begun = Instant::now();
    for pid in pids {
        while kill(Pid::from_raw(*pid), None) != Err(Errno::ESRCH) {
            ensure!(begun.elapsed() < PATIENCE, "process {pid} is left");
            sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}
