//! What observing costs: beside nothing, beside programs that do nothing on the same hooks, and beside
//! what people would use instead.
//!
//! The way: each part (`instructions` in virtual machines, `native`, `userspace`, `screen` and `load` here) makes
//! figures (`figure`), which are kept as JSON in `target/bench` (`store`). `summary` makes rows of them,
//! with their `targets` and their `growth`, and `page` puts the rows into the template `cost.md.jinja`.
//! What runs while something is measured is a process of this program (`role`, `guest`), or a `tool`.

mod figure;
mod growth;
mod guest;
mod instructions;
mod inventory;
mod load;
mod native;
mod page;
mod peers;
pub(crate) mod role;
mod screen;
mod stats;
mod store;
mod summary;
mod targets;
pub(crate) mod told;
pub(crate) mod tool;
pub(crate) mod userspace;

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum as _};

use self::{
    figure::Figure,
    store::{Machine, Part, Run},
};
use crate::{
    run,
    setup::{Goal, setup},
    vm,
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
    /// Measure nothing: show all that target/bench has
    #[arg(long, conflicts_with_all = ["only", "kernel"])]
    show: bool,
    /// Write docs/cost.md from all that target/bench has then, which must be every part and kernel
    #[arg(long)]
    docs: bool,
}

/// Place of what is measured on this machine.
const HERE: &str = "here";

/// Measures, and prints the page.
pub(crate) fn bench(workspace: &Workspace, args: &BenchArgs) -> Result<ExitCode> {
    let directory = workspace.target().join("bench");
    let mut good = true;
    let mut shown = Vec::new();
    if !args.show {
        setup(workspace, Goal::Build)?;
        good = measure(workspace, args, &directory, &mut shown)?;
    }
    let kept = store::read(&directory)?;
    if args.docs {
        if !good {
            bail!("docs/cost.md is made from runs in which nothing failed");
        }
        let lacking = lacking(&kept)?;
        if !lacking.is_empty() {
            bail!("docs/cost.md has every part: measure {} first", lacking.join(", "));
        }
        let path = workspace.root().join("docs/cost.md");
        let page = page::page(&kept)?;
        fs::write(&path, page).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    store::sort(&mut shown);
    let shown = if args.show { kept } else { shown };
    if shown.is_empty() {
        bail!("nothing was measured");
    }
    print!("{}", page::page(&shown)?);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Options that measure what is not there.
fn lacking(kept: &[Run]) -> Result<Vec<String>> {
    let has = |part, place: &str| kept.iter().any(|run| run.part == part && run.place == place);
    let mut lacking = Vec::new();
    for part in Part::value_variants() {
        if *part == Part::Icount {
            let series = vm::icount::series(&[])?.into_iter().map(|series| series.name);
            let none = series.filter(|name| !has(*part, name));
            lacking.extend(none.map(|name| format!("--kernel {name}")));
        } else if !has(*part, HERE) {
            lacking.push(format!("--only {}", part.word()));
        }
    }
    Ok(lacking)
}

/// Measures what was asked for, and keeps each part as soon as it is there. False where one failed,
/// which leaves what was kept of it before.
fn measure(
    workspace: &Workspace,
    args: &BenchArgs,
    directory: &Path,
    all: &mut Vec<Run>,
) -> Result<bool> {
    let machine = Machine::this(workspace)?;
    let mut keep = |part, place: &str, release, figures: Vec<Figure>| {
        let (place, machine) = (place.to_owned(), machine.clone());
        let run = Run { part, place, release, machine, figures };
        let result = store::write(directory, &run);
        all.push(run);
        result
    };
    // A kernel that is named is one of the virtual machines.
    let wants = |part| match args.only[..] {
        [] => args.kernel.is_empty() || part == Part::Icount,
        ref only => only.contains(&part),
    };
    let mut good = true;
    if wants(Part::Icount) {
        good &= instructions::measure(workspace, &args.kernel, |guest| {
            keep(Part::Icount, guest.series, Some(guest.release), guest.figures)
        })?;
    }
    let here = [Part::Native, Part::Userspace, Part::Screen, Part::Load];
    let here: Vec<_> = here.into_iter().filter(|part| wants(*part)).collect();
    if here.is_empty() {
        return Ok(good);
    }
    let observer = run::build(workspace)?.display().to_string();
    for part in here {
        let figures = match part {
            Part::Native => native::measure(&observer, args.rounds),
            Part::Userspace => userspace::measure(workspace, &observer),
            Part::Screen => screen::measure(&observer),
            Part::Load => load::measure(workspace, &observer),
            Part::Icount => continue,
        };
        match figures {
            Ok(figures) => keep(part, HERE, None, figures)?,
            Err(error) => {
                good = false;
                eprintln!("error: {}: {error:#}", part.word());
            }
        }
    }
    Ok(good)
}

#[cfg(test)]
mod tests {
    use super::{lacking, store::tests::sample};

    #[test]
    fn the_page_lacks_what_was_not_measured() {
        let mut runs = sample();
        let kernels = lacking(&runs).expect("kernels");
        assert!(kernels.contains(&"--kernel 5.10".to_owned()), "{kernels:?}");
        assert!(
            !kernels.iter().any(|one| one.contains("6.12") || one.contains("native")),
            "{kernels:?}"
        );
        let of_kernels =
            |all: &[String]| all.iter().filter(|one| one.starts_with("--kernel")).count();
        let count = of_kernels(&kernels);
        runs.retain(|run| run.place != "here");
        let all = lacking(&runs).expect("kernels");
        let here = ["--only native", "--only userspace", "--only screen", "--only load"];
        assert_eq!((of_kernels(&all), &all[count..]), (count, &here.map(str::to_owned)[..]));
    }
}
