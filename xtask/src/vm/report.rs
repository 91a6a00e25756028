//! One line per test, kernel and provider, and the total.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use super::{console::Outcome, plan::Machine};

/// What came out so far. Everything is written at once, as it comes: a run takes minutes.
#[derive(Debug)]
pub(crate) struct Report<W> {
    out: W,
    passed: usize,
    failed: usize,
    skipped: usize,
    problems: Vec<String>,
}

impl<W: Write> Report<W> {
    /// Nothing yet.
    pub(crate) fn new(out: W) -> Self {
        Self { out, passed: 0, failed: 0, skipped: 0, problems: Vec::new() }
    }

    /// A machine is up.
    pub(crate) fn kernel(&mut self, machine: Machine, version: &str, boot: Duration) {
        self.line(machine, &format!("{version} ({} to boot)", seconds(boot)));
    }

    /// A test ended.
    pub(crate) fn test(&mut self, machine: Machine, name: &str, outcome: &Outcome, took: Duration) {
        let words = match outcome {
            Outcome::Passed => {
                self.passed += 1;
                format!("ok ({})", seconds(took))
            }
            Outcome::Failed => {
                self.failed += 1;
                format!("FAILED ({})", seconds(took))
            }
            Outcome::Skipped(reason) => {
                self.skipped += 1;
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
            self.failed += 1;
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
        self.skipped += 1;
        self.line(machine, &format!("skipped: {reason}"));
    }

    /// What a person asked to read.
    pub(crate) fn text(&mut self, machine: Machine, lines: &[String]) {
        for line in lines {
            self.line(machine, &format!("| {line}"));
        }
    }

    /// The end: what went wrong once more, and the total.
    pub(crate) fn finish(mut self) -> ExitCode {
        for problem in std::mem::take(&mut self.problems) {
            self.write(&format!("error: {problem}"));
        }
        let (passed, failed, skipped) = (self.passed, self.failed, self.skipped);
        if passed + failed == 0 {
            self.write("error: no test ran");
        }
        self.write(&format!("{passed} passed, {failed} failed, {skipped} skipped"));
        if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
    format!("{:<5}{:<11}", machine.series.name, machine.provider)
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::plan::machines;

    fn report(fill: impl FnOnce(&mut Report<&mut Vec<u8>>, Machine)) -> (String, ExitCode) {
        let machine = machines(&["6.12".to_owned()], &[]).expect("known")[2];
        let mut out = Vec::new();
        let mut report = Report::new(&mut out);
        fill(&mut report, machine);
        let code = report.finish();
        (String::from_utf8(out).expect("text"), code)
    }

    #[test]
    fn each_test_has_its_line_and_all_are_counted() {
        let (text, code) = report(|report, machine| {
            let took = Duration::from_millis(1250);
            report.test(machine, "a", &Outcome::Passed, took);
            report.test(machine, "b", &Outcome::Skipped("no nginx".to_owned()), took);
            report.end(machine, took, &[], &[], "log");
        });
        assert!(text.contains("6.12 tracepoint test a ... ok (1.2 s)\n"), "{text}");
        assert!(text.contains("6.12 tracepoint test b ... skipped: no nginx\n"), "{text}");
        assert!(text.ends_with("\n1 passed, 0 failed, 1 skipped\n"), "{text}");
        assert_eq!(code, ExitCode::SUCCESS);
    }

    #[test]
    fn a_failed_test_fails_and_says_where_the_console_is() {
        let (text, code) = report(|report, machine| {
            report.test(machine, "a", &Outcome::Failed, Duration::ZERO);
            report.end(machine, Duration::ZERO, &["3 is not 4".to_owned()], &[], "the/log");
        });
        assert!(text.contains("3 is not 4") && text.contains("kept in the/log"), "{text}");
        assert!(text.ends_with("error: 6.12 tracepoint test a\n0 passed, 1 failed, 0 skipped\n"));
        assert_eq!(code, ExitCode::FAILURE);
    }

    #[test]
    fn a_machine_in_trouble_is_one_failure() {
        let (text, code) = report(|report, machine| {
            report.test(machine, "a", &Outcome::Passed, Duration::ZERO);
            let complaints = ["panic".to_owned(), "silence".to_owned()];
            report.end(machine, Duration::ZERO, &[], &complaints, "log");
        });
        assert!(text.ends_with("\n1 passed, 1 failed, 0 skipped\n"), "{text}");
        assert_eq!(code, ExitCode::FAILURE);
    }

    #[test]
    fn skipping_all_is_no_success() {
        let (text, code) = report(|report, machine| report.skip(machine, "gone"));
        assert!(text.contains("skipped: gone") && text.contains("no test ran"), "{text}");
        assert_eq!(code, ExitCode::FAILURE);
    }
}
