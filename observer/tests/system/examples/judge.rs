//! What an example must come to.

use std::fs;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Deserializer, Value};

use super::{extract::Example, world::Done};
use crate::Outcome;

/// Fails unless an example ended as it should and said what it is there for.
pub fn judge(example: &Example, done: &Done) -> Outcome {
    let command = &example.command;
    let is_check = command.contains("observer check");
    // Whether a limit holds is the server's business, unless the page says what comes of it.
    let allowed: &[i32] = match example.status {
        Some(status) => &[status],
        None if is_check => &[0, 3],
        None => &[0],
    };
    let Done { code, stdout, stderr, .. } = done;
    ensure!(allowed.contains(code), "exit status {code}, not of {allowed:?}: {stderr}{stdout}");
    if is_check {
        let verdict = if *code == 0 { "check passed" } else { "check failed" };
        ensure!(format!("{stdout}{stderr}").contains(verdict), "no {verdict:?}: {stdout}{stderr}");
    }
    for file in files(command) {
        let path = done.directory.path().join(file);
        let bytes = fs::read(&path).with_context(|| format!("no {file}: {stderr}"))?;
        ensure!(!bytes.is_empty(), "{file} is empty");
        has_form(file, &bytes)?;
    }
    if command.contains("--format json") || command.contains("| jq") {
        let mut count = 0;
        for value in Deserializer::from_str(stdout).into_iter::<Value>() {
            value.with_context(|| format!("no JSON: {stdout}"))?;
            count += 1;
        }
        ensure!(count > 0, "no JSON at all: {stderr}");
    } else if files(command).is_empty() && !is_check && !command.contains("observer export") {
        ensure!(!stdout.trim().is_empty(), "it printed nothing: {stderr}");
    }
    if command.contains("observer export") {
        ensure!(stderr.contains("http://"), "it does not say where it serves: {stderr}");
    }
    Ok(())
}

/// Files that a command writes.
fn files(command: &str) -> Vec<&str> {
    let words: Vec<_> = command.split_whitespace().take_while(|word| *word != "#").collect();
    let flags = ["-o", "--output", "--report", "--junit", ">"];
    let pairs = words.windows(2).filter(|pair| flags.contains(&pair[0]));
    pairs.map(|pair| pair[1]).filter(|file| *file != "-").collect()
}

/// What a file of such a name must look like.
fn has_form(file: &str, bytes: &[u8]) -> Outcome {
    let end = file.rsplit('.').next().unwrap_or_default();
    match end {
        "json" => drop(serde_json::from_slice::<Value>(bytes)?),
        "ndjson" => {
            let text = std::str::from_utf8(bytes)?;
            text.lines().try_for_each(|line| serde_json::from_str::<Value>(line).map(drop))?;
        }
        "html" => ensure!(bytes.starts_with(b"<!DOCTYPE html>"), "no page"),
        "xml" => ensure!(bytes.starts_with(b"<?xml"), "no XML"),
        "zst" => ensure!(bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]), "not compressed"),
        other => bail!("nobody knows what a file .{other} should look like"),
    }
    Ok(())
}
