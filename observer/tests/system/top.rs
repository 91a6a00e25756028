//! `observer top` in a real terminal: tmux runs it, types, and says what is on the screen.

mod endings;
mod keys;
mod live;
mod recorded;
mod screens;
mod tmux;

use std::process::Stdio;

use anyhow::{Context as _, ensure};

use crate::{Outcome, Test, observer::program};

/// All tests of the screen.
pub fn tests() -> Vec<Test> {
    let without = Test::new("top::needs_a_terminal", crate::Need::Nothing, needs_a_terminal);
    [vec![without], screens::tests(), keys::tests(), endings::tests(), live::tests()]
        .into_iter()
        .flatten()
        .collect()
}

/// Plays a role of these tests.
pub fn play(role: &str) -> Outcome {
    live::play(role)
}

fn needs_a_terminal() -> Outcome {
    let mut command = std::process::Command::new(program());
    let output = command.arg("top").stdin(Stdio::null()).output().context("it does not start")?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(2), "{}: {said}", output.status);
    ensure!(said.contains("needs a terminal") && said.contains("run plain `observer`"), "{said}");
    ensure!(said.lines().count() == 1 && output.stdout.is_empty(), "{said}");
    Ok(())
}
