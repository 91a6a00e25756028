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

use std::{fs, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use self::figure::Figure;
use crate::{run, workspace::Workspace};

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
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// The kernel's series, or `here`.
    pub(crate) place: String,
    pub(crate) figure: Figure,
}

/// Measures, and prints the table.
pub(crate) fn bench(workspace: &Workspace, args: &BenchArgs) -> Result<ExitCode> {
    let wants = |part| args.only.is_empty() || args.only.contains(&part);
    let mut all = Vec::new();
    let mut good = true;
    if wants(Part::Icount) {
        good &= icount::measure(workspace, &args.kernel, &mut all)?;
    }
    if wants(Part::Native) || wants(Part::Userspace) {
        let observer = run::build(workspace)?.display().to_string();
        if wants(Part::Native) {
            native::measure(&observer, args.rounds, &mut all)?;
        }
        if wants(Part::Userspace) {
            userspace::measure(workspace, &observer, &mut all)?;
        }
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
        let page = page::page(&page::Machine::of_this()?, &all, &goals);
        fs::write(&path, page).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    match args.format {
        Format::Table => print!("{}", table::text(&all, &goals)),
        Format::Json => {
            for one in &all {
                let mut value = serde_json::to_value(&one.figure)?;
                value["place"] = one.place.clone().into();
                println!("{value}");
            }
            goals.iter().for_each(|goal| println!("{}", goal.json()));
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
