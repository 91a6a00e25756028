//! A verdict as JUnit XML: one test case for each limit and listener, and one for the command. Pure.

use std::time::Duration;

use anyhow::{Context as _, Result};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::{
    limits::{Judged, Row, State},
    verdict::Verdict,
};

/// Name of the suite.
const NAME: &str = "observer check";

/// The verdict as a document.
///
/// # Errors
///
/// When it cannot be written as XML.
pub fn document(verdict: &Verdict) -> Result<String> {
    let window = &verdict.report.window;
    let time = Duration::try_from_secs_f64(window.seconds).unwrap_or_default();
    let mut suite = TestSuite::new(NAME);
    suite.set_time(time);
    suite.add_properties([
        Property::new("observer.version", verdict.report.tool.version.as_str()),
        Property::new("kernel", verdict.report.host.kernel.as_str()),
        Property::new("window.start", window.start.as_str()),
    ]);
    if let Some(command) = &verdict.command {
        let status = match command.failure() {
            None => TestCaseStatus::success(),
            Some(code) => non_success(
                NonSuccessKind::Failure,
                "command",
                &format!("{} (exit status {code})", command.words()),
            ),
        };
        suite.add_test_case(case("command", &command.command, status));
    }
    for judged in &verdict.judged {
        suite.add_test_cases(judged.rows.iter().map(|row| of_row(judged, row)));
        if judged.rows.is_empty() {
            let mut status = TestCaseStatus::skipped();
            status.set_message("no listener was there");
            suite.add_test_case(case(&judged.limit, "all listeners", status));
        }
    }
    let mut report = Report::new(NAME);
    report.set_time(time);
    report.add_test_suite(suite);
    report.to_string().context("the verdict cannot be written as XML; please report this")
}

/// The document of a check that came to no verdict, for this reason: one test case, which is an error.
///
/// # Errors
///
/// When it cannot be written as XML.
pub fn failure(sentence: &str) -> Result<String> {
    let mut suite = TestSuite::new(NAME);
    let status = non_success(NonSuccessKind::Error, "check", sentence);
    suite.add_test_case(TestCase::new("check", status));
    let mut report = Report::new(NAME);
    report.add_test_suite(suite);
    report.to_string().context("the failure cannot be written as XML; please report this")
}

fn of_row(judged: &Judged, row: &Row) -> TestCase {
    let (limit, shown) = (&judged.limit, judged.shown(row));
    let status = match (&judged.doubt, row.state) {
        (_, State::NotJudged) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(row.shown.as_str());
            status
        }
        (Some(doubt), _) => non_success(NonSuccessKind::Error, limit, &format!("{shown}: {doubt}")),
        (None, State::Broken) => {
            let words = row.subject.words();
            non_success(NonSuccessKind::Failure, limit, &format!("{shown} at {words}"))
        }
        (None, State::Held) => TestCaseStatus::success(),
    };
    case(limit, &row.subject.words(), status)
}

/// Readers group test cases by their class: the limit.
fn case(limit: &str, subject: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(subject, status);
    case.set_classname(format!("{NAME} {limit}"));
    case
}

fn non_success(kind: NonSuccessKind, limit: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(limit).set_message(message);
    status
}

#[cfg(test)]
mod tests;
