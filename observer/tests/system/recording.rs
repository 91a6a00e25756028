//! Recordings: written by a live observer, cut off, damaged, huge, and shown.

mod broken;
mod elsewhere;
mod large;
mod live;
mod made;
mod page;
mod recorder;
mod room;

use std::path::Path;

use anyhow::{Context, ensure};

use crate::{Test, observer::run};

pub fn tests() -> Vec<Test> {
    [
        live::tests(),
        room::tests(),
        broken::tests(),
        elsewhere::tests(),
        large::tests(),
        page::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A path as an argument.
fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is no text")
}

/// What `observer report` prints as JSON, and what it says beside.
fn report(arguments: &[&str]) -> anyhow::Result<(serde_json::Value, String)> {
    let output = run(&[&["report"], arguments, &["--format", "json"]].concat())?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{arguments:?}: {}: {said}", output.status);
    Ok((serde_json::from_slice(&output.stdout)?, said))
}

/// A run that fails: its words. It must not be a panic.
fn refused(arguments: &[&str], status: i32) -> anyhow::Result<String> {
    let output = run(arguments)?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(status), "{arguments:?}: {}: {said}", output.status);
    ensure!(said.starts_with("observer: ") || status == 2, "{said}");
    Ok(said)
}
