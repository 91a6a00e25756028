//! Building observer and becoming it.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use crate::{
    ownership,
    process::{self, is_root, quoted},
    workspace::Workspace,
};
use anyhow::{Context as _, Result, bail};

/// What works without loading kernel programs.
const UNPRIVILEGED: [&str; 6] = ["completions", "doctor", "help", "listeners", "man", "report"];

/// What prints and ends, wherever it stands.
const PRINTING: [&str; 4] = ["--help", "--version", "-V", "-h"];

/// Builds observer in release mode and returns where it is.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--package", "observer"]);
    let status =
        cargo.status().with_context(|| format!("`{}` did not start", process::line(&cargo)))?;
    if !status.success() {
        bail!("observer was not built: Cargo's messages above say why");
    }
    Ok(workspace.target().join("release/observer"))
}

/// Builds observer and becomes it, through sudo where it must load kernel programs and we are not
/// root. Returns only where that fails.
pub(crate) fn run(workspace: &Workspace, mut args: Vec<String>) -> Result<ExitCode> {
    let binary = build(workspace)?;
    if args.is_empty() {
        args.push("demo".to_owned());
    }
    let mut command = if is_root() || !needs_root(&args) {
        Command::new(&binary)
    } else {
        let Some(sudo) = process::which("sudo") else {
            bail!(
                "observer is built, needs root because it loads kernel programs, and sudo is not here; as root, type\n    {}",
                as_typed(&binary, &args)
            );
        };
        eprintln!("run: through sudo, because observer loads kernel programs");
        let mut command = Command::new(sudo);
        command.arg("--").arg(&binary);
        command
    };
    // We do not come back.
    ownership::give_back(workspace);
    // In the caller's directory and with its signals: paths in ARGS and the exit code are then
    // what they would be without us.
    let error = command.args(args).exec();
    Err(error).with_context(|| format!("{} did not start", process::line(&command)))
}

fn as_typed(binary: &Path, args: &[String]) -> String {
    let words = std::iter::once(binary.to_string_lossy().into_owned()).chain(args.iter().cloned());
    words.map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

/// Whether observer will load kernel programs with these arguments.
fn needs_root(args: &[String]) -> bool {
    let unprivileged = args.first().is_some_and(|first| UNPRIVILEGED.contains(&first.as_str()));
    !unprivileged && !args.iter().any(|arg| PRINTING.contains(&arg.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn watching_and_the_demo_need_root() {
        for line in ["", "demo", "--duration 8s", "demo --strategy exclusive", "--comm man"] {
            assert!(needs_root(&words(line)), "{line}");
        }
    }

    #[test]
    fn what_is_to_be_typed_is_what_was_meant() {
        let args = ["demo", "--comm", "my server"].map(str::to_owned);
        let typed = as_typed("/a/target/release/observer".as_ref(), &args);
        assert_eq!(typed, "/a/target/release/observer demo --comm 'my server'");
    }

    #[test]
    fn reading_commands_do_not() {
        for line in ["doctor", "listeners --port 80", "man", "completions bash", "report x.json"] {
            assert!(!needs_root(&words(line)), "{line}");
        }
        for line in ["--help", "-V", "demo --help"] {
            assert!(!needs_root(&words(line)), "{line}");
        }
    }
}
