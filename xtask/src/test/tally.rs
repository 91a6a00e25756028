//! Counting results from the lines that test programs print (libtest's, and libtest-mimic's).

use std::{collections::BTreeMap, fmt};

use crate::{
    skipped::{HERE, Skipped},
    vm::Totals,
};

/// What the lines told so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that were not run, on purpose.
    pub(crate) skipped: u64,
    started: u64,
    ended: u64,
    flaky: u64,
    /// What the test programs that ended say has failed.
    failures: Vec<String>,
    /// Failures that the test program which is still running has listed.
    listed: Vec<String>,
    skips: BTreeMap<String, Option<String>>,
}

impl Tally {
    /// Takes one line of output.
    pub(crate) fn read(&mut self, line: &str) {
        // The last list of a program has nothing but names.
        if line == "failures:" {
            self.listed.clear();
        } else if let Some(name) = line.strip_prefix("    ") {
            self.listed.push(name.to_owned());
        }
        let line = line.trim();
        if let Some(result) = line.strip_prefix("test result: ") {
            self.ended += 1;
            let failed = usize::try_from(count(result, "failed")).unwrap_or(usize::MAX);
            self.listed.truncate(failed);
            self.failures.append(&mut self.listed);
            self.passed += count(result, "passed");
            self.failed += count(result, "failed");
            self.skipped += count(result, "ignored");
        } else if is_title(line) {
            self.started += 1;
        } else if let Some((name, reason)) = skip(line) {
            // The line with the reason and the one of the harness may come in either order.
            let known = self.skips.entry(name.to_owned()).or_default();
            if reason.is_some() {
                *known = reason.map(str::to_owned);
            }
        }
    }

    /// Adds what the virtual machines came to, and says what is wrong with it.
    pub(crate) fn add(&mut self, totals: Totals) -> Option<String> {
        let count = |number| u64::try_from(number).unwrap_or(u64::MAX);
        self.passed += count(totals.passed);
        self.failed += count(totals.failed);
        self.skipped += count(totals.skipped);
        (totals.failed != 0)
            .then(|| format!("{} of what ran in virtual machines failed: see above", totals.failed))
    }

    /// The tests that failed, by their names.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Takes it that a test which failed passes when it runs once more, alone.
    pub(crate) fn passes_alone(&mut self, name: &str) {
        let before = self.failures.len();
        self.failures.retain(|one| one != name);
        let flaky = u64::try_from(before - self.failures.len()).unwrap_or(0);
        self.failed -= flaky;
        self.passed += flaky;
        self.flaky += flaky;
    }

    /// Whether a test failed and passed alone.
    pub(crate) fn has_flaky(&self) -> bool {
        self.flaky > 0
    }

    /// How many test programs began and told no result.
    pub(crate) fn unfinished(&self) -> u64 {
        self.started.saturating_sub(self.ended)
    }

    /// The reasons of skipped tests by their names.
    pub(crate) fn reasons(&self) -> &BTreeMap<String, Option<String>> {
        &self.skips
    }

    /// Each skipped test, with its reason where one was given.
    pub(crate) fn skips(&self) -> Skipped {
        let mut skips = Skipped::default();
        for (name, reason) in &self.skips {
            skips.take(HERE, name, reason.as_deref());
        }
        skips
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// `running 3 tests`
fn is_title(line: &str) -> bool {
    line.strip_prefix("running ")
        .and_then(|rest| rest.strip_suffix(" tests").or_else(|| rest.strip_suffix(" test")))
        .is_some_and(|number| number.parse::<u64>().is_ok())
}

/// The number before `word` in `ok. 3 passed; 0 failed; …`.
fn count(result: &str, word: &str) -> u64 {
    result
        .split(['.', ';'])
        .filter_map(|part| part.trim().split_once(' '))
        .find(|(_, what)| *what == word)
        .and_then(|(number, _)| number.parse().ok())
        .unwrap_or(0)
}

/// A skipped test's name, and its reason, from any of the ways in which harnesses tell them:
/// `skip: NAME: REASON`, libtest's `test NAME ... ignored, REASON`, and libtest-mimic's
/// `test NAME ... ignored (REASON)`.
fn skip(line: &str) -> Option<(&str, Option<&str>)> {
    if let Some((name, reason)) = line.strip_prefix("skip: ").and_then(|rest| rest.split_once(": "))
    {
        return Some((name, Some(reason)));
    }
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let rest = outcome.strip_prefix("ignored")?;
    let reason = rest
        .strip_prefix(", ")
        .or_else(|| rest.strip_prefix(" (").map(|rest| rest.strip_suffix(')').unwrap_or(rest)));
    Some((name.trim(), reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn results_of_all_programs_add_up() {
        let tally = tally(&[
            "running 3 tests",
            "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.00s",
            "running 1 test",
            "test result: FAILED. 10 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.25s",
        ]);
        assert_eq!(tally.to_string(), "12 passed, 3 failed, 1 skipped");
        assert_eq!(tally.unfinished(), 0);
    }

    #[test]
    fn machines_are_added_and_their_failures_told() {
        let mut tally = tally(&["test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured"]);
        assert_eq!(tally.add(Totals { passed: 5, failed: 0, skipped: 2 }), None);
        assert_eq!(tally.to_string(), "7 passed, 0 failed, 3 skipped");
        assert!(tally.add(Totals { passed: 0, failed: 1, skipped: 0 }).is_some());
        assert_eq!(tally.to_string(), "7 passed, 1 failed, 3 skipped");
    }

    #[test]
    fn a_program_without_a_result_is_noticed() {
        assert_eq!(tally(&["running 3 tests", "test a ... ok"]).unfinished(), 1);
    }

    #[test]
    fn other_lines_count_for_nothing() {
        let tally = tally(&["running tests of the day", "passed; 3 failed;", "test a ... ok", ""]);
        assert_eq!(tally.to_string(), "0 passed, 0 failed, 0 skipped");
        assert_eq!((tally.unfinished(), tally.skips().lines()), (0, Vec::new()));
    }

    #[test]
    fn failures_are_known_by_name_and_may_pass_alone() {
        let mut tally = tally(&[
            "running 3 tests",
            "test a ... FAILED",
            "failures:",
            "",
            "---- a ----",
            "    an indented word of the failure",
            "",
            "failures:",
            "    a",
            "    b",
            "",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured",
            "running 1 test",
            "    no_failure",
            "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured",
        ]);
        assert_eq!(tally.failures(), ["a", "b"]);
        tally.passes_alone("a");
        tally.passes_alone("no_failure");
        assert_eq!(tally.failures(), ["b"]);
        assert_eq!(tally.to_string(), "3 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn reasons_are_found_wherever_they_stand() {
        let tally = tally(&[
            "test herd::exclusive       ... ignored",
            "skip: herd::exclusive: needs root",
            "test a - b (line 3) ... ignored, needs a network",
            "test nginx ... ignored (no nginx (package nginx))",
            "test plain ... ignored",
        ]);
        let expected = [
            "a - b (line 3): needs a network",
            "herd::exclusive: needs root",
            "nginx: no nginx (package nginx)",
            "plain: no reason given",
        ];
        assert_eq!(tally.skips().lines(), expected);
    }
}
