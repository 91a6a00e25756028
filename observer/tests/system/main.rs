//! The system tests: the program as people run it, on the kernel that is here, against workloads
//! that count for themselves.
//!
//! A harness of its own, because whether a test can run is known only at run time (root, a kernel
//! that can, nginx), and one that cannot must be counted as skipped and never as passed.
#![expect(
    clippy::print_stdout,
    reason = "the harness says on standard output what it skips and what goes wrong last"
)]

mod arguments;
mod backlog;
mod bounds;
mod capabilities;
mod cases;
mod check;
mod compare;
mod cost;
mod deploy;
mod events;
mod examples;
mod export;
mod fairness;
mod faults;
mod filters;
mod findings;
mod gone;
mod harmless;
mod host;
mod lifecycle;
mod listeners;
mod load;
mod missed;
mod nginx;
mod observer;
mod output;
mod overflow;
mod pid_namespace;
mod queues;
mod recording;
mod role;
mod schema;
mod servers;
mod shared_run;
mod shutdown;
mod socket_kinds;
mod task_slots;
mod threads;
mod top;
mod trace;
mod truth;
mod verifier;
mod waits;
mod workload;

use std::{error::Error, fmt, process::ExitCode, sync::Arc};

use libtest_mimic::{Completion, Failed, Trial};

use crate::{
    arguments::Chosen,
    observer::provider,
    shared_run::{Begin, SharedRun},
};

/// What a test needs of the machine.
#[derive(Clone, Copy)]
enum Need {
    /// Nothing.
    Nothing,
    /// Root, and a kernel that observer can run on.
    Kernel,
    /// Root, such a kernel, and the distribution's nginx.
    Nginx,
    /// Root, such a kernel, and an nginx with the poll module.
    PollingNginx,
    /// Root, such a kernel, and a cgroup hierarchy to make a group in.
    Cgroup,
    /// Root.
    Root,
    /// Root, such a kernel, and what this function finds no reason against.
    Also(fn() -> Option<String>),
    /// Root, such a kernel, `ss` and `ip`.
    Ss,
}

/// One test.
struct Test {
    name: String,
    need: Need,
    run: Run,
}

/// How a test runs.
enum Run {
    /// By itself.
    Alone(Box<dyn Fn() -> Outcome + Send>),
    /// As one of those that share an observer.
    Together(Begin),
}

/// What a test comes to: words for whoever reads the failure.
type Outcome = anyhow::Result<()>;

/// How often a test is tried that fails while the kernel skips runs of observer's programs.
const TRIES: usize = 4;

/// Runs a test. An emulated machine is slow enough for the kernel to skip runs of programs, which it
/// counts; what such a window fails to show decides nothing, and the test is run again. A window
/// without skipped runs decides at once, and a test that never gets one has failed.
fn until_whole(run: &dyn Fn() -> Outcome, name: &str) -> Outcome {
    shutdown::test_begins(name);
    for _ in 1..TRIES {
        missed::forget_missed_runs();
        match run() {
            Err(error) if provider().is_some() && missed::has_missed_runs() => {
                eprintln!("figure again {name}: {}", error.root_cause());
            }
            result => return result,
        }
    }
    run()
}

