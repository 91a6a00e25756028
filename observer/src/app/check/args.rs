//! Options of `observer check`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser as _},
    error::ErrorKind,
};
use observer::{findings::explain, model::Severity};

use crate::app::args::{ObserveArgs, positive_duration};

/// What is said beneath the options.
const EXAMPLES: &str = "\
Exit status: that of the command where it failed, else 3 where a limit is broken, 4 where the numbers cannot be had \
on this kernel, and 0 where all limits hold.

Examples:
  observer check --max-herd-ratio 2 -- ./server --port 8080
  observer check --port 443 --duration 1min --max-drops 0 --max-accept-wait-p99 50ms
  observer check --fail-on warning --baseline before.ndjson --tolerance 20 -- make integration-test";

/// Options of `observer check`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
#[command(override_usage = "observer check LIMIT... [OPTIONS] [-- COMMAND...]")]
pub struct CheckArgs {
    /// How long to observe, such as 30s; a command that still runs then is ended with SIGTERM, and with SIGKILL 5 s
    /// later. Without it until the command and all that it started have ended, or until Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    pub duration: Option<Duration>,
    /// What must hold.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Percent by which a number may be worse than in the baseline
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0, value_parser = percent)]
    #[arg(requires = "baseline", help_heading = "Limits")]
    pub tolerance: f64,
    /// Hold limits against numbers that are only estimates on this kernel
    #[arg(long, help_heading = "Limits")]
    pub allow_estimates: bool,
    /// Write the report of the whole window here, as one line of JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub report: Option<PathBuf>,
    /// Write a test case for each limit and listener here, as JUnit XML
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub junit: Option<PathBuf>,
    /// What to observe, and by which hooks.
    #[command(flatten)]
    pub observe: ObserveArgs,
    /// Command to start when everything is attached, and to observe with all that it starts; as the user who
    /// called sudo, where that is how observer was called
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "pid")]
    pub command: Vec<OsString>,
}

/// Limits, of which there must be one ([`require_one`]).
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Most wakeups for each accepted connection, on each listener
    #[arg(long, value_name = "X", value_parser = ratio)]
    pub max_herd_ratio: Option<f64>,
    /// Most connection attempts that the kernel may drop, on each listener
    #[arg(long, value_name = "N")]
    pub max_drops: Option<u64>,
    /// Longest time that 99 of 100 connections may wait to be accepted, on each listener
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    pub max_accept_wait_p99: Option<Duration>,
    /// Fullest that an accept queue may be, in percent of its limit, on each listener
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub max_queue_used: Option<f64>,
    /// Most accept calls that may fail, on each listener; EAGAIN, which says that nobody is waiting, is no failure
    #[arg(long, value_name = "N")]
    pub max_accept_errors: Option<u64>,
    /// Fewest connections that must be accepted, on all listeners together [default: 1, beside any other limit]
    #[arg(long, value_name = "N")]
    pub min_accepted: Option<u64>,
    /// Finding that must not be there, or severity (info, warning, critical) from which on none may be (repeatable)
    #[arg(long, value_name = "FINDING|SEVERITY", value_parser = fail_on_parser())]
    pub fail_on: Vec<FailOn>,
    /// Recording, or report of an earlier check, that numbers must not be worse than
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
}

/// Refuses a gate without a limit, as where a variable that was to hold them is empty: it would pass whatever happens.
///
/// # Errors
///
/// Where there is no limit.
pub fn require_one(limits: &LimitArgs) -> Result<(), clap::Error> {
    let LimitArgs { max_herd_ratio, max_drops, max_accept_wait_p99, .. } = limits;
    let LimitArgs { max_queue_used, max_accept_errors, min_accepted, fail_on, baseline, .. } =
        limits;
    let is_there = [
        max_herd_ratio.is_some(),
        max_drops.is_some(),
        max_accept_wait_p99.is_some(),
        max_queue_used.is_some(),
        max_accept_errors.is_some(),
        min_accepted.is_some(),
        !fail_on.is_empty(),
        baseline.is_some(),
    ];
    if is_there.contains(&true) {
        return Ok(());
    }
    let sentence = "there is no limit, so that the check would pass whatever happens; give one, such as \
                    --max-herd-ratio 2, --max-drops 0 or --fail-on warning\n";
    Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, sentence))
}

