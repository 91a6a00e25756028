//! docs/cost.md: the tables as they are printed, where and when they were measured, and how. All but
//! [`this_machine`] is pure.

use std::{fs, process::Command};

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;

use super::{
    figure::{Figure, Machine},
    goal::Goal,
    kept,
    measured::{Measured, Part},
    short, table,
};
use crate::{process, vm::emulator::Emulator, workspace::Workspace};

const HEAD: &str = "\
# What observing costs

Made by `cargo xtask bench --docs`; not written by hand.
";

const METHOD: &str = "
## Method

- Instructions: QEMU with `-icount shift=0,sleep=off -smp 1` lets one nanosecond of the guest pass for each
  instruction, so that its clock counts them; the median of three runs of 300 connections.
- The loop: a client connects, waits for the worker's close and closes; it is SCHED_IDLE (here SCHED_FIFO, below
  its workers), so that each connection finds every worker asleep. The tool beside it is stopped meanwhile.
- The floor: programs of two BPF instructions, attached by observer's own code to the same hooks.
- This machine: all on one CPU, the middle of five runs of 250 ms; tools by turns, each round in another order
  and compared with itself: the middle of the rounds, and what lies halfway out on both sides.
- What else there is to know of a table stands above it; `cargo xtask bench` makes all of them anew.
";

/// This machine, today.
pub(super) fn this_machine(workspace: &Workspace) -> Result<Machine> {
    let cpu = fs::read_to_string("/proc/cpuinfo").context("what machine is this?")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let ask = |program: &str, arguments: &[&str]| {
        process::ask(Command::new(program).args(arguments)).unwrap_or_else(|| "?".to_owned())
    };
    let qemu = Emulator::here(workspace);
    Ok(Machine {
        processor: model.map_or("?", |model| model.trim_start_matches([':', '\t', ' '])).to_owned(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: ask("uname", &["-r"]),
        date: ask("date", &["--utc", "+%F"]),
        qemu: qemu.as_ref().map_or("?", Emulator::version).to_owned(),
    })
}

/// Where and when each part was measured.
fn places(all: &[Measured]) -> String {
    let mut text = String::new();
    for (machine, parts) in kept::machines(all) {
        let Machine { date, processor, processors, kernel, qemu } = machine;
        let emulator =
            if parts.contains(&Part::Icount) { format!("; {qemu}") } else { String::new() };
        let parts: Vec<_> = parts.into_iter().map(Part::name).collect();
        let parts = parts.join(", ");
        text.push_str(&format!(
            "- {date}; {processor}, {processors} CPUs, Linux {kernel}{emulator}: {parts}.\n"
        ));
    }
    text
}

/// What a reader could miss in the tables: that figures are of different times, and parts that are not
/// there.
fn gaps(all: &[Measured]) -> String {
    let mut gaps = String::new();
    let has = |part| all.iter().any(|one| one.part == part);
    for part in Part::value_variants().iter().filter(|part| !has(**part)) {
        gaps.push_str(&format!("**Not in this page: {}.**\n", part.name()));
    }
    gaps
}

/// The page.
pub(super) fn page(all: &[Measured], goals: &[Goal]) -> String {
    let guests = all.iter().filter_map(|one| match &one.figure {
        Figure::Kernel(kernel) => Some(kernel.release.clone()),
        _ => None,
    });
    let guests = guests.collect::<Vec<_>>().join(", ");
    let met = goals.iter().filter(|goal| goal.met()).count();
    format!(
        "{HEAD}\n{}\n\n{}\nVirtual machines: Linux {guests}.\n{met} of {} targets are met.\n{}{METHOD}\n## \
         Measured\n\n{}",
        short::text(all),
        places(all),
        goals.len(),
        gaps(all),
        table::text(all, goals),
    )
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            figure::tests::machine,
            goal::{goals, tests::herd},
        },
        *,
    };

    #[test]
    fn the_page_says_where_when_and_how() {
        let mut all = herd(1000.0, 1010.0, 1020.0);
        let figure = Figure::Machine(machine("2026-01-02"));
        all.push(Measured { part: Part::Icount, place: "6.12".to_owned(), figure });
        let page = page(&all, &goals(&all));
        let line = "- 2026-01-02; A Processor, 2 CPUs, Linux 6.18.1; QEMU emulator version 7.2: \
                    instructions in virtual machines.";
        for part in [line, "2 of 2 targets", "-icount", "herd of 8"] {
            assert!(page.contains(part), "no {part:?} in:\n{page}");
        }
        assert!(page.contains("Not in this page: the loop's speed"), "{page}");
        assert!(!page.contains("Not in this page: instructions"), "{page}");
        assert!(METHOD.lines().filter(|line| !line.is_empty()).count() <= 10 + 1);
    }
}