/// What a test fails with that finds out while it runs that it cannot: why.
#[derive(Debug)]
struct Skip(String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Skip {}

impl Test {
    fn new(
        name: impl Into<String>,
        need: Need,
        run: impl Fn() -> Outcome + Send + 'static,
    ) -> Self {
        Self { name: name.into(), need, run: Run::Alone(Box::new(run)) }
    }

    /// A test that shares its observer with others.
    fn together(name: impl Into<String>, need: Need, begin: Begin) -> Self {
        Self { name: name.into(), need, run: Run::Together(begin) }
    }
}

/// Beginnings of the names of the only tests that there are here, separated by spaces. Unset, there are all.
const ONLY: &str = "OBSERVER_TEST_ONLY";

fn is_here(name: &str) -> bool {
    std::env::var(ONLY)
        .map_or(true, |only| only.split_whitespace().any(|part| name.starts_with(part)))
}

fn main() -> ExitCode {
    // Some tests need a process that misbehaves in a certain way: this program is that process.
    if let Some(code) = role::play() {
        return code;
    }
    let mut chosen = Chosen::of(std::env::args());
    // Each test loads the machine; two at once would only make both slower and their failures
    // harder to read.
    chosen.harness.test_threads = Some(1);
    let host = host::look();
    let tests = [
        host::tests(),
        verifier::tests(),
        truth::tests(),
        queues::tests(),
        backlog::tests(),
        bounds::tests(),
        check::tests(),
        capabilities::tests(),
        cost::tests(),
        fairness::tests(),
        findings::tests(),
        lifecycle::tests(),
        filters::tests(),
        events::tests(),
        trace::tests(),
        recording::tests(),
        threads::tests(),
        pid_namespace::tests(),
        top::tests(),
        output::tests(),
        task_slots::tests(),
        faults::tests(),
        socket_kinds::tests(),
        overflow::tests(),
        waits::tests(),
        nginx::tests(),
        servers::tests(),
        listeners::tests(),
        schema::tests(),
        deploy::tests(),
        export::tests(),
        examples::tests(),
        load::tests(),
        harmless::tests(),
        socket_kinds::last_tests(),
    ];
    let is_wanted =
        |test: &Test| is_here(&test.name) && (!chosen.has_several() || chosen.is(&test.name));
    let lacking = |test: Test| {
        // Finding that out for what does not run would take time for nothing.
        let lacking = chosen.is(&test.name).then(|| host.lacks(test.need)).flatten();
        (test, lacking)
    };
    let tests: Vec<_> = tests.into_iter().flatten().filter(is_wanted).map(lacking).collect();
    let sharing = tests.iter().filter_map(|(test, lacking)| match test.run {
        Run::Together(begin) if lacking.is_none() && chosen.is(&test.name) => {
            Some((test.name.clone(), begin))
        }
        _ => None,
    });
    let together = Arc::new(SharedRun::new(sharing.collect()));
    let trials = tests.into_iter().map(|(test, lacking)| {
        let is_lacking = lacking.is_some();
        if let Some(reason) = &lacking
            && !chosen.harness.list
        {
            println!("skip: {}: {reason}", test.name);
        }
        let name = test.name.clone();
        let run: Box<dyn Fn() -> Outcome + Send> = match (lacking, test.run) {
            // Also where somebody wants to run what is ignored.
            (Some(reason), _) => Box::new(move || Err(Skip(reason.clone()).into())),
            (None, Run::Alone(run)) => run,
            (None, Run::Together(begin)) => {
                let (together, name) = (together.clone(), name.clone());
                Box::new(move || together.outcome(&name, begin))
            }
        };
        let run = move || match until_whole(&run, &name) {
            Ok(()) => Ok(Completion::Completed),
            Err(error) => {
                if let Some(Skip(reason)) = error.downcast_ref() {
                    return Ok(Completion::ignored_with(reason));
                }
                if provider().is_some() {
                    // The harness tells it at the very end, which a virtual machine may not reach.
                    eprintln!("{name}: {error:?}");
                }
                Err(Failed::from(format!("{error:?}")))
            }
        };
        Trial::ignorable_test(test.name, run).with_ignored_flag(is_lacking)
    });
    let trials = trials.collect();
    let code = libtest_mimic::run(&chosen.harness, trials).exit_code();
    let mut failures = shutdown::failures();
    // The test of it may have been filtered out, and the others were skipped.
    failures.extend(host::provider_lacks());
    for failure in &failures {
        println!("{failure}");
    }
    if failures.is_empty() { code } else { ExitCode::FAILURE }
}
