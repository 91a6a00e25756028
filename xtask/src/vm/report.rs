//! One line per test, kernel and provider, and the total.

use std::{
    io::{self, Write},
    time::Duration,
};

use super::{
    console::Outcome,
    findings::{Told, Verified, beside},
    plan::{Machine, SERIES},
};

/// What all machines came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

/// What came out so far. Everything is written at once, as it comes: a run takes minutes.
#[derive(Debug)]
pub(crate) struct Report<W> {
    out: W,
    totals: Totals,
    problems: Vec<String>,
    told: Vec<Told>,
}

impl<W: Write> Report<W> {
    /// Nothing yet.
    pub(crate) fn new(out: W) -> Self {
        Self { out, totals: Totals::default(), problems: Vec::new(), told: Vec::new() }
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
                format!("skipped: {}", if reason.is_empty() { "no reason given" } else { reason })
            }
        };
        self.line(machine, &format!("test {name} ... {words}"));
        if *outcome == Outcome::Failed {
            self.problems.push(format!("{}test {name}", label(machine)));
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
    pub(crate) fn finish(mut self) -> (Totals, Vec<Told>) {
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
        (self.totals, told)
    }

    fn line(&mut self, machine: Machine, text: &str) {
        self.write(&format!("{}{text}", label(machine)));
    }

    fn write(&mut self, text: &str) {
        // Whoever reads may have left; the exit status still tells.
        let _: io::Result<()> = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }
}

fn label(machine: Machine) -> String {
    format!("{:<9}{:<11}", machine.series.name, machine.provider)
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::plan::machines;

    fn report(fill: impl FnOnce(&mut Report<&mut Vec<u8>>, Machine)) -> (String, Totals) {
        let machine = machines(&["6.12".to_owned()], &[]).expect("known")[2];
        let mut out = Vec::new();
        let mut report = Report::new(&mut out);
        fill(&mut report, machine);
        let (totals, _) = report.finish();
        (String::from_utf8(out).expect("text"), totals)
    }

    #[test]
    fn each_test_has_its_line_and_all_are_counted() {
        let (text, totals) = report(|report, machine| {
            let took = Duration::from_millis(1250);
            report.test(machine, "a", &Outcome::Passed, took);
            report.test(machine, "b", &Outcome::Skipped("no nginx".to_owned()), took);
            report.end(machine, took, &[], &[], "log");
        });
        assert!(text.contains("6.12     tracepoint test a ... ok (1.2 s)\n"), "{text}");
        assert!(text.contains("6.12     tracepoint test b ... skipped: no nginx\n"), "{text}");
        assert_eq!(totals, Totals { passed: 1, failed: 0, skipped: 1 });
    }

    #[test]
    fn a_failed_test_fails_and_says_where_the_console_is() {
        let (text, totals) = report(|report, machine| {
            report.test(machine, "a", &Outcome::Failed, Duration::ZERO);
            report.end(machine, Duration::ZERO, &["3 is not 4".to_owned()], &[], "the/log");
        });
        assert!(text.contains("3 is not 4") && text.contains("kept in the/log"), "{text}");
        assert!(text.ends_with("error: 6.12     tracepoint test a\n"), "{text}");
        assert_eq!(totals, Totals { passed: 0, failed: 1, skipped: 0 });
    }

    #[test]
    fn a_machine_in_trouble_is_one_failure() {
        let (text, totals) = report(|report, machine| {
            report.test(machine, "a", &Outcome::Passed, Duration::ZERO);
            let complaints = ["panic".to_owned(), "silence".to_owned()];
            report.end(machine, Duration::ZERO, &[], &complaints, "log");
        });
        assert!(text.contains("error: panic\n") && text.contains("error: silence\n"), "{text}");
        assert_eq!(totals, Totals { passed: 1, failed: 1, skipped: 0 });
    }

    #[test]
    fn a_machine_that_cannot_be_had_is_a_skip_with_its_reason() {
        let (text, totals) = report(|report, machine| report.skip(machine, "gone"));
        assert!(text.contains("skipped: gone"), "{text}");
        assert_eq!(totals, Totals { passed: 0, failed: 0, skipped: 1 });
    }
}
