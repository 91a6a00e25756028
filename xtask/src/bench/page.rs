//! docs/cost.md: the tables as they are printed, where and when they were measured, and how. All but
//! [`Machine::of_this`] is pure.

use std::{fs, process::Command};

use anyhow::{Context as _, Result};

use super::{Measured, figure::Figure, goal::Goal, table};
use crate::process;

const HEAD: &str = "\
# What observing costs

Made by `cargo xtask bench --docs`; not written by hand.
";

const METHOD: &str = "
## Method

- Instructions: QEMU with `-icount shift=0,sleep=off -smp 1` lets one nanosecond of the guest's time pass
  for each instruction, so that its clock counts them; the median of three runs of 300 connections.
- The loop: a client connects, waits for the worker's close and closes; workers wait with epoll, accept
  and close. The client is SCHED_IDLE, so that each connection finds every worker asleep.
- The tool beside it is stopped (SIGSTOP) meanwhile: this is what its kernel programs cost, and nothing
  of what its process does with what they send.
- The floor: programs of two BPF instructions, attached by observer's own code to the same hooks.
- Programs: the kernel's statistics (`kernel.bpf_stats_enabled`) in the same guest; the two readings of
  the clock that they take are part of each run.
- This machine: the loop for a second with 500 connections before it, all tools by turns in each round.
- Process: reports each second, for ten seconds after the third; memory is VmRSS and VmHWM. Listeners and
  workers only wait meanwhile: nothing is accepted.
";

/// Where it was measured.
#[derive(Debug)]
pub(super) struct Machine {
    processor: String,
    processors: usize,
    kernel: String,
    date: String,
    qemu: String,
}

impl Machine {
    /// This one, today.
    pub(super) fn of_this() -> Result<Self> {
        let cpu = fs::read_to_string("/proc/cpuinfo").context("what machine is this?")?;
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
        let ask = |program: &str, arguments: &[&str]| {
            process::ask(Command::new(program).args(arguments)).unwrap_or_else(|| "?".to_owned())
        };
        let qemu = ask(crate::vm::qemu::PROGRAM, &["--version"]);
        Ok(Self {
            processor: model
                .map_or("?", |model| model.trim_start_matches([':', '\t', ' ']))
                .to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: ask("uname", &["-r"]),
            date: ask("date", &["--utc", "+%F"]),
            qemu: qemu.lines().next().unwrap_or("?").to_owned(),
        })
    }
}

/// What a reader could miss in the tables: that figures are of different times, and parts that are not
/// there.
fn gaps(all: &[Measured], kept: usize) -> String {
    let mut gaps = String::new();
    if kept > 0 {
        gaps.push_str(&format!("Put together from what {kept} runs before kept.\n"));
    }
    let has = |wanted: fn(&Figure) -> bool| all.iter().any(|one| wanted(&one.figure));
    let parts = [
        (has(|one| matches!(one, Figure::Instructions(_))), "instructions in virtual machines"),
        (has(|one| matches!(one, Figure::Speed(_))), "the loop's speed on this machine"),
        (has(|one| matches!(one, Figure::Need(_))), "what the process needs"),
    ];
    for (_, part) in parts.iter().filter(|(there, _)| !there) {
        gaps.push_str(&format!("**Not in this page: {part}.**\n"));
    }
    gaps
}

/// The page; `kept` is how many files of earlier figures it is made from, 0 for none.
pub(super) fn page(machine: &Machine, all: &[Measured], goals: &[Goal], kept: usize) -> String {
    let Machine { processor, processors, kernel, date, qemu } = machine;
    let guests = all.iter().filter_map(|one| match &one.figure {
        Figure::Kernel(kernel) => Some(kernel.release.clone()),
        _ => None,
    });
    let guests = guests.collect::<Vec<_>>().join(", ");
    let met = goals.iter().filter(|goal| goal.met()).count();
    format!(
        "{HEAD}\n{date}; {processor}, {processors} CPUs, Linux {kernel}.\nVirtual machines: {qemu}; Linux \
         {guests}.\n{met} of {} targets are met.\n{}{METHOD}\n## Measured\n\n{}",
        goals.len(),
        gaps(all, kept),
        table::text(all, goals),
    )
}

#[cfg(test)]
mod tests {
    use super::{
        super::goal::{goals, tests::herd},
        *,
    };

    #[test]
    fn the_page_says_where_when_and_how() {
        let machine = Machine {
            processor: "A Processor".to_owned(),
            processors: 2,
            kernel: "6.18.1".to_owned(),
            date: "2026-01-02".to_owned(),
            qemu: "QEMU emulator version 7.2".to_owned(),
        };
        let all = herd(1000.0, 1010.0, 1020.0);
        let page = page(&machine, &all, &goals(&all), 0);
        for part in ["2026-01-02; A Processor, 2 CPUs", "2 of 2 targets", "-icount", "herd of 8"] {
            assert!(page.contains(part), "no {part:?} in:\n{page}");
        }
        assert!(page.contains("Not in this page: the loop's speed"), "{page}");
        assert!(!page.contains("Not in this page: instructions"), "{page}");
        assert!(gaps(&all, 2).contains("2 runs before"));
        assert!(METHOD.lines().filter(|line| !line.is_empty()).count() <= 20);
    }
}
