//! What observing costs: beside nothing, beside programs that do nothing on the same hooks, and beside
//! what people would use instead.
//!
//! The way: each part (`icount` in virtual machines, `native` and `userspace` here) tells figures
//! (`figure`), the figures become rows with their targets (`table`), and the rows a page (`page`).
//! What runs while something is measured is a process of this program (`role`, `inside`).

mod figure;
mod goal;
mod icount;
mod inside;
mod maths;
mod native;
mod page;
mod peers;
pub(crate) mod role;
mod table;
mod tool;
mod userspace;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;

use self::figure::Figure;
use crate::{
    run,
    setup::{Goal, setup},
    workspace::Workspace,
};

/// The command's arguments.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Only this part (repeatable)
    #[arg(long, value_enum, value_name = "PART")]
    only: Vec<Part>,
    /// Only this kernel series in virtual machines, such as 6.12 (repeatable)
    #[arg(long, value_name = "SERIES")]
    kernel: Vec<String>,
    /// Rounds of the loop on this machine
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Write docs/cost.md from what is measured, which must be everything
    #[arg(long, conflicts_with_all = ["only", "kernel"])]
    docs: bool,
    /// Show what was measured before and kept with `--format json`, and measure nothing (repeatable)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "kernel"])]
    from: Vec<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Instructions, in virtual machines
    Icount,
    /// The loop's speed on this machine
    Native,
    /// What observer's own process needs
    Userspace,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs: one object per line
    Json,
}

/// A figure, and where it was measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    /// The kernel's series, or `here`.
    pub(crate) place: String,
    pub(crate) figure: Figure,
}

/// Measures, and prints the table.
pub(crate) fn bench(workspace: &Workspace, args: &BenchArgs) -> Result<ExitCode> {
    let mut all = Vec::new();
    let mut good = true;
    for path in &args.from {
        let text = fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        all.extend(kept(&text).with_context(|| format!("{} has other lines", path.display()))?);
    }
    if args.from.is_empty() {
        setup(workspace, Goal::Build)?;
        good = measure(workspace, args, &mut all)?;
    }
    if all.is_empty() {
        bail!("nothing could be measured");
    }
    let goals = goal::goals(&all);
    if args.docs {
        if !good {
            bail!("docs/cost.md is made from a run in which nothing failed");
        }
        let path = workspace.root().join("docs/cost.md");
        let page = page::page(&page::Machine::of_this()?, &all, &goals, args.from.len());
        fs::write(&path, page).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    match args.format {
        Format::Table => print!("{}", table::text(&all, &goals)),
        Format::Json => print!("{}", json(&all, &goals)?),
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line of JSON for each figure, and for each goal.
fn json(all: &[Measured], goals: &[goal::Goal]) -> Result<String> {
    let mut text = String::new();
    for one in all {
        let mut value = serde_json::to_value(&one.figure)?;
        value["place"] = one.place.clone().into();
        text.push_str(&format!("{value}\n"));
    }
    text.extend(goals.iter().map(|goal| format!("{}\n", goal.json())));
    Ok(text)
}

/// Measures what was asked for. False where something failed that should not.
fn measure(workspace: &Workspace, args: &BenchArgs, all: &mut Vec<Measured>) -> Result<bool> {
    let wants = |part| args.only.is_empty() || args.only.contains(&part);
    let mut good = true;
    if wants(Part::Icount) {
        good &= icount::measure(workspace, &args.kernel, all)?;
    }
    if wants(Part::Native) || wants(Part::Userspace) {
        let observer = run::build(workspace)?.display().to_string();
        if wants(Part::Native) {
            native::measure(&observer, args.rounds, all)?;
        }
        if wants(Part::Userspace) {
            userspace::measure(workspace, &observer, all)?;
        }
    }
    Ok(good)
}

/// The figures that were printed before; goals follow from them.
fn kept(text: &str) -> Result<Vec<Measured>> {
    let mut all = Vec::new();
    for line in text.lines() {
        let value: Value = serde_json::from_str(line)?;
        if value["figure"] != "goal" {
            let place = value["place"].as_str().context("a figure of no place")?.to_owned();
            all.push(Measured { place, figure: serde_json::from_value(value)? });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::{goal, goal::tests::herd, json, kept};

    #[test]
    fn what_is_printed_is_read() {
        let all = herd(1000.0, 1010.0, 1020.0);
        let goals = goal::goals(&all);
        let lines = json(&all, &goals).expect("figures");
        assert!(lines.contains("\"goal\""), "{lines}");
        let read = kept(&lines).expect("figures");
        assert_eq!(read, all);
        assert!(kept("{}").is_err());
    }
}
