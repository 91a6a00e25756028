//! `deploy/`: each file as the tool that reads it sees it, and what Prometheus makes of it for real servers.
//!
//! `cargo xtask test` unpacks the tools from Debian's packages, and installs those of Python; one that is not here is a
//! skip.

mod dashboard;
mod image;
mod kubernetes;
mod prometheus;
mod recorded;
mod release;
mod rules;
mod scene;
mod soak;
mod units;
mod version;

use std::{
    path::PathBuf,
    process::{Command, Output},
};

pub use scene::play;

use anyhow::{Context as _, ensure};

use crate::{Outcome, Skip, Test, servers::program::Program};

pub fn tests() -> Vec<Test> {
    let all = [
        units::tests(),
        kubernetes::tests(),
        rules::tests(),
        image::tests(),
        dashboard::tests(),
        release::tests(),
        version::tests(),
        soak::tests(),
    ];
    all.into_iter().flatten().collect()
}

/// A file or directory of the repository, such as `deploy/systemd`.
fn place(path: &str) -> anyhow::Result<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    if !root.join("deploy").is_dir() {
        // The tests may run where the sources are not.
        return Err(Skip("the sources of deploy/ are not here".to_owned()).into());
    }
    root.join(path).canonicalize().with_context(|| format!("no {path}"))
}

/// The text of a file of the repository.
fn text(path: &str) -> anyhow::Result<String> {
    let place = place(path)?;
    std::fs::read_to_string(&place).with_context(|| format!("cannot read {}", place.display()))
}

/// A program of a package of Debian, which is installed or unpacked.
fn debian(package: &str, name: &str) -> anyhow::Result<Command> {
    let program = Program::find(package, name);
    let lacks = || Skip(Program::lacks(package, name).unwrap_or_default());
    Ok(program.ok_or_else(lacks)?.command())
}

/// Runs a tool to its end, which must be a success. Returns both of its streams as one text.
fn succeeds(mut command: Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{command:?} does not start"))?;
    let said = said(&output);
    ensure!(output.status.success(), "{command:?} ended with {}:\n{said}", output.status);
    Ok(said)
}

/// What a tool printed.
fn said(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams.map(|stream| String::from_utf8_lossy(stream).into_owned()).concat()
}

/// Whether the heading that a link leads to is on its page: the fragment is made as forges make it.
fn leads_somewhere(page: &str, fragment: &str) -> bool {
    let headings = page.lines().filter_map(|line| {
        let text = line.trim_start_matches('#');
        (text.len() < line.len()).then(|| text.trim().to_lowercase())
    });
    let mut made = headings.map(|heading| {
        let kept = heading.chars().filter(|one| one.is_alphanumeric() || " -_".contains(*one));
        kept.collect::<String>().replace(' ', "-")
    });
    made.any(|heading| heading == fragment)
}

/// A link of the form `docs/PAGE.md#FRAGMENT` leads to a heading.
fn check_link(link: &str) -> Outcome {
    let (path, fragment) = link.split_once('#').with_context(|| format!("no fragment: {link}"))?;
    ensure!(leads_somewhere(&text(path)?, fragment), "{link} leads nowhere");
    Ok(())
}
