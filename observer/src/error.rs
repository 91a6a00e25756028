//! Failures and their exit status.

use std::{fmt, process::ExitCode};

/// The exit statuses that scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Something failed.
    Failed = 1,
    /// Arguments that do not fit together.
    Usage = 2,
    /// Not permitted, or not possible on this kernel.
    NotPossible = 4,
}

/// A failure with a status of its own; its words are the whole sentence for the user.
#[derive(Debug)]
pub struct Failure {
    /// What the process exits with.
    pub status: Status,
    /// What happened and what to do, in one sentence.
    pub sentence: String,
}

impl Failure {
    /// Not permitted, or not possible on this kernel.
    pub fn not_possible(sentence: impl Into<String>) -> Self {
        Self { status: Status::NotPossible, sentence: sentence.into() }
    }

    /// Arguments that do not fit together.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self { status: Status::Usage, sentence: sentence.into() }
    }

    /// Something that failed.
    pub fn failed(sentence: impl Into<String>) -> Self {
        Self { status: Status::Failed, sentence: sentence.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.sentence)
    }
}

impl std::error::Error for Failure {}

/// The exit code for an error: that of the [`Failure`] in its chain, or 1.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    // anyhow looks into what was given as context too, which the chain of causes does not show.
    let status = error.downcast_ref::<Failure>().map_or(Status::Failed, |failure| failure.status);
    ExitCode::from(status as u8)
}

/// What to print for an error: one sentence, and with `-v` the causes below it.
#[must_use]
pub fn describe(error: &anyhow::Error, verbose: u8) -> String {
    // A sentence may span lines where it comes from a library; people get one line.
    let mut text = format!("observer: {}", one_line(&error.to_string()));
    let mut causes = error.chain().skip(1).peekable();
    if verbose == 0 {
        if causes.peek().is_some() {
            text.push_str(" (-v shows the cause)");
        }
    } else {
        for cause in causes {
            text.push_str("\n  because: ");
            text.push_str(&cause.to_string().replace('\n', "\n    "));
        }
    }
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::{Failure, describe};

    #[test]
    fn causes_are_shown_when_asked_for() {
        let error = anyhow!("inner\nreason").context("it failed; do this");
        assert_eq!(describe(&error, 0), "observer: it failed; do this (-v shows the cause)");
        assert_eq!(
            describe(&error, 1),
            "observer: it failed; do this\n  because: inner\n    reason"
        );
        let plain: anyhow::Result<()> = Err(anyhow!("alone"));
        assert_eq!(plain.map_err(|error| describe(&error, 0)), Err("observer: alone".into()));
    }

    #[test]
    fn a_failure_keeps_its_status_below_context() {
        let error = Err::<(), _>(Failure::not_possible("no BTF")).context("cannot start");
        let code = format!("{:?}", super::exit_code(&error.expect_err("an error")));
        assert!(code.contains('4'), "{code}");
        let above = anyhow!("EPERM").context(Failure::not_possible("refused"));
        let code = format!("{:?}", super::exit_code(&above.context("cannot start")));
        assert!(code.contains('4'), "{code}");
    }
}