/// What `--fail-on` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailOn {
    /// A finding, by its id.
    Finding(String),
    /// Any finding that is at least so bad.
    Severity(Severity),
}

fn fail_on_parser() -> impl clap::builder::TypedValueParser<Value = FailOn> {
    let words = ["info", "warning", "critical"].into_iter().chain(explain::ids());
    PossibleValuesParser::new(words.collect::<Vec<_>>()).map(|word| match word.as_str() {
        "info" => FailOn::Severity(Severity::Info),
        "warning" => FailOn::Severity(Severity::Warning),
        "critical" => FailOn::Severity(Severity::Critical),
        _ => FailOn::Finding(word),
    })
}

/// Parses a ratio.
fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if ratio.is_finite() && ratio >= 0.0 => Ok(ratio),
        _ => Err("write a number such as 2 or 1.5".to_owned()),
    }
}

/// Parses a percentage, with or without its sign.
fn percent(text: &str) -> Result<f64, String> {
    ratio(text.trim_end_matches('%'))
        .map_err(|_| "write a percentage such as 80 or 12.5%".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn parse(line: &str) -> Result<CheckArgs, clap::Error> {
        let command = CheckArgs::augment_args(clap::Command::new("check"));
        let words = ["check"].into_iter().chain(line.split_whitespace());
        CheckArgs::from_arg_matches(&command.try_get_matches_from(words)?)
    }

    #[test]
    fn a_command_comes_after_two_dashes_with_its_own_options() {
        let args = parse("--max-drops 0 -- server --max-drops 7 -- x").expect("valid");
        assert_eq!(args.command, ["server", "--max-drops", "7", "--", "x"]);
        assert_eq!(args.limits.max_drops, Some(0));
        assert_eq!((args.tolerance, args.allow_estimates), (10.0, false));
    }

    #[test]
    fn a_gate_without_a_limit_is_none() {
        for line in ["", "--port 80", "--allow-estimates -- server", "--report x --junit y"] {
            let args = parse(line).expect(line);
            let error = require_one(&args.limits).expect_err(line);
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("--max-herd-ratio"), "{line}: {error}");
        }
        for line in
            ["--min-accepted 0", "--fail-on critical", "--baseline x", "--max-queue-used 80"]
        {
            assert!(require_one(&parse(line).expect(line).limits).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_tolerance_is_of_a_baseline() {
        assert!(parse("--max-drops 0 --tolerance 5").is_err());
        assert_eq!(parse("--baseline x --tolerance 5%").expect("valid").tolerance, 5.0);
    }

    #[test]
    fn findings_and_severities_are_told_apart() {
        let args = parse("--fail-on warning --fail-on fd-exhausted").expect("valid");
        let expected =
            [FailOn::Severity(Severity::Warning), FailOn::Finding("fd-exhausted".into())];
        assert_eq!(args.limits.fail_on, expected);
        let error = parse("--fail-on fd-exausted").expect_err("none").to_string();
        assert!(error.contains("'fd-exhausted'"), "{error}");
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        for line in [
            "--max-herd-ratio x",
            "--max-herd-ratio -1",
            "--max-herd-ratio nan",
            "--max-herd-ratio inf",
            "--max-drops -1",
            "--max-drops 1.5",
            "--max-accept-wait-p99 5",
            "--max-accept-wait-p99 0s",
            "--max-queue-used %",
            "--min-accepted many",
            "--pid 1 --max-drops 0 -- server",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert_eq!(
            parse("--max-queue-used 80.5%").expect("valid").limits.max_queue_used,
            Some(80.5)
        );
    }
}
