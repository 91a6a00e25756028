//! What observing costs: beside nothing, beside programs that do nothing on the same hooks, and beside
//! what people would use instead.
//!
//! The way: each part (`icount` in virtual machines, `native`, `userspace` and `load` here) tells
//! figures (`figure`), which may be put to those of earlier runs (`kept`); the figures become rows with
//! their targets (`table`), and the rows a page (`page`).
//! What runs while something is measured is a process of this program (`role`, `inside`).

mod figure;
mod goal;
mod growth;
mod icount;
mod inside;
mod kept;
mod load;
mod maths;
mod measured;
mod native;
mod page;
mod peers;
pub(crate) mod role;
mod short;
mod table;
mod tool;
mod userspace;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use self::{
    figure::{Figure, Machine},
    measured::{Measured, Part},
};
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
    /// Write docs/cost.md from what is measured, which must be everything, or from that and what
    /// `--from` adds
    #[arg(long)]
    docs: bool,
    /// Show what was measured before and kept with `--format json` (repeatable): of the same part and
    /// kernel, the later file counts, and what is measured now with --only or --kernel
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs: one object per line
    Json,
}

/// Measures, and prints the table.
pub(crate) fn bench(workspace: &Workspace, args: &BenchArgs) -> Result<ExitCode> {
    let chosen = !args.only.is_empty() || !args.kernel.is_empty();
    if args.docs && chosen && args.from.is_empty() {
        bail!(
            "docs/cost.md has every part: leave out --only and --kernel, or add the rest by --from"
        );
    }
    let mut all = Vec::new();
    let mut good = true;
    for path in &args.from {
        let text = fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let earlier =
            kept::kept(&text).with_context(|| format!("{} has other lines", path.display()))?;
        kept::put(&mut all, earlier);
    }
    if args.from.is_empty() || chosen {
        setup(workspace, Goal::Build)?;
        let mut now = Vec::new();
        good = measure(workspace, args, &mut now)?;
        with_machine(&page::this_machine(workspace)?, &mut now);
        kept::put(&mut all, now);
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
        let page = page::page(&all, &goals);
        fs::write(&path, page).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    match args.format {
        Format::Table => print!("{}", table::text(&all, &goals)),
        Format::Json => print!("{}", kept::json(&all, &goals)?),
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Adds to every part and place where it was measured.
fn with_machine(machine: &Machine, all: &mut Vec<Measured>) {
    let mut places: Vec<(Part, String)> = Vec::new();
    for one in &*all {
        let place = (one.part, one.place.clone());
        if !places.contains(&place) {
            places.push(place);
        }
    }
    let figure = Figure::Machine(machine.clone());
    all.extend(places.into_iter().map(|(part, place)| Measured {
        part,
        place,
        figure: figure.clone(),
    }));
}

/// Measures what was asked for. False where something failed that should not.
fn measure(workspace: &Workspace, args: &BenchArgs, all: &mut Vec<Measured>) -> Result<bool> {
    // A kernel that is named is one of the virtual machines.
    let wants = |part| match args.only[..] {
        [] => args.kernel.is_empty() || args.from.is_empty() || part == Part::Icount,
        ref only => only.contains(&part),
    };
    let mut good = true;
    if wants(Part::Icount) {
        good &= icount::measure(workspace, &args.kernel, all)?;
    }
    let here: Vec<_> = [Part::Native, Part::Userspace, Part::Load]
        .into_iter()
        .filter(|part| wants(*part))
        .collect();
    if here.is_empty() {
        return Ok(good);
    }
    let observer = run::build(workspace)?.display().to_string();
    for part in here {
        match part {
            Part::Native => native::measure(&observer, args.rounds, all)?,
            Part::Userspace => userspace::measure(workspace, &observer, all)?,
            Part::Load => good &= load::measure(workspace, &observer, all)?,
            Part::Icount => {}
        }
    }
    Ok(good)
}
