//! The units of systemd, by systemd's own tools.

use std::{fs, process::Command};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::{place, said, succeeds, text};
use crate::{Need, Outcome, Skip, Test, observer::program};

/// Exposure that `systemd-analyze security` may find at most, on its scale from 0 to 10, in tenths.
const EXPOSURE: u32 = 24;

/// Where the unit says that the program is.
const INSTALLED: &str = "/usr/bin/observer";

pub fn tests() -> Vec<Test> {
    vec![
        Test::new("deploy::units_have_nothing_to_say", Need::Nothing, verify),
        Test::new("deploy::the_unit_is_hardened", Need::Nothing, security),
    ]
}

/// `systemd-analyze` with these arguments.
fn analyze(arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new("systemd-analyze");
    if command.arg("--version").output().is_err() {
        return Err(Skip("systemd-analyze is not installed".to_owned()).into());
    }
    let mut command = Command::new("systemd-analyze");
    command.args(arguments);
    Ok(command)
}

/// Both units in a directory of their own, the program where it is here.
fn units() -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    for name in ["observer.service", "observer.socket"] {
        let unit = text(&format!("deploy/systemd/{name}"))?;
        let here = program();
        let here = here.to_str().context("the program's path is no text")?;
        fs::write(directory.path().join(name), unit.replace(INSTALLED, here))?;
    }
    ensure!(text("deploy/systemd/observer.service")?.contains(INSTALLED), "no {INSTALLED}");
    Ok(directory)
}

fn verify() -> Outcome {
    let mut command = analyze(&["verify"])?;
    let directory = units()?;
    command.args(["observer.service", "observer.socket"].map(|name| directory.path().join(name)));
    let said = succeeds(command)?;
    // About units of the machine's own it may say something.
    let ours: Vec<_> = said.lines().filter(|line| line.contains("observer")).collect();
    ensure!(ours.is_empty(), "{ours:?}");
    Ok(())
}

fn security() -> Outcome {
    let unit = place("deploy/systemd/observer.service")?;
    let threshold = EXPOSURE.to_string();
    let mut command =
        analyze(&["security", "--offline=true", "--no-pager", "--threshold", &threshold])?;
    command.arg(unit);
    let output = command.output()?;
    let said = said(&output);
    if said.contains("unrecognized option") {
        return Err(Skip("systemd-analyze cannot look at a file (systemd 250)".to_owned()).into());
    }
    let overall = said.lines().find(|line| line.contains("Overall exposure")).unwrap_or(&said);
    eprintln!("figure exposure {}", overall.trim());
    ensure!(output.status.success(), "{overall}");
    Ok(())
}
