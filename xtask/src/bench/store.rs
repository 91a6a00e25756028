//! Results that are kept: one JSON file for each part and place, in `target/bench`. A later run replaces
//! the file of what it measured and leaves the others, so that figures of two runs are never mixed.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{
    figure::{Case, Figure, Instructions, Speed, With},
    stats::median,
};
use crate::{arch::Arch, process, vm::emulator::Emulator, workspace::Workspace};

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// Instructions, in virtual machines
    Icount,
    /// Speed of the loop on this machine
    Native,
    /// What observer's own process needs
    Userspace,
    /// What the whole screen costs beside the live table
    Screen,
    /// A million connections and other great loads, against the workload's own count
    Load,
}

impl Part {
    /// Name of the option, and of the file.
    pub(super) fn word(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Name on the page.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Icount => "instructions in virtual machines",
            Self::Native => "the loop's speed on this machine",
            Self::Userspace => "what the process needs",
            Self::Screen => "the whole screen",
            Self::Load => "load without loss",
        }
    }
}

/// Results of one part at one place: the content of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) part: Part,
    /// Series of the virtual machine's kernel, or `here`.
    pub(super) place: String,
    /// Release of the virtual machine's kernel, as `uname -r` says it.
    pub(super) release: Option<String>,
    pub(super) machine: Machine,
    pub(super) figures: Vec<Figure>,
}

/// Machine and day of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) date: String,
    pub(super) processor: String,
    pub(super) processors: usize,
    /// Release of its kernel, as `uname -r` says it.
    pub(super) kernel: String,
    pub(super) qemu: String,
}

impl Machine {
    /// This machine, today.
    pub(super) fn this(workspace: &Workspace) -> Result<Self> {
        let cpu = fs::read_to_string("/proc/cpuinfo").context("what machine is this?")?;
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
        let ask = |program: &str, arguments: &[&str]| {
            process::ask(Command::new(program).args(arguments)).unwrap_or_else(|| "?".to_owned())
        };
        let qemu = Emulator::here(workspace, Arch::X86_64);
        Ok(Self {
            processor: model
                .map_or("?", |model| model.trim_start_matches([':', '\t', ' ']))
                .to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: ask("uname", &["-r"]),
            date: ask("date", &["--utc", "+%F"]),
            qemu: qemu.as_ref().map_or("?", Emulator::version).to_owned(),
        })
    }
}

impl Run {
    /// Numbers of its place, by which runs are ordered: 6.6 comes before 6.12.
    fn order(&self) -> (Part, Vec<u32>) {
        (self.part, self.place.split('.').filter_map(|number| number.parse().ok()).collect())
    }

    /// Instructions of a case beside a tool.
    pub(super) fn of_case(&self, case: Case) -> impl Iterator<Item = &Instructions> {
        self.figures.iter().filter_map(move |figure| match figure {
            Figure::Instructions(of) if of.case == case => Some(of),
            _ => None,
        })
    }

    /// Median of the instructions of a case beside a tool.
    pub(super) fn instructions(&self, case: Case, with: &With) -> Option<f64> {
        self.of_case(case).find(|of| of.with == *with).and_then(|of| median(&of.each))
    }

    /// Speed of the loop beside a tool, in each round.
    pub(super) fn speed(&self, with: &With) -> Option<&Speed> {
        self.figures.iter().find_map(|figure| match figure {
            Figure::Speed(of) if of.with == *with => Some(of),
            _ => None,
        })
    }
}

/// Keeps a run in place of the earlier one of its part and place.
pub(super) fn write(directory: &Path, run: &Run) -> Result<()> {
    fs::create_dir_all(directory)?;
    let path = directory.join(match run.part {
        Part::Icount => format!("{}-{}.json", run.part.word(), run.place),
        part => format!("{}.json", part.word()),
    });
    let text = serde_json::to_string_pretty(run)?;
    fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// All that is kept, in the order of the page.
pub(super) fn read(directory: &Path) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    if directory.is_dir() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let text = fs::read_to_string(&path)?;
            let run = serde_json::from_str(&text);
            runs.push(run.with_context(|| format!("{} holds no run: remove it", path.display()))?);
        }
    }
    sort(&mut runs);
    Ok(runs)
}

/// Brings runs into the order of the page: by part, and the oldest kernel first.
pub(super) fn sort(runs: &mut [Run]) {
    runs.sort_by_key(Run::order);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Made-up runs of every part: a kernel with all tools, and another.
    pub(crate) fn sample() -> Vec<Run> {
        serde_json::from_str(include_str!("sample.json")).expect("runs")
    }

    #[test]
    fn the_later_run_of_a_part_and_place_counts() {
        let directory = std::env::temp_dir().join(format!("observer-store-{}", std::process::id()));
        assert_eq!(read(&directory).expect("nothing yet"), []);
        let mut runs = sample();
        runs.iter().rev().for_each(|run| write(&directory, run).expect("kept"));
        assert_eq!(read(&directory).expect("all of them"), runs);
        runs[0].figures.clear();
        write(&directory, &runs[0]).expect("kept");
        assert_eq!(read(&directory).expect("all of them"), runs);
        fs::write(directory.join("load.json"), "{}").expect("a file");
        assert!(read(&directory).is_err());
        fs::remove_dir_all(&directory).expect("removed");
    }

    #[test]
    fn kernels_are_ordered_by_age() {
        let mut runs = sample();
        runs.truncate(1);
        for place in ["6.12", "7.2", "6.1", "5.10"] {
            runs.push(Run { place: place.to_owned(), ..runs[0].clone() });
        }
        runs.remove(0);
        sort(&mut runs);
        let places: Vec<_> = runs.iter().map(|run| run.place.as_str()).collect();
        assert_eq!(places, ["5.10", "6.1", "6.12", "7.2"]);
    }
}
