//! Running other programs: quietly, as a question, or with their output kept for a failure.

use std::{
    io::{self, Read as _},
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// The standard output of a command that succeeds; `None` where it cannot run or fails.
pub(crate) fn ask(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a command to its end and returns all that it printed, both streams in their order.
pub(crate) fn capture(mut command: Command) -> Result<(ExitStatus, String)> {
    let shown = line(&command);
    let (mut reader, writer) = io::pipe().context("no pipe for a command's output")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("`{shown}` did not start"))?;
    // The command holds the pipe's writing ends; reading would not end before they are closed.
    drop(command);
    let mut output = Vec::new();
    reader.read_to_end(&mut output).with_context(|| format!("`{shown}`: lost its output"))?;
    let status = child.wait().with_context(|| format!("`{shown}`: lost its status"))?;
    Ok((status, String::from_utf8_lossy(&output).into_owned()))
}

/// Runs a command, and shows what it printed only where it fails.
pub(crate) fn quietly(command: Command) -> Result<()> {
    let shown = line(&command);
    let (status, output) = capture(command)?;
    if !status.success() {
        eprint!("{output}");
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// The command as a user would type it.
pub(crate) fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
