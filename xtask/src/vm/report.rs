//! One line per test, kernel and provider, and the total.

use std::{
    io::{self, Write},
    time::Duration,
};

use super::{
    console::Outcome,
    plan::{Machine, SERIES},
    results::{Told, Verified, beside},
};
use crate::{not_run::Lack, skipped::Skipped, unfetched::is_unfetched};

/// What all machines came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

/// How a run of machines ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) totals: Totals,
    /// Tests that failed, and passed when they were run once more, each with its machine.
    pub(crate) flaky: Vec<String>,
    /// Tests that were skipped, with their reasons and machines.
    pub(crate) skips: Skipped,
    /// Machines that could not be had.
    pub(crate) lacks: Vec<Lack>,
}

/// What came out so far. Everything is written at once, as it comes: a run takes minutes.
#[derive(Debug)]
pub(crate) struct Report<W> {
    out: W,
    totals: Totals,
    /// How many machines there are.
    machines: usize,
    problems: Vec<String>,
    flaky: Vec<String>,
    skips: Skipped,
    /// Machines that could not be had, with the reason.
    lacking: Vec<(Machine, String)>,
    told: Vec<Told>,
}

impl<W: Write> Report<W> {
    /// Nothing yet of so many machines.
    pub(crate) fn new(out: W, machines: usize) -> Self {
        Self {
            out,
            totals: Totals::default(),
            machines,
            problems: Vec::new(),
            flaky: Vec::new(),
            skips: Skipped::default(),
            lacking: Vec::new(),
            told: Vec::new(),
        }
    }

    /// A machine is up.
    pub(crate) fn kernel(&mut self, machine: Machine, version: &str, boot: Duration) {
        self.line(machine, &format!("{version} ({} to boot)", seconds(boot)));
    }

    /// A test ended.
    pub(crate) fn test(&mut self, machine: Machine, name: &str, outcome: &Outcome, took: Duration) {
        let words = match outcome {
            Outcome::Passed => {
                self.totals.passed += 1;
                format!("ok ({})", seconds(took))
            }
            Outcome::Failed => {
                self.totals.failed += 1;
                format!("FAILED ({})", seconds(took))
            }
            Outcome::Skipped(reason) => {
                self.totals.skipped += 1;
                let reason = if reason.is_empty() { "no reason given" } else { reason };
                self.skips.take(&short(machine), name, Some(reason));
                format!("skipped: {reason}")
            }
        };
        self.line(machine, &format!("test {name} ... {words}"));
        if *outcome == Outcome::Failed {
            self.problems.push(problem(machine, name));
        }
    }

    /// A test that had failed ran once more alone; `outcome` is `None` where its machine told none.
    pub(crate) fn again(
        &mut self,
        machine: Machine,
        name: &str,
        outcome: Option<&Outcome>,
        took: Duration,
    ) {
        let took = seconds(took);
        if outcome != Some(&Outcome::Passed) {
            let words = if outcome.is_some() { "failed again" } else { "came to no result" };
            self.line(machine, &format!("test {name}, run once more alone: {words} ({took})"));
            return;
        }
        self.line(machine, &format!("test {name}, run once more alone: ok ({took})"));
        let problem = problem(machine, name);
        if let Some(place) = self.problems.iter().position(|one| *one == problem) {
            self.problems.remove(place);
            self.totals.failed -= 1;
            self.totals.passed += 1;
            self.flaky.push(format!("{} {name}", short(machine)));
        }
    }

    /// A machine ended: what its tests said of their failures, and what is wrong with itself,
    /// which counts as one failure.
    pub(crate) fn end(
        &mut self,
        machine: Machine,
        took: Duration,
        failures: &[String],
        complaints: &[String],
        log: &str,
    ) {
        for line in failures {
            self.line(machine, &format!("| {line}"));
        }
        if !complaints.is_empty() {
            self.totals.failed += 1;
        }
        for complaint in complaints {
            self.line(machine, &format!("error: {complaint}"));
            self.problems.push(format!("{}{complaint}", label(machine)));
        }
        if !failures.is_empty() || !complaints.is_empty() {
            self.line(machine, &format!("its console is kept in {log}"));
        }
        self.line(machine, &format!("ended after {}", seconds(took)));
    }

    /// A machine cannot be had: one skip.
    pub(crate) fn skip(&mut self, machine: Machine, reason: &str) {
        self.totals.skipped += 1;
        self.lacking.push((machine, reason.to_owned()));
        self.line(machine, &format!("skipped: {reason}"));
    }

    /// What a machine told beside results.
    pub(crate) fn told(&mut self, told: Told) {
        for verified in told.verified() {
            let Verified { program, told: count, .. } = &verified;
            self.line(told.machine, &format!("verifier: {program}: {count}"));
        }
        self.told.push(told);
    }

    /// What a person asked to read.
    pub(crate) fn text(&mut self, machine: Machine, lines: &[String]) {
        for line in lines {
            self.line(machine, &format!("| {line}"));
        }
    }

    /// The end: estimates beside exact numbers, and what went wrong once more. Returns what all came
    /// to and what the machines told, in the order of the matrix.
    pub(crate) fn finish(mut self) -> (Ended, Vec<Told>) {
        let order = |told: &Told| {
            let place = SERIES.iter().position(|series| series == told.machine.series);
            let of = told.machine.series.providers;
            (place, of.iter().position(|provider| *provider == told.machine.provider))
        };
        let mut told = std::mem::take(&mut self.told);
        told.sort_by_key(order);
        for line in beside(&told) {
            self.write(&format!("beside: {line}"));
        }
        for problem in std::mem::take(&mut self.problems) {
            self.write(&format!("error: {problem}"));
        }
        let lacks = self.lacks();
        let Self { totals, flaky, skips, .. } = self;
        (Ended { totals, flaky, skips, lacks }, told)
    }

    /// The machines that could not be had, as one class.
    fn lacks(&self) -> Vec<Lack> {
        if self.lacking.is_empty() {
            return Vec::new();
        }
        let mut names: Vec<_> =
            self.lacking.iter().map(|(machine, _)| machine.series.name).collect();
        names.dedup();
        let mut reasons: Vec<&str> =
            self.lacking.iter().map(|(_, reason)| reason.as_str()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        vec![Lack {
            what: if self.lacking.len() == self.machines {
                "all virtual machines".to_owned()
            } else {
                format!("the virtual machines with Linux {}", names.join(", "))
            },
            unfetched: reasons.iter().all(|reason| is_unfetched(reason)),
            reason: reasons.join("; "),
            cure:
                "they need qemu-system-x86_64 and kernels: on PATH and under target/vm/kernels, or \
                   from Debian's archive through apt"
                    .to_owned(),
        }]
    }

    fn line(&mut self, machine: Machine, text: &str) {
        self.write(&format!("{}{text}", label(machine)));
    }

    fn write(&mut self, text: &str) {
        // Whoever reads may have left; the exit status still tells.
        let _: io::Result<()> = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }
}

fn problem(machine: Machine, test: &str) -> String {
    format!("{}test {test}", label(machine))
}

/// A machine's name in a sentence.
fn short(machine: Machine) -> String {
    format!("{} {}", machine.series.name, machine.provider)
}

fn label(machine: Machine) -> String {
    format!("{:<11}{:<11}", machine.series.name, machine.provider)
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
