//! Every test that this machine can run, in bounded time, with a total that can be trusted.

pub(crate) mod child;
mod tally;

use std::{process::ExitCode, sync::mpsc, thread, time::Duration};

use anyhow::{Context as _, Result};

use self::{
    child::{End, Limit, stream},
    tally::Tally,
};
use crate::{not_run, setup::Missing, vm, workspace::Workspace};

/// Compiling included, and the machines beside them; on a quiet machine the tests take a quarter of an hour.
const LIMIT: Limit = Limit { run: Duration::from_secs(45 * 60), grace: Duration::from_secs(5) };

/// What a test has that runs once more: its program is compiled.
const LIMIT_ALONE: Limit =
    Limit { run: Duration::from_secs(2 * 60), grace: Duration::from_secs(5) };

/// What keeps insta from writing new pictures of screens: one that differs is a failure, and nothing else.
const PICTURES: [(&str, &str); 1] = [("INSTA_UPDATE", "no")];

/// Runs the tests, shows what they print, and ends with `N passed, N failed, N skipped`: those of
/// this machine and, unless a filter says that somebody wants a few of them now, those of the virtual
/// machines beside them. `missing` is what set-up could not get for them.
pub(crate) fn test(
    workspace: &Workspace,
    filter: &[String],
    no_vm: bool,
    missing: &[Missing],
) -> Result<ExitCode> {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--no-fail-fast", "--"]).args(filter).envs(PICTURES);
    if filter.iter().any(|word| word == "--list") {
        // Nothing runs, and nothing is to be counted.
        let listed = cargo.status().context("cargo does not start")?.success();
        return Ok(if listed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let mut tally = Tally::default();
    let with_machines = filter.is_empty() && !no_vm;
    let (end, machines) = thread::scope(|scope| {
        let (here, busy) = mpsc::channel();
        let machines = with_machines
            .then(|| scope.spawn(|| vm::run(workspace, &vm::VmArgs::whole(), Some(busy))));
        let end = stream(cargo, LIMIT, |line| {
            println!("{line}");
            tally.read(line);
        });
        let alone = again(workspace, &mut tally);
        drop(here);
        (end.and_then(|end| Ok((end, alone?))), machines.map(thread::ScopedJoinHandle::join))
    });
    let (end, mut flaky) = end?;
    let mut complaints = complaints(&tally, &end);
    let mut lacks = not_run::of_tests(tally.reasons(), missing);
    let mut skips = tally.skips();
    match machines {
        None => {}
        Some(Ok(Ok(ended))) => {
            complaints.extend(tally.add(ended.totals));
            lacks.extend(ended.lacks);
            skips.extend(ended.skips);
            flaky.extend(ended.flaky);
        }
        Some(Ok(Err(error))) => {
            tally.failed += 1;
            complaints.push(format!("the virtual machines: {error:#}"));
        }
        // The panic has said why.
        Some(Err(_)) => complaints.push("the virtual machines: their thread panicked".to_owned()),
    }
    complaints.extend(not_run::complaint(&lacks, not_run::in_ci()));
    lacks.iter().for_each(|lack| println!("{lack}"));
    flaky.iter().for_each(|test| println!("flaky: {test}: failed, and passed alone"));
    skips.lines().iter().for_each(|skip| println!("skipped: {skip}"));
    complaints.iter().for_each(|complaint| println!("error: {complaint}"));
    println!("{tally}");
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the tests that failed once more, each alone, where they are few; those that pass now.
fn again(workspace: &Workspace, tally: &mut Tally) -> Result<Vec<String>> {
    let mut flaky = Vec::new();
    for name in vm::to_run_again(tally.failures()).to_owned() {
        println!("running once more, alone: {name}");
        let mut cargo = workspace.cargo();
        cargo.args(["test", "--no-fail-fast", "--", "--exact", &name]).envs(PICTURES);
        let mut alone = Tally::default();
        stream(cargo, LIMIT_ALONE, |line| {
            println!("{line}");
            alone.read(line);
        })?;
        if alone.passed > 0 && alone.failed == 0 {
            tally.passes_alone(&name);
            flaky.push(name);
        }
    }
    Ok(flaky)
}

/// What keeps this run from being a good one.
fn complaints(tally: &Tally, end: &End) -> Vec<String> {
    let mut complaints = Vec::new();
    if tally.failed > 0 {
        let names = tally.failures();
        let names =
            if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
        complaints.push(format!("{} failed{names}", tests(tally.failed)));
    }
    match end {
        End::TimedOut => complaints.push(format!(
            "the tests were ended after {} minutes",
            LIMIT.run.as_secs().div_ceil(60)
        )),
        End::Status(status) => {
            if tally.unfinished() > 0 {
                complaints.push(format!(
                    "{} of the test programs ended without a result",
                    tally.unfinished()
                ));
            } else if !status.success() && tally.failed == 0 && !tally.has_flaky() {
                complaints
                    .push(format!("no test failed, but cargo test did ({status}): see above"));
            }
        }
    }
    if tally.passed + tally.failed == 0 && complaints.is_empty() {
        complaints.push("no test ran".to_owned());
    }
    complaints
}

fn tests(count: u64) -> String {
    if count == 1 { "1 test".to_owned() } else { format!("{count} tests") }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

    use super::*;

    fn tally(text: &str) -> Tally {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.read(line));
        tally
    }

    fn exit(code: i32) -> End {
        End::Status(ExitStatus::from_raw(code << 8))
    }

    const GOOD: &str = "running 2 tests\n\
                        test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; \
                        0 filtered out; finished in 0.00s";

    #[test]
    fn a_good_run_has_no_complaints() {
        assert_eq!(complaints(&tally(GOOD), &exit(0)), [] as [&str; 0]);
    }

    #[test]
    fn a_failed_test_is_one() {
        let tally = tally(&GOOD.replace("1 passed; 0 failed", "0 passed; 1 failed"));
        assert_eq!(complaints(&tally, &exit(101)), ["1 test failed"]);
    }

    #[test]
    fn a_failed_test_is_named_and_is_none_once_it_passed_alone() {
        let text = GOOD.replace("1 passed; 0 failed", "0 passed; 1 failed");
        let mut tally = tally(&format!("failures:\n    a::b\n\n{text}"));
        assert_eq!(complaints(&tally, &exit(101)), ["1 test failed: a::b"]);
        tally.passes_alone("a::b");
        assert_eq!(complaints(&tally, &exit(101)), [] as [&str; 0]);
    }

    #[test]
    fn a_harness_that_dies_is_one() {
        let tally = tally(&format!("{GOOD}\nrunning 3 tests\n"));
        for end in [exit(101), exit(0)] {
            assert_eq!(complaints(&tally, &end).len(), 1, "{end:?}");
        }
    }

    #[test]
    fn a_build_that_fails_is_one() {
        assert_eq!(complaints(&tally(""), &exit(101)).len(), 1);
    }

    #[test]
    fn running_nothing_is_one() {
        let tally = tally(&GOOD.replace("1 passed", "0 passed"));
        assert_eq!(complaints(&tally, &exit(0)), ["no test ran"]);
    }

    #[test]
    fn running_out_of_time_is_one() {
        assert_eq!(complaints(&tally(GOOD), &End::TimedOut).len(), 1);
    }
}
