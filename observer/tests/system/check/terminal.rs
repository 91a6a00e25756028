//! A command on a terminal: it stays in the foreground, and gets what is typed.

use std::process::{Command, Output};

use anyhow::ensure;

use crate::{
    Need, Outcome, Test,
    observer::{program, provider},
};

pub fn tests() -> Vec<Test> {
    vec![Test::new("check_command::a_terminal_is_the_commands", Need::Also(lacks), terminal)]
}

pub fn lacks() -> Option<String> {
    let there = Command::new("python3").args(["-c", "import pty"]).output();
    (!there.is_ok_and(|output| output.status.success()))
        .then(|| "python3 is not installed".to_owned())
}

/// Runs its arguments on a terminal of their own; types a line and Ctrl-C to them; prints what they showed, and
/// how they ended.
pub const DRIVER: &str = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
shown = b""
typed = 0
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
    if typed == 0 and b"what?" in shown:
        os.write(terminal, b"typed line\n")
        typed = 1
    if typed == 1 and b"got typed line" in shown:
        os.write(terminal, b"\x03")
        typed = 2
print(shown.decode(), "status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// A command that reads from the terminal and takes Ctrl-C, which only who is in the foreground can.
pub const COMMAND: &str = "test -t 0 && test -t 1 && test -t 2 && echo what?; read line; \
                           trap 'echo interrupted; exit 6' INT; echo got $line; while :; do sleep 0.1; done";

fn terminal() -> Outcome {
    let mut command = Command::new("python3");
    command.args(["-c", DRIVER]).arg(program()).args(["check", "--min-accepted", "0"]);
    if let Some(provider) = provider() {
        command.args(["--provider", &provider]);
    }
    has_its_terminal(&command.args(["--", "/bin/sh", "-c", COMMAND]).output()?)
}

/// What the driver printed of a check of [`COMMAND`] says that this got the line and one Ctrl-C.
pub fn has_its_terminal(output: &Output) -> Outcome {
    let shown = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for words in ["got typed line", "interrupted", "the command failed (exit status 6)", "status 6"]
    {
        ensure!(shown.contains(words), "nothing of {words:?}: {shown}");
    }
    ensure!(shown.matches("interrupted").count() == 1, "twice: {shown}");
    Ok(())
}
