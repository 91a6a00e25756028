//! `observer check`: what passes, what fails, and what becomes of the command.

mod action;
mod command;
mod files;
mod gate;
mod hangs;
mod readers;
mod roles;
mod sudo;
mod terminal;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    Outcome, Test,
    observer::{check_report, program, provider},
    role::ROLE,
    schema::parse_report,
};

pub use roles::play;

pub fn tests() -> Vec<Test> {
    [
        gate::tests(),
        hangs::tests(),
        command::tests(),
        sudo::tests(),
        files::tests(),
        readers::tests(),
        action::tests(),
        terminal::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A check that is to be run.
struct Check {
    command: Command,
    input: String,
    report: PathBuf,
    directory: tempfile::TempDir,
}

/// What came of a check.
struct Done {
    /// Exit status, as a shell has it.
    code: i32,
    stdout: String,
    stderr: String,
    /// The report of the window; `None` where none was written.
    report: Option<Value>,
    /// Where its files are.
    directory: tempfile::TempDir,
}

impl Check {
    /// With these arguments, estimates allowed: what is exact depends on the kernel.
    fn new(arguments: &[&str]) -> anyhow::Result<Self> {
        Self::strict(&[&["--allow-estimates"], arguments].concat())
    }

    /// With these arguments alone.
    fn strict(arguments: &[&str]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let report = directory.path().join("report.json");
        let mut command = Command::new(program());
        command.arg("check").args(arguments).arg("--report").arg(&report);
        for variable in
            ["GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "SUDO_UID", "SUDO_GID", "SUDO_USER"]
        {
            command.env_remove(variable);
        }
        if let Some(provider) = provider() {
            command.args(["--provider", &provider]);
        }
        Ok(Self { command, input: String::new(), report, directory })
    }

    /// A file in its directory.
    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Of this command.
    fn of(mut self, words: &[&str]) -> Self {
        self.command.arg("--").args(words);
        self
    }

    /// Of this program in a role.
    fn of_role(mut self, role: &str) -> anyhow::Result<Self> {
        self.command.arg("--").arg(std::env::current_exe()?).env(ROLE, role);
        Ok(self)
    }

    /// Of a server with its client, which makes so many connections.
    fn of_workload(mut self, strategy: &str, connections: u32) -> Self {
        let connections = connections.to_string();
        self.command.arg("--").arg(program());
        self.command.args(["workload", "--netns", "--workers", "8", "--strategy", strategy]);
        self.command.args(["--connections", &connections]);
        self.input = "go\nquit\n".to_owned();
        self
    }

    /// Runs it to its end.
    fn run(mut self) -> anyhow::Result<Done> {
        let command =
            self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("observer does not start")?;
        let mut input = child.stdin.take().context("no standard input")?;
        // A command that cannot be started reads nothing.
        let _closed = input.write_all(self.input.as_bytes());
        drop(input);
        self.done(child.wait_with_output()?)
    }

    fn done(self, output: Output) -> anyhow::Result<Done> {
        let code = output.status.code().with_context(|| format!("a signal: {output:?}"))?;
        let text = std::fs::read_to_string(&self.report).unwrap_or_default();
        let report = if text.is_empty() { None } else { Some(parse_report(text.trim_end())?) };
        if let Some(report) = &report {
            check_report(report)?;
        }
        Ok(Done {
            code,
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
            report,
            directory: self.directory,
        })
    }
}

impl Done {
    /// Fails unless it ended with this status and said these words on standard error.
    fn is(self, code: i32, words: &[&str]) -> anyhow::Result<Self> {
        ensure!(self.code == code, "exit status {}, not {code}: {}", self.code, self.stderr);
        self.said(words)
    }

    /// Fails unless it said these words on standard error, wherever lines end.
    fn said(self, words: &[&str]) -> anyhow::Result<Self> {
        let said = one_line(&self.stderr);
        for words in words {
            ensure!(said.contains(words), "nothing of {words:?}: {}", self.stderr);
        }
        Ok(self)
    }

    /// Port of the only listener.
    fn port(&self) -> anyhow::Result<u16> {
        let report = self.report.as_ref().context("no report")?;
        let listeners = report["listeners"].as_array().context("listeners")?;
        ensure!(listeners.len() == 1, "{} listeners: {report}", listeners.len());
        let port = listeners[0]["port"].as_u64().context("port")?;
        Ok(u16::try_from(port)?)
    }
}

/// A file of the project; `None` where only the test program is here.
fn project(file: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    path.exists().then_some(path)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Nothing to say.
fn well<T>(_: T) -> Outcome {
    Ok(())
}
