//! One strategy of the demo: a workload, this program observing it, and what they say.

use std::{collections::VecDeque, ffi::OsString, time::Duration};

use anyhow::Context;
use clap::ValueEnum as _;
use serde::de::DeserializeOwned;

use super::{
    args::DemoArgs,
    child::{Child, Output, Stop, Waiting},
    outcome::Outcome,
    protocol::{Ready, Tally},
    strategy::Strategy,
};
use observer::model::{Report, WindowKind};

/// How long a child may take to start or to end: loading programs is slow on an emulated host.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to make a connection and see every worker asleep again, at the most.
const PER_CONNECTION: Duration = Duration::from_millis(50);

/// Runs one strategy. However it ends, both children have ended.
pub(super) fn run(
    strategy: Strategy,
    args: &DemoArgs,
    waiting: &mut Waiting<'_>,
) -> Result<Outcome, Stop> {
    let load_limit = PATIENCE + PER_CONNECTION * args.connections;

    let mut workload = Child::start("the server", workload_arguments(strategy, args))?;
    let ready: Ready = parse(&workload.line(Output::Stdout, PATIENCE, waiting)?, "the server")?;

    let mut observer = Child::start("the observer", observer_arguments(ready.pid, args))?;
    while !observer.line(Output::Stderr, PATIENCE, waiting)?.starts_with("observing") {}

    if workload.tell("go").is_err() {
        // It has ended; reading its outputs says why.
        workload.end(PATIENCE, waiting)?;
    }
    let tally: Tally = parse(&workload.line(Output::Stdout, load_limit, waiting)?, "the server")?;

    observer.interrupt()?;
    let (lines, _) = observer.end(PATIENCE, waiting)?;
    let report = last_report(&lines)?;
    workload.end(PATIENCE, waiting)?;
    Ok(Outcome::new(strategy, &ready, &tally, &report))
}

fn workload_arguments(strategy: Strategy, args: &DemoArgs) -> Vec<OsString> {
    let (workers, connections) = (args.workers.to_string(), args.connections.to_string());
    let mut words = vec!["workload", "--netns", "--strategy", strategy.name()];
    words.extend(["--workers", &workers, "--connections", &connections]);
    with_verbosity(&words, args)
}

/// The duration is never reached: it makes the report the only one, and bounds what would remain
/// of an observer that nobody ends.
fn observer_arguments(pid: u32, args: &DemoArgs) -> Vec<OsString> {
    let pid = pid.to_string();
    let provider = args.provider.to_possible_value();
    let provider = provider.as_ref().map_or("auto", |value| value.get_name());
    let words = ["--pid", &pid, "--format", "json", "--duration", "2h", "--provider", provider];
    with_verbosity(&words, args)
}

fn with_verbosity(words: &[&str], args: &DemoArgs) -> Vec<OsString> {
    let verbosity = std::iter::repeat_n(&"-v", usize::from(args.verbose));
    words.iter().chain(verbosity).map(OsString::from).collect()
}

fn last_report(lines: &VecDeque<String>) -> anyhow::Result<Report> {
    let last = lines.back().context("the observer printed no report; run again")?;
    let report: Report = parse(last, "the observer")?;
    anyhow::ensure!(
        report.window.kind == WindowKind::Total,
        "the observer's last report was not the total; run again"
    );
    Ok(report)
}

fn parse<T: DeserializeOwned>(line: &str, whose: &str) -> anyhow::Result<T> {
    serde_json::from_str(line)
        .with_context(|| format!("a line of {whose} could not be understood; run again: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::args::{Format, ProviderArg};

    fn args() -> DemoArgs {
        DemoArgs {
            strategy: Vec::new(),
            workers: 4,
            connections: 9,
            format: Format::Table,
            provider: ProviderArg::Tracepoint,
            verbose: 2,
        }
    }

    #[test]
    fn children_get_the_arguments_of_the_demo() {
        assert_eq!(
            workload_arguments(Strategy::EpollShared, &args()).join(" ".as_ref()),
            "workload --netns --strategy epoll-shared --workers 4 --connections 9 -v -v"
        );
        assert_eq!(
            observer_arguments(7, &args()).join(" ".as_ref()),
            "--pid 7 --format json --duration 2h --provider tracepoint -v -v"
        );
    }

    #[test]
    fn an_observer_without_a_report_is_an_error() {
        assert!(last_report(&VecDeque::new()).is_err());
        assert!(last_report(&VecDeque::from(["{}".to_owned()])).is_err());
    }
}
