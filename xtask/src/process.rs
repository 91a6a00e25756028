//! Running other programs: quietly, as a question, or with their output kept for a failure.

use std::{
    env, fs,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
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

/// A word as a shell is given it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=/.,:+@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A program by its name on PATH.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        fs::metadata(path)
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(program)).find(is_program)
}

/// Whether we are root. The kernel gives this directory to the user whose rights we have.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|directory| directory.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_run_is_a_program() {
        assert!(which("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(which("etc"), None);
        assert_eq!(which("../etc/passwd"), None, "no program");
        assert_eq!(is_root(), ask(Command::new("id").arg("-u")).as_deref() == Some("0"));
    }

    #[test]
    fn a_shell_reads_what_was_quoted() {
        for word in ["plain", "", "two words", "it's", "$HOME", "a;b", "--port=80", "*", "é"] {
            let mut sh = Command::new("sh");
            let said = sh.args(["-c", &format!("printf %s {}", quoted(word))]).output();
            assert_eq!(said.expect("sh runs").stdout, word.as_bytes(), "{word}");
        }
        assert_eq!(quoted("--port=80"), "--port=80");
    }
}
